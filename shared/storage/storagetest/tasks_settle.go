package storagetest

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

var tasksSettleTests = []tasksTest{
	{"Settle_CommitsTheWholeStep", settleWholeStep},
	{"Settle_KeepsSharedWhenNil", settleKeepsShared},
	{"Settle_FinishesARunThatItStarted", settleStartAndFinish},
	{"Settle_IsHarmlessToRepeatUnderAKeptLease", settleRepeat},
	{"Settle_WritesNothingUnderAnotherEpoch", settleFenced},
	{"Settle_WritesNothingOnceReleased", settleReleased},
	{"Settle_CommitsPastTheExpiryWhileNobodyTookTheTask", settlePastExpiry},
	{"Settle_ReleasesUntilTheGivenTime", settleReleases},
	{"Settle_EndsTheTask", settleEnds},
	{"Settle_TellsWhatTheTaskWaitsFor", settleWaits},
	{"Settle_RefusesToEndWithEventsPending", settleTerminalGuard},
	{"Settle_TellsThatEventsArePending", settleTellsPending},
	{"Settle_KeepsCancelingUntilTheEnd", settleKeepsCanceling},
	{"Settle_LeavesTheOthersOfABatchUntouched", settlePartlyFailing},
	{"Settle_TakesTwoStepsOfOneTaskInOrder", settleTwoSteps},
}

func settleWholeStep(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, heldTask(1))
	mustAppend(t, tasks, signal(1, "s1"))
	step := keepStep(1, 1)
	step.Status, step.Seq, step.InboxDone = storage.TaskWaitingQueue, 3, 1
	step.Error, step.WaitsFor = json.RawMessage(`{"code":"odd"}`), storage.WaitQueue
	made := storage.TaskEvent{
		TaskID: taskID(1), SourceID: "run-1-1", Kind: storage.EventRunFinished, Data: json.RawMessage(`{"no":1}`),
		At: after(time.Second), Seq: 2,
	}
	applied := storage.TaskEvent{
		TaskID: taskID(1), SourceID: "s1", Kind: storage.EventSignal, Data: json.RawMessage(`{"key":"s1"}`),
		At: after(2 * time.Second), Arrival: 1, Seq: 3,
	}
	step.Events = []storage.TaskEvent{made, applied}
	step.Started = []storage.NodeRun{startedRun(1, 2)}
	step.Finished = []storage.RunFinish{{
		No: 1, Status: storage.RunError, SubStatus: "late", Output: json.RawMessage(`[1]`), ErrorCode: "boom", ErrorText: "it broke",
		Action: "goB", WorkerID: "w2", WorkerURL: "http://w2", LogPath: "log2", DecidedBy: "eve", Comment: "no: ☃",
		FinishedAt: after(time.Second),
	}}
	step.Outbox = []storage.OutboxMessage{putJob("m1", start)}
	outcomes, err := tasks.SettleSteps(t.Context(), []storage.TaskStep{step})
	require.NoError(t, err)
	require.Equal(t, []storage.StepOutcome{{}}, outcomes)

	want := heldTask(1).Task
	want.Status, want.Shared, want.State, want.CurrentNode = step.Status, step.Shared, step.State, step.CurrentNode
	want.Error, want.Seq, want.InboxSeq, want.InboxDone, want.UpdatedAt = step.Error, 3, 1, 1, step.At
	want.WaitsFor = storage.WaitQueue
	require.Equal(t, want, mustGet(t, tasks, 1), "the lease is kept")

	first := startedRun(1, 1)
	first.Status, first.SubStatus, first.Output = storage.RunError, "late", json.RawMessage(`[1]`)
	first.ErrorCode, first.ErrorText, first.Action = "boom", "it broke", "goB"
	first.WorkerID, first.WorkerURL, first.LogPath, first.FinishedAt = "w2", "http://w2", "log2", after(time.Second)
	first.DecidedBy, first.Comment = "eve", "no: ☃"
	runs, err := tasks.ListRuns(t.Context(), taskID(1))
	require.NoError(t, err)
	require.Equal(t, []storage.NodeRun{first, startedRun(1, 2)}, runs)

	events, err := tasks.ListEvents(t.Context(), taskID(1), 0, 10)
	require.NoError(t, err)
	require.Equal(t, []storage.TaskEvent{startedEvent(1), made, applied}, events)
	inbox, err := tasks.LoadInbox(t.Context(), taskID(1), 100)
	require.NoError(t, err)
	require.Empty(t, inbox)
	messages, err := tasks.ClaimOutbox(t.Context(), start, after(time.Second), 10)
	require.NoError(t, err)
	require.Len(t, messages, 1)
}

