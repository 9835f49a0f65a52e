package storagetest

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

var tasksInboxTests = []tasksTest{
	{"Append_PutsEventsInOrderOfArrival", appendInOrder},
	{"Append_MakesAFreeTaskRunnableAtOnce", appendWakes},
	{"Append_NeverMovesRunnableAtBack", appendKeepsEarlier},
	{"Append_LeavesTheHolderItsLease", appendToLeased},
	{"Append_TellsAnExpiredLeaseFromAHeldOne", appendToExpired},
	{"Append_OfAKnownSourceIsADuplicate", appendDuplicate},
	{"Append_ToAnEndedTaskIsRefused", appendToEnded},
	{"Append_ToAnUnknownTaskIsNotFound", appendToUnknown},
	{"Append_OfACancelSetsCancelingAndClosesTheInbox", appendCancel},
	{"Append_LeavesTheOthersOfABatchUntouched", appendPartlyFailing},
	{"Append_OnlyAtAPlaceIsForATaskThatIsThere", appendOnlyAt},
	{"Append_OnlyAtAPlaceIsNotForAHeldTask", appendOnlyAtHeld},
	{"Append_OnlyAtAPlaceAnswersTheRestFirst", appendOnlyAtLast},
	{"Inbox_EmptiesAsStepsApplyIt", inboxEmpties},
	{"Inbox_LoadsTheFirstUpToTheLimit", inboxLimit},
	{"Subscribe_HearsOfNewsAndOnlyOfNews", hearsOfNews},
	{"Subscribe_HearsNothingOfNewTasksThatNobodyCanRun", hearsOfRunnable},
	{"Subscribe_HearsOfEachTaskOfALargeBatch", hearsOfBatch},
}

func appendInOrder(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, pendingTask(1), pendingTask(2))
	mustAppend(t, tasks, signal(1, "z"), signal(2, "m"), signal(1, "a"))
	mustAppend(t, tasks, signal(1, "k"))
	inbox, err := tasks.LoadInbox(t.Context(), taskID(1), 100)
	require.NoError(t, err)
	want := []storage.TaskEvent{}
	for i, source := range []string{"z", "a", "k"} {
		want = append(want, storage.TaskEvent{
			TaskID: taskID(1), SourceID: source, Kind: storage.EventSignal, Data: json.RawMessage(`{"key":"` + source + `"}`),
			At: after(2 * time.Second), Arrival: int64(i + 1),
		})
	}
	require.Equal(t, want, inbox)
	task := mustGet(t, tasks, 1)
	require.Equal(t, int64(3), task.InboxSeq)
	require.Zero(t, task.InboxDone)
	require.Equal(t, after(2*time.Second), task.UpdatedAt)
	require.Equal(t, storage.TaskPending, task.Status)
	events, err := tasks.ListEvents(t.Context(), taskID(1), 0, 10)
	require.NoError(t, err)
	require.Empty(t, events, "none is applied")
}

func appendWakes(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, heldTask(1), heldTask(2))
	mustSettle(t, tasks, releaseStep(1, 1, time.Time{}), releaseStep(2, 1, after(time.Hour)))
	outcomes, err := tasks.AppendEvents(t.Context(), []storage.InboxEvent{signal(1, "s"), signal(2, "s")})
	require.NoError(t, err)
	require.Equal(t, []storage.AppendOutcome{{}, {}}, outcomes)
	for _, n := range []int{1, 2} {
		require.Equal(t, after(2*time.Second), mustGet(t, tasks, n).RunnableAt)
	}
	claimed, err := tasks.ClaimTasks(t.Context(), claimBy("beta", after(2*time.Second)), 10)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{taskID(1), taskID(2)}, idsOf(claimed))
}

func appendKeepsEarlier(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, pendingTask(1))
	mustAppend(t, tasks, signal(1, "s"))
	require.Equal(t, start, mustGet(t, tasks, 1).RunnableAt)
}

func appendToLeased(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, heldTask(1))
	outcomes, err := tasks.AppendEvents(t.Context(), []storage.InboxEvent{signal(1, "s")})
	require.NoError(t, err)
	require.Equal(t, []storage.AppendOutcome{{Leased: true}}, outcomes)
	task := mustGet(t, tasks, 1)
	require.Equal(t, heldTask(1).Task.Lease, task.Lease)
	require.Equal(t, heldTask(1).Task.RunnableAt, task.RunnableAt)
}

