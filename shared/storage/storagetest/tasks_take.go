package storagetest

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

var tasksTakeTests = []tasksTest{
	{"Take_CommitsTheStepAndHoldsTheTask", takeHolds},
	{"Take_ReleasesUntilTheGivenTime", takeReleases},
	{"Take_EndsTheTask", takeEnds},
	{"Take_AppliesTheWholeInbox", takeAppliesInbox},
	{"Take_WritesNothingWhereTheTaskIsNotAsSeen", takeMoved},
	{"Take_WritesNothingTwice", takeTwice},
	{"Take_LeavesTheOthersOfABatchUntouched", takePartlyFailing},
	{"Race_OneTakeWins", raceTakes},
	{"Race_NoEventIsLostBetweenAppendAndTake", raceAppendTake},
	{"Race_TakeAndClaimNeverBothHold", raceClaimTake},
}

// waitingTask is a task that waits for an event; its epoch is 1.
func waitingTask(n int) storage.NewTask {
	created := heldTask(n)
	created.Task.Status, created.Task.WaitsFor = storage.TaskWaitingQueue, storage.WaitQueue
	created.Task.Lease, created.Task.RunnableAt = storage.Lease{Epoch: 1}, time.Time{}
	return created
}

// taking makes a step one that takes the lease that it is made under.
func taking(step storage.TaskStep) storage.TaskStep {
	step.Take = &storage.Take{Owner: "beta", Until: after(time.Minute)}
	return step
}

func takeHolds(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, waitingTask(1))
	step := taking(keepStep(1, 1))
	made := storage.TaskEvent{
		TaskID: taskID(1), SourceID: "run-1-1", Kind: storage.EventRunFinished, Data: []byte(`{"no":1}`), At: after(time.Second), Seq: 2,
	}
	step.Events = []storage.TaskEvent{made}
	step.Started = []storage.NodeRun{startedRun(1, 2)}
	step.Finished = []storage.RunFinish{{No: 1, Status: storage.RunOK, FinishedAt: after(time.Second)}}
	step.Outbox = []storage.OutboxMessage{putJob("m1", start)}
	mustSettle(t, tasks, step)

	want := waitingTask(1).Task
	want.Status, want.Shared, want.State, want.CurrentNode = step.Status, step.Shared, step.State, step.CurrentNode
	want.Seq, want.UpdatedAt, want.WaitsFor = 2, step.At, storage.WaitNone
	want.Lease = storage.Lease{Owner: "beta", Expiry: after(time.Minute), Epoch: 2}
	want.RunnableAt = after(time.Minute)
	all := snapshot(t, tasks, 1)
	require.Equal(t, want, all.task)
	require.Equal(t, []storage.TaskEvent{startedEvent(1), made}, all.events)
	require.Len(t, all.runs, 2)
	require.Equal(t, storage.RunOK, all.runs[0].Status)
	messages, err := tasks.ClaimOutbox(t.Context(), start, after(time.Second), 10)
	require.NoError(t, err)
	require.Len(t, messages, 1)

	_, err = tasks.ClaimTask(t.Context(), taskID(1), claimBy("gamma", after(time.Second)))
	require.ErrorIs(t, err, storage.ErrLeaseHeld)
	mustSettle(t, tasks, keepStep(1, 2))
}

func takeReleases(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, waitingTask(1), waitingTask(2))
	mustSettle(t, tasks, taking(releaseStep(1, 1, after(time.Hour))), taking(releaseStep(2, 1, time.Time{})))
	timer, idle := mustGet(t, tasks, 1), mustGet(t, tasks, 2)
	require.Equal(t, storage.Lease{Epoch: 2}, timer.Lease)
	require.Equal(t, after(time.Hour), timer.RunnableAt)
	require.Equal(t, storage.Lease{Epoch: 2}, idle.Lease)
	require.Zero(t, idle.RunnableAt)
	requireMoved(t, tasks, taking(keepStep(1, 1)))
	mustSettle(t, tasks, taking(keepStep(1, 2)))
}