func settleKeepsShared(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, heldTask(1))
	mustSettle(t, tasks, keepStep(1, 1))
	step := keepStep(1, 1)
	step.Shared, step.State = nil, json.RawMessage(`{"cursor":"c"}`)
	mustSettle(t, tasks, step)
	task := mustGet(t, tasks, 1)
	require.JSONEq(t, `{"a":1}`, string(task.Shared))
	require.JSONEq(t, `{"cursor":"c"}`, string(task.State))
}

func settleStartAndFinish(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, heldTask(1))
	step := keepStep(1, 1)
	step.Started = []storage.NodeRun{startedRun(1, 2)}
	step.Finished = []storage.RunFinish{{No: 2, Status: storage.RunOK, FinishedAt: after(time.Second)}}
	mustSettle(t, tasks, step)
	runs, err := tasks.LoadRuns(t.Context(), taskID(1), []int{2})
	require.NoError(t, err)
	require.Equal(t, storage.RunOK, runs[0].Status)
	require.Equal(t, after(time.Second), runs[0].FinishedAt)
	require.Nil(t, runs[0].Output)
}

func settleRepeat(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, heldTask(1))
	mustAppend(t, tasks, signal(1, "s1"))
	step := keepStep(1, 1)
	step.Seq, step.InboxDone = 3, 1
	step.Events = []storage.TaskEvent{
		{TaskID: taskID(1), SourceID: "made", Kind: storage.EventTimerFired, Data: json.RawMessage(`{}`), At: start, Seq: 2},
		{TaskID: taskID(1), SourceID: "s1", Kind: storage.EventSignal, Data: json.RawMessage(`{"key":"s1"}`), At: after(2 * time.Second), Arrival: 1, Seq: 3},
	}
	step.Started = []storage.NodeRun{startedRun(1, 2)}
	step.Finished = []storage.RunFinish{{No: 1, Status: storage.RunOK, FinishedAt: start}}
	step.Outbox = []storage.OutboxMessage{putJob("m1", after(time.Second))}
	mustSettle(t, tasks, step)
	before := snapshot(t, tasks, 1)
	mustSettle(t, tasks, step)
	require.Equal(t, before, snapshot(t, tasks, 1))
	messages, err := tasks.ClaimOutbox(t.Context(), after(time.Second), after(time.Minute), 10)
	require.NoError(t, err)
	require.Len(t, messages, 1)
}

// everything is all that is stored of a task, the outbox aside.
type everything struct {
	task   storage.Task
	runs   []storage.NodeRun
	events []storage.TaskEvent
	inbox  []storage.TaskEvent
}

func snapshot(t testContext, tasks storage.Tasks, n int) everything {
	all := everything{task: mustGet(t, tasks, n)}
	var err error
	all.runs, err = tasks.ListRuns(t.Context(), taskID(n))
	require.NoError(t, err)
	all.events, err = tasks.ListEvents(t.Context(), taskID(n), 0, 1000)
	require.NoError(t, err)
	all.inbox, err = tasks.LoadInbox(t.Context(), taskID(n), 100)
	require.NoError(t, err)
	return all
}

// requireLost settles a full step and requires that it wrote nothing.
func requireLost(t *testing.T, tasks storage.Tasks, step storage.TaskStep) {
	t.Helper()
	before := snapshot(t, tasks, 1)
	step.Events = []storage.TaskEvent{{TaskID: taskID(1), SourceID: "lost", Kind: storage.EventTimerFired, Data: json.RawMessage(`{}`), At: start, Seq: 2}}
	step.Started = []storage.NodeRun{startedRun(1, 2)}
	step.Finished = []storage.RunFinish{{No: 1, Status: storage.RunOK}}
	step.Outbox = []storage.OutboxMessage{putJob("lost", start)}
	outcomes, err := tasks.SettleSteps(t.Context(), []storage.TaskStep{step})
	require.NoError(t, err)
	require.ErrorIs(t, outcomes[0].Err, storage.ErrLeaseLost)
	require.Equal(t, before, snapshot(t, tasks, 1))
	messages, err := tasks.ClaimOutbox(t.Context(), after(time.Hour), after(2*time.Hour), 10)
	require.NoError(t, err)
	require.Empty(t, messages)
}