func appendToExpired(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, heldTask(1))
	event := signal(1, "s")
	event.At = after(time.Minute)
	outcomes, err := tasks.AppendEvents(t.Context(), []storage.InboxEvent{event})
	require.NoError(t, err)
	require.Equal(t, []storage.AppendOutcome{{}}, outcomes)
	claimed, err := tasks.ClaimTasks(t.Context(), claimBy("beta", after(time.Minute)), 10)
	require.NoError(t, err)
	require.Len(t, claimed, 1)
}

func appendDuplicate(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, heldTask(1), heldTask(2))
	mustAppend(t, tasks, signal(1, "s"))
	before := snapshot(t, tasks, 1)
	other := cancel(1, "s")
	outcomes, err := tasks.AppendEvents(t.Context(), []storage.InboxEvent{signal(1, "s"), other, signal(2, "s"), signal(2, "s")})
	require.NoError(t, err)
	require.Equal(t, []storage.AppendOutcome{
		{Duplicate: true, Leased: true, Stored: storedSignal(1, "s", 1)}, {Duplicate: true, Leased: true, Stored: storedSignal(1, "s", 1)},
		{Leased: true}, {Duplicate: true, Leased: true, Stored: storedSignal(2, "s", 1)},
	}, outcomes)
	require.Equal(t, before, snapshot(t, tasks, 1))
	require.Equal(t, int64(1), mustGet(t, tasks, 2).InboxSeq)

	step := endStep(1, 1)
	step.InboxDone, step.Seq = 1, 2
	step.Events = before.inbox
	step.Events[0].Seq = 2
	mustSettle(t, tasks, step)
	outcomes, err = tasks.AppendEvents(t.Context(), []storage.InboxEvent{signal(1, "s")})
	require.NoError(t, err)
	require.Equal(t, []storage.AppendOutcome{{Duplicate: true, Stored: step.Events[0]}}, outcomes, "applied, and the task has ended")
}

func appendToEnded(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, heldTask(1))
	mustSettle(t, tasks, endStep(1, 1))
	before := snapshot(t, tasks, 1)
	outcomes, err := tasks.AppendEvents(t.Context(), []storage.InboxEvent{signal(1, "s"), cancel(1, "c")})
	require.NoError(t, err)
	require.Equal(t, []storage.AppendOutcome{{Err: storage.ErrEnded}, {Err: storage.ErrEnded}}, outcomes)
	require.Equal(t, before, snapshot(t, tasks, 1))
}

func appendToUnknown(t *testing.T, tasks storage.Tasks) {
	outcomes, err := tasks.AppendEvents(t.Context(), []storage.InboxEvent{signal(1, "s")})
	require.NoError(t, err)
	require.Equal(t, []storage.AppendOutcome{{Err: storage.ErrNotFound}}, outcomes)
	inbox, err := tasks.LoadInbox(t.Context(), taskID(1), 100)
	require.NoError(t, err)
	require.Empty(t, inbox)
}

func appendCancel(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, pendingTask(1), heldTask(2))
	mustAppend(t, tasks, cancel(1, "c"), cancel(2, "c"))
	for _, n := range []int{1, 2} {
		require.Equal(t, storage.TaskCanceling, mustGet(t, tasks, n).Status)
	}
	before := snapshot(t, tasks, 1)
	outcomes, err := tasks.AppendEvents(t.Context(), []storage.InboxEvent{signal(1, "s"), cancel(1, "c"), cancel(1, "again")})
	require.NoError(t, err)
	require.Equal(t, []storage.AppendOutcome{
		{Err: storage.ErrEnded}, {Duplicate: true, Stored: before.inbox[0]}, {Err: storage.ErrEnded},
	}, outcomes)
	require.Equal(t, before, snapshot(t, tasks, 1))
}