func takeEnds(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, waitingTask(1))
	step := taking(endStep(1, 1))
	step.WaitsFor, step.RunnableAt = storage.WaitTimer, after(time.Hour) // a terminal step has neither
	mustSettle(t, tasks, step)
	task := mustGet(t, tasks, 1)
	require.Equal(t, storage.TaskCompleted, task.Status)
	require.Equal(t, storage.Lease{Epoch: 2}, task.Lease)
	require.Equal(t, storage.WaitNone, task.WaitsFor)
	require.Zero(t, task.RunnableAt)
	require.Equal(t, step.FinishedAt, task.FinishedAt)
}

func takeAppliesInbox(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, waitingTask(1))
	mustAppend(t, tasks, signal(1, "s1"))
	step := taking(endStep(1, 1))
	requireMoved(t, tasks, step)
	inbox, err := tasks.LoadInbox(t.Context(), taskID(1), 10)
	require.NoError(t, err)
	inbox[0].Seq = 2
	step.Events, step.InboxDone = inbox, 1
	mustSettle(t, tasks, step)
	require.Equal(t, storage.TaskCompleted, mustGet(t, tasks, 1).Status)
}

// requireMoved settles a full step and requires that it wrote nothing.
func requireMoved(t *testing.T, tasks storage.Tasks, step storage.TaskStep) {
	t.Helper()
	before := snapshot(t, tasks, 1)
	step.Events = []storage.TaskEvent{{TaskID: taskID(1), SourceID: "lost", Kind: storage.EventTimerFired, Data: []byte(`{}`), At: start, Seq: 2}}
	step.Started = []storage.NodeRun{startedRun(1, 2)}
	step.Finished = []storage.RunFinish{{No: 1, Status: storage.RunError}}
	step.Outbox = []storage.OutboxMessage{putJob("lost", start)}
	outcomes, err := tasks.SettleSteps(t.Context(), []storage.TaskStep{step})
	require.NoError(t, err)
	require.Equal(t, []storage.StepOutcome{{Err: storage.ErrMoved}}, outcomes)
	require.Equal(t, before, snapshot(t, tasks, 1))
	messages, err := tasks.ClaimOutbox(t.Context(), after(time.Hour), after(2*time.Hour), 10)
	require.NoError(t, err)
	require.Empty(t, messages)
}

func takeMoved(t *testing.T, tasks storage.Tasks) {
	refused := func(epoch int64) {
		t.Helper()
		requireMoved(t, tasks, taking(keepStep(1, epoch)))
		requireMoved(t, tasks, taking(endStep(1, epoch)))
		requireMoved(t, tasks, taking(releaseStep(1, epoch, start)))
	}
	mustCreate(t, tasks, waitingTask(1))
	refused(0)
	refused(2)
	_, err := tasks.ClaimTask(t.Context(), taskID(1), claimBy("gamma", start))
	require.NoError(t, err)
	refused(2) // though the lease may have expired: its owner's executions may not have
	_, err = tasks.ReleaseLeases(t.Context(), []storage.LeaseRef{{TaskID: taskID(1), Epoch: 2}}, time.Time{})
	require.NoError(t, err)
	refused(1)
	mustAppend(t, tasks, cancel(1, "c"))
	refused(2)
	step := keepStep(1, 2)
	step.InboxDone = 1 // a cancel is not for a step that goes on
	requireMoved(t, tasks, taking(step))
	_, err = tasks.ClaimTask(t.Context(), taskID(1), claimBy("gamma", start))
	require.NoError(t, err)
	end := endStep(1, 3)
	end.InboxDone = 1
	mustSettle(t, tasks, end)
	end.Lease.Epoch = 3
	requireMoved(t, tasks, taking(end))

	outcomes, err := tasks.SettleSteps(t.Context(), []storage.TaskStep{taking(keepStep(9, 1))})
	require.NoError(t, err)
	require.Equal(t, []storage.StepOutcome{{Err: storage.ErrMoved}}, outcomes, "an unknown task")
}

func takeTwice(t *testing.T, tasks storage.Tasks) {
	for n, step := range []storage.TaskStep{keepStep(0, 1), releaseStep(1, 1, start), endStep(2, 1)} {
		mustCreate(t, tasks, waitingTask(n))
		step = taking(step)
		mustSettle(t, tasks, step)
		before := snapshot(t, tasks, n)
		outcomes, err := tasks.SettleSteps(t.Context(), []storage.TaskStep{step})
		require.NoError(t, err)
		require.Equal(t, []storage.StepOutcome{{Err: storage.ErrMoved}}, outcomes)
		require.Equal(t, before, snapshot(t, tasks, n))
	}
}