func settleFenced(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, heldTask(1))
	requireLost(t, tasks, keepStep(1, 0))
	requireLost(t, tasks, endStep(1, 2))
	_, err := tasks.ClaimTasks(t.Context(), claimBy("beta", after(time.Minute)), 1)
	require.NoError(t, err)
	for _, step := range []storage.TaskStep{keepStep(1, 1), endStep(1, 1), releaseStep(1, 1, start)} {
		requireLost(t, tasks, step)
	}
	outcomes, err := tasks.SettleSteps(t.Context(), []storage.TaskStep{keepStep(9, 1), endStep(9, 1)})
	require.NoError(t, err)
	require.ErrorIs(t, outcomes[0].Err, storage.ErrLeaseLost, "an unknown task")
	require.ErrorIs(t, outcomes[1].Err, storage.ErrLeaseLost, "an unknown task")
}

func settleReleased(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, heldTask(1))
	mustSettle(t, tasks, releaseStep(1, 1, time.Time{}))
	requireLost(t, tasks, keepStep(1, 1))
	requireLost(t, tasks, endStep(1, 1))
}

func settlePastExpiry(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, heldTask(1))
	step := keepStep(1, 1)
	step.At = after(time.Hour)
	mustSettle(t, tasks, step)
	require.Equal(t, after(time.Hour), mustGet(t, tasks, 1).UpdatedAt)
}

func settleReleases(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, heldTask(1), heldTask(2))
	mustSettle(t, tasks, releaseStep(1, 1, after(time.Hour)), releaseStep(2, 1, time.Time{}))
	timer, idle := mustGet(t, tasks, 1), mustGet(t, tasks, 2)
	require.Equal(t, storage.TaskWaiting, timer.Status)
	require.Equal(t, storage.Lease{Epoch: 1}, timer.Lease)
	require.Equal(t, after(time.Hour), timer.RunnableAt)
	require.Zero(t, idle.RunnableAt)
	claimed, err := tasks.ClaimTasks(t.Context(), claimBy("beta", after(time.Hour-time.Microsecond)), 10)
	require.NoError(t, err)
	require.Empty(t, claimed)
	claimed, err = tasks.ClaimTasks(t.Context(), claimBy("beta", after(time.Hour)), 10)
	require.NoError(t, err)
	require.Equal(t, []string{taskID(1)}, idsOf(claimed))
}

func settleEnds(t *testing.T, tasks storage.Tasks) {
	for i, status := range []storage.TaskStatus{storage.TaskCompleted, storage.TaskFailed, storage.TaskCanceled} {
		mustCreate(t, tasks, heldTask(i))
		step := endStep(i, 1)
		step.Status, step.Error = status, json.RawMessage(`{"code":"x"}`)
		step.RunnableAt = after(time.Hour) // a terminal step has no next time
		mustSettle(t, tasks, step)
		task := mustGet(t, tasks, i)
		require.Equal(t, status, task.Status)
		require.Equal(t, storage.Lease{Epoch: 1}, task.Lease)
		require.Zero(t, task.RunnableAt)
		require.Equal(t, step.FinishedAt, task.FinishedAt)
		require.Equal(t, step.Error, task.Error)
		require.Empty(t, task.CurrentNode)
	}
	next, err := tasks.NextRunnable(t.Context())
	require.NoError(t, err)
	require.Zero(t, next)
}

func settleWaits(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, heldTask(1))
	for _, kind := range storage.WaitKinds {
		step := keepStep(1, 1)
		step.WaitsFor = kind
		mustSettle(t, tasks, step)
		require.Equal(t, kind, mustGet(t, tasks, 1).WaitsFor)
	}
	step := endStep(1, 1)
	step.WaitsFor = storage.WaitTimer
	mustSettle(t, tasks, step)
	require.Equal(t, storage.WaitNone, mustGet(t, tasks, 1).WaitsFor, "who has ended waits for nothing")
}