func appendPartlyFailing(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, heldTask(1), pendingTask(2))
	mustSettle(t, tasks, endStep(1, 1))
	outcomes, err := tasks.AppendEvents(t.Context(), []storage.InboxEvent{
		signal(9, "s"), signal(2, "s1"), signal(1, "s"), signal(2, "s1"), signal(2, "s2"),
	})
	require.NoError(t, err)
	require.Equal(t, []storage.AppendOutcome{
		{Err: storage.ErrNotFound}, {}, {Err: storage.ErrEnded}, {Duplicate: true, Stored: storedSignal(2, "s1", 1)}, {},
	}, outcomes)
	inbox, err := tasks.LoadInbox(t.Context(), taskID(2), 100)
	require.NoError(t, err)
	require.Len(t, inbox, 2)
	require.Equal(t, int64(2), inbox[1].Arrival, "failed items leave no gap")
}

func onlyAt(event storage.InboxEvent, seq, inboxSeq int64) storage.InboxEvent {
	event.OnlyAt = &storage.TaskPosition{Seq: seq, InboxSeq: inboxSeq}
	return event
}

func appendOnlyAt(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, heldTask(1), pendingTask(2))
	mustAppend(t, tasks, signal(1, "s"))
	step := releaseStep(1, 1, time.Time{}) // to 2, and the inbox is at 1
	step.InboxDone, step.Events = 1, []storage.TaskEvent{storedSignal(1, "s", 1)}
	step.Events[0].Seq = 2
	mustSettle(t, tasks, step)
	before := snapshot(t, tasks, 1)
	moved := storage.AppendOutcome{Err: storage.ErrMoved}
	outcomes, err := tasks.AppendEvents(t.Context(), []storage.InboxEvent{
		onlyAt(signal(1, "a"), 1, 1), onlyAt(signal(1, "a"), 3, 1), onlyAt(signal(1, "a"), 2, 0), onlyAt(cancel(1, "a"), 2, 2),
	})
	require.NoError(t, err)
	require.Equal(t, []storage.AppendOutcome{moved, moved, moved, moved}, outcomes)
	require.Equal(t, before, snapshot(t, tasks, 1))

	outcomes, err = tasks.AppendEvents(t.Context(), []storage.InboxEvent{
		onlyAt(signal(1, "a"), 2, 1), onlyAt(signal(1, "b"), 2, 1), signal(1, "c"), onlyAt(signal(2, "a"), 0, 0),
	})
	require.NoError(t, err)
	require.Equal(t, []storage.AppendOutcome{{}, moved, {}, {}}, outcomes, "the first of the batch moves the task for the second")
	inbox, err := tasks.LoadInbox(t.Context(), taskID(1), 100)
	require.NoError(t, err)
	require.Equal(t, []storage.TaskEvent{storedSignal(1, "a", 2), storedSignal(1, "c", 3)}, inbox)
	require.Equal(t, after(2*time.Second), mustGet(t, tasks, 1).RunnableAt, "it is runnable at once")
}

func appendOnlyAtHeld(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, heldTask(1))
	held, expired := onlyAt(signal(1, "a"), 1, 0), onlyAt(signal(1, "b"), 1, 0)
	expired.At = after(time.Hour)
	outcomes, err := tasks.AppendEvents(t.Context(), []storage.InboxEvent{held, expired})
	require.NoError(t, err)
	require.Equal(t, []storage.AppendOutcome{{Err: storage.ErrMoved}, {Err: storage.ErrMoved}}, outcomes,
		"nor is an expired lease free: a step under it may still commit")
	require.Zero(t, mustGet(t, tasks, 1).InboxSeq)
}

func appendOnlyAtLast(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, heldTask(1), heldTask(2), pendingTask(3))
	mustSettle(t, tasks, endStep(1, 1))
	mustAppend(t, tasks, signal(2, "known"), cancel(3, "c"))
	outcomes, err := tasks.AppendEvents(t.Context(), []storage.InboxEvent{
		onlyAt(signal(9, "s"), 7, 7), onlyAt(signal(1, "s"), 7, 7), onlyAt(signal(2, "known"), 7, 7), onlyAt(signal(3, "s"), 7, 7),
	})
	require.NoError(t, err)
	require.Equal(t, []storage.AppendOutcome{
		{Err: storage.ErrNotFound}, {Err: storage.ErrEnded},
		{Duplicate: true, Leased: true, Stored: storedSignal(2, "known", 1)}, {Err: storage.ErrEnded},
	}, outcomes)
}