func takePartlyFailing(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, waitingTask(1), waitingTask(2), heldTask(3))
	outcomes, err := tasks.SettleSteps(t.Context(), []storage.TaskStep{
		taking(keepStep(2, 7)), taking(endStep(3, 1)), keepStep(1, 1), keepStep(3, 1), taking(endStep(1, 1)),
	})
	require.NoError(t, err)
	require.Equal(t, []storage.StepOutcome{
		{Err: storage.ErrMoved}, {Err: storage.ErrMoved}, {Err: storage.ErrLeaseLost}, {}, {},
	}, outcomes)
	require.Equal(t, storage.TaskWaitingQueue, mustGet(t, tasks, 2).Status)
}

func raceTakes(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, waitingTask(1))
	var won, moved atomic.Int64
	race(func(i int) {
		step := taking([]storage.TaskStep{keepStep(1, 1), releaseStep(1, 1, start), endStep(1, 1)}[i%3])
		outcomes, err := tasks.SettleSteps(t.Context(), []storage.TaskStep{step})
		switch {
		case !assert.NoError(t, err):
		case outcomes[0].Err == nil:
			won.Add(1)
		case errors.Is(outcomes[0].Err, storage.ErrMoved):
			moved.Add(1)
		}
	})
	require.Equal(t, int64(1), won.Load())
	require.Equal(t, int64(racers-1), moved.Load())
	require.Equal(t, int64(2), mustGet(t, tasks, 1).Lease.Epoch)
}

// An event that comes beside a take is found by whoever holds the task then, or
// makes it runnable; and no task ends with an event that nobody heard.
func raceAppendTake(t *testing.T, tasks storage.Tasks) {
	const rounds = 30
	for n := range rounds {
		mustCreate(t, tasks, waitingTask(n))
		step := taking([]storage.TaskStep{keepStep(n, 1), releaseStep(n, 1, time.Time{}), endStep(n, 1)}[n%3])
		var taken, appended atomic.Bool
		race(func(i int) {
			if i%2 == 0 {
				outcomes, err := tasks.SettleSteps(t.Context(), []storage.TaskStep{step})
				if assert.NoError(t, err) && outcomes[0].Err == nil {
					assert.False(t, taken.Swap(true), "taken once")
				}
				return
			}
			outcomes, err := tasks.AppendEvents(t.Context(), []storage.InboxEvent{signal(n, "s")})
			if assert.NoError(t, err) && outcomes[0].Err == nil && !outcomes[0].Duplicate {
				assert.False(t, appended.Swap(true), "appended once")
			}
		})
		task := mustGet(t, tasks, n)
		require.True(t, taken.Load() || appended.Load())
		require.Equal(t, appended.Load(), task.InboxSeq == 1)
		if appended.Load() {
			require.False(t, task.Status.Terminal(), "ended with an event that nobody heard")
			require.NotZero(t, task.RunnableAt, "a wake-up is lost")
		}
	}
}

func raceClaimTake(t *testing.T, tasks storage.Tasks) {
	const rounds = 30
	for n := range rounds {
		created := waitingTask(n)
		created.Task.RunnableAt = start
		mustCreate(t, tasks, created)
		var holders atomic.Int64
		race(func(i int) {
			switch i % 2 {
			case 0:
				outcomes, err := tasks.SettleSteps(t.Context(), []storage.TaskStep{taking(keepStep(n, 1))})
				if assert.NoError(t, err) && outcomes[0].Err == nil {
					holders.Add(1)
				}
			default:
				claimed, err := tasks.ClaimTasks(t.Context(), claimBy("gamma", start), 1)
				if assert.NoError(t, err) {
					holders.Add(int64(len(claimed)))
				}
			}
		})
		require.Equal(t, int64(1), holders.Load())
		require.Equal(t, int64(2), mustGet(t, tasks, n).Lease.Epoch)
	}
}