func settleTerminalGuard(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, heldTask(1))
	mustAppend(t, tasks, signal(1, "s1"), signal(1, "s2"))
	before := snapshot(t, tasks, 1)
	for _, done := range []int64{0, 1} {
		step := endStep(1, 1)
		step.InboxDone = done
		step.Started = []storage.NodeRun{startedRun(1, 2)}
		outcomes, err := tasks.SettleSteps(t.Context(), []storage.TaskStep{step})
		require.NoError(t, err)
		require.ErrorIs(t, outcomes[0].Err, storage.ErrInboxPending)
		require.Equal(t, before, snapshot(t, tasks, 1))
	}
	step := endStep(1, 1)
	step.InboxDone = 2
	mustSettle(t, tasks, step)
	require.Equal(t, storage.TaskCompleted, mustGet(t, tasks, 1).Status)
}

func settleTellsPending(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, heldTask(1))
	mustAppend(t, tasks, signal(1, "s1"), signal(1, "s2"))
	outcomes, err := tasks.SettleSteps(t.Context(), []storage.TaskStep{keepStep(1, 1)})
	require.NoError(t, err)
	require.Equal(t, []storage.StepOutcome{{InboxPending: true}}, outcomes)

	step := releaseStep(1, 1, after(time.Hour))
	step.InboxDone = 1
	outcomes, err = tasks.SettleSteps(t.Context(), []storage.TaskStep{step})
	require.NoError(t, err)
	require.Equal(t, []storage.StepOutcome{{InboxPending: true}}, outcomes)
	require.Equal(t, step.At, mustGet(t, tasks, 1).RunnableAt, "released with events pending: runnable at once")
}

func settleKeepsCanceling(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, heldTask(1))
	mustAppend(t, tasks, cancel(1, "c1"))
	mustSettle(t, tasks, keepStep(1, 1))
	require.Equal(t, storage.TaskCanceling, mustGet(t, tasks, 1).Status)
	mustSettle(t, tasks, releaseStep(1, 1, time.Time{}))
	require.Equal(t, storage.TaskCanceling, mustGet(t, tasks, 1).Status)
	task, err := tasks.ClaimTask(t.Context(), taskID(1), claimBy("beta", after(time.Second)))
	require.NoError(t, err)
	require.Equal(t, storage.TaskCanceling, task.Status)
	step := endStep(1, 2)
	step.Status, step.InboxDone = storage.TaskCanceled, 1
	mustSettle(t, tasks, step)
	require.Equal(t, storage.TaskCanceled, mustGet(t, tasks, 1).Status)
}

func settlePartlyFailing(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, heldTask(1), heldTask(2), heldTask(3))
	mustAppend(t, tasks, signal(2, "s1"))
	outcomes, err := tasks.SettleSteps(t.Context(), []storage.TaskStep{
		endStep(3, 1), keepStep(9, 1), endStep(2, 1), keepStep(1, 7), keepStep(1, 1),
	})
	require.NoError(t, err)
	require.NoError(t, outcomes[0].Err)
	require.ErrorIs(t, outcomes[1].Err, storage.ErrLeaseLost)
	require.ErrorIs(t, outcomes[2].Err, storage.ErrInboxPending)
	require.ErrorIs(t, outcomes[3].Err, storage.ErrLeaseLost)
	require.NoError(t, outcomes[4].Err)
	require.Equal(t, storage.TaskCompleted, mustGet(t, tasks, 3).Status)
	require.Equal(t, "b", mustGet(t, tasks, 1).CurrentNode)
	require.Equal(t, "a", mustGet(t, tasks, 2).CurrentNode)
}

func settleTwoSteps(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, heldTask(1))
	first, second := keepStep(1, 1), keepStep(1, 1)
	first.Started = []storage.NodeRun{startedRun(1, 2)}
	second.Finished = []storage.RunFinish{{No: 2, Status: storage.RunOK}}
	second.Seq, second.CurrentNode = 3, "c"
	outcomes, err := tasks.SettleSteps(t.Context(), []storage.TaskStep{first, second, releaseStep(1, 1, start), keepStep(1, 1)})
	require.NoError(t, err)
	require.NoError(t, outcomes[1].Err)
	require.NoError(t, outcomes[2].Err)
	require.ErrorIs(t, outcomes[3].Err, storage.ErrLeaseLost, "the step before gave the lease back")
	runs, err := tasks.LoadRuns(t.Context(), taskID(1), []int{2})
	require.NoError(t, err)
	require.Equal(t, storage.RunOK, runs[0].Status)
}