func inboxEmpties(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, heldTask(1))
	mustAppend(t, tasks, signal(1, "a"), signal(1, "b"))
	inbox, err := tasks.LoadInbox(t.Context(), taskID(1), 100)
	require.NoError(t, err)
	step := keepStep(1, 1)
	step.InboxDone, step.Seq, step.Events = 1, 2, inbox[:1]
	step.Events[0].Seq = 2
	mustSettle(t, tasks, step)
	left, err := tasks.LoadInbox(t.Context(), taskID(1), 100)
	require.NoError(t, err)
	require.Equal(t, inbox[1:], left)
	applied, err := tasks.ListEvents(t.Context(), taskID(1), 1, 10)
	require.NoError(t, err)
	require.Equal(t, step.Events, applied)
}

func inboxLimit(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, heldTask(1), heldTask(2))
	mustAppend(t, tasks, signal(1, "z"), signal(2, "other"), signal(1, "m"), signal(1, "a"))
	all, err := tasks.LoadInbox(t.Context(), taskID(1), 100)
	require.NoError(t, err)
	require.Len(t, all, 3)
	for limit := range 4 {
		first, err := tasks.LoadInbox(t.Context(), taskID(1), limit)
		require.NoError(t, err)
		require.Equal(t, all[:limit], first)
	}
}

// listen subscribes and returns the hints' channel, once they arrive.
func listen(t *testing.T, tasks storage.Tasks) <-chan storage.TaskHint {
	hints := make(chan storage.TaskHint, 4096)
	ended := make(chan error, 1)
	ctx := t.Context()
	go func() {
		ended <- tasks.Subscribe(ctx, func(hint storage.TaskHint) {
			select {
			case hints <- hint:
			default:
			}
		})
	}()
	t.Cleanup(func() { require.NoError(t, <-ended) })
	mustCreate(t, tasks, pendingTask(9000))
	// A subscription takes a moment on a server; its first hint shows that it
	// stands.
	for n := 0; ; n++ {
		mustAppend(t, tasks, signal(9000, time.Duration(n).String()))
		select {
		case <-hints:
			return hints
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// hear waits for a hint of the task and returns those of others before it.
func hear(t *testing.T, hints <-chan storage.TaskHint, n int) map[string]bool {
	others := map[string]bool{}
	for {
		select {
		case hint := <-hints:
			switch hint.TaskID {
			case taskID(n):
				return others
			case taskID(9000):
			default:
				others[hint.TaskID] = true
			}
		case <-time.After(10 * time.Second):
			require.FailNow(t, "no hint", "of task %d", n)
		}
	}
}

func hearsOfNews(t *testing.T, tasks storage.Tasks) {
	hints := listen(t, tasks)
	mustCreate(t, tasks, pendingTask(1))
	require.Empty(t, hear(t, hints, 1))
	mustCreate(t, tasks, heldTask(2)) // its creator knows
	mustSettle(t, tasks, keepStep(2, 1))
	mustAppend(t, tasks, signal(1, "s"))
	require.Empty(t, hear(t, hints, 1))
	mustAppend(t, tasks, signal(2, "s"))
	require.Empty(t, hear(t, hints, 2))
}

func hearsOfRunnable(t *testing.T, tasks storage.Tasks) {
	hints := listen(t, tasks)
	ended, idle, later := pendingTask(1), pendingTask(2), pendingTask(3)
	ended.Task.Status, ended.Task.CurrentNode, ended.Task.FinishedAt = storage.TaskCompleted, "", start
	ended.Task.RunnableAt = time.Time{}
	idle.Task.Status, idle.Task.RunnableAt = storage.TaskWaitingQueue, time.Time{}
	later.Task.Status, later.Task.RunnableAt = storage.TaskWaiting, after(time.Microsecond)
	mustCreate(t, tasks, ended, idle, later)
	mustCreate(t, tasks, pendingTask(4))
	require.Empty(t, hear(t, hints, 4))
}

func hearsOfBatch(t *testing.T, tasks storage.Tasks) {
	hints := listen(t, tasks)
	const count = 500
	created := make([]storage.NewTask, count)
	for n := range created {
		created[n] = pendingTask(n)
	}
	mustCreate(t, tasks, created...)
	heard := map[string]bool{}
	require.Eventually(t, func() bool {
		for len(hints) > 0 {
			heard[(<-hints).TaskID] = true
		}
		delete(heard, taskID(9000))
		return len(heard) == count
	}, 10*time.Second, 5*time.Millisecond)
}
