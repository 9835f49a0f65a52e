package storagetest

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// RunTasks runs the conformance suite of storage.Tasks. open returns an empty,
// migrated store and closes it when its test ends; it is called once per
// subtest, and subtests run in parallel.
func RunTasks(t *testing.T, open func(t *testing.T) storage.Tasks) {
	for _, group := range [][]tasksTest{
		tasksCreateTests, tasksReadTests, tasksSettleTests, tasksTakeTests, tasksInboxTests, tasksLeaseTests, tasksOutboxTests,
		tasksMarkTests, tasksLogTests, tasksStatsTests,
		tasksTextTests, tasksRaceTests, tasksModelTests,
	} {
		for _, test := range group {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				test.run(t, open(t))
			})
		}
	}
}

type tasksTest struct {
	name string
	run  func(t *testing.T, tasks storage.Tasks)
}

// The time at which the suite's stories begin; not a round number, so that a
// column that keeps less than microseconds shows.
var start = time.Date(2026, 3, 4, 5, 6, 7, 890123000, time.UTC)

// after is a time of the story.
func after(d time.Duration) time.Time { return start.Add(d) }

// taskID is an id that sorts by its number, as those made of the clock do.
func taskID(n int) string { return fmt.Sprintf("task-%04d", n) }

// pendingTask is a task that nobody holds, runnable since it was made.
func pendingTask(n int) storage.NewTask {
	return storage.NewTask{Task: storage.Task{
		ID: taskID(n), FlowID: "flow-1", FlowVersionID: "ver-1", FlowName: "order", FlowVersion: 3,
		Status: storage.TaskPending, Params: json.RawMessage(`{"n":1}`), Shared: json.RawMessage(`{}`),
		State: json.RawMessage(`{"cursor":"a"}`), CurrentNode: "a",
		RunnableAt: start, CreatedAt: start, UpdatedAt: start,
	}}
}

// heldTask is a task whose creator executes it: its lease has epoch 1 and ends
// a minute after the start.
func heldTask(n int) storage.NewTask {
	created := pendingTask(n)
	created.Task.Status = storage.TaskRunning
	created.Task.Lease = storage.Lease{Owner: "alpha", Expiry: after(time.Minute), Epoch: 1}
	created.Task.RunnableAt = after(time.Minute)
	created.Task.Seq = 1
	created.Events = []storage.TaskEvent{startedEvent(n)}
	created.Started = []storage.NodeRun{startedRun(n, 1)}
	return created
}

func startedEvent(n int) storage.TaskEvent {
	return storage.TaskEvent{
		TaskID: taskID(n), SourceID: "started", Kind: storage.EventStarted, Data: json.RawMessage(`{}`), At: start, Seq: 1,
	}
}

func startedRun(n, no int) storage.NodeRun {
	return storage.NodeRun{
		TaskID: taskID(n), No: no, ID: fmt.Sprintf("run-%d-%d", n, no), NodeKey: "a", Path: "sub/a/2", Visit: 2, Attempt: 3,
		Status: storage.RunRunning, SubStatus: "branch", BranchID: "1",
		Input: json.RawMessage(`{"x":1}`), Params: json.RawMessage(`{"p":2}`),
		WorkerID: "w1", WorkerURL: "http://w1", LogPath: "log", DecidedBy: "dora", Comment: "so be it",
		StartedAt: after(time.Millisecond),
	}
}

// keepStep is a step of a held task that goes on under its lease.
func keepStep(n int, epoch int64) storage.TaskStep {
	return storage.TaskStep{
		Lease: storage.LeaseRef{TaskID: taskID(n), Epoch: epoch}, At: after(time.Second),
		Status: storage.TaskRunning, Shared: json.RawMessage(`{"a":1}`), State: json.RawMessage(`{"cursor":"b"}`),
		CurrentNode: "b", Seq: 2,
	}
}

// endStep is a step that completes its task.
func endStep(n int, epoch int64) storage.TaskStep {
	step := keepStep(n, epoch)
	step.Status, step.CurrentNode, step.FinishedAt = storage.TaskCompleted, "", after(time.Second)
	return step
}

// releaseStep is a step after which its task waits until the given time.
func releaseStep(n int, epoch int64, runnableAt time.Time) storage.TaskStep {
	step := keepStep(n, epoch)
	step.Status, step.Release, step.RunnableAt = storage.TaskWaiting, true, runnableAt
	return step
}

func signal(n int, source string) storage.InboxEvent {
	return storage.InboxEvent{
		TaskID: taskID(n), SourceID: source, Kind: storage.EventSignal,
		Data: json.RawMessage(`{"key":"` + source + `"}`), At: after(2 * time.Second),
	}
}

// storedSignal is a signal as the log holds it.
func storedSignal(n int, source string, arrival int64) storage.TaskEvent {
	event := signal(n, source)
	return storage.TaskEvent{
		TaskID: event.TaskID, SourceID: source, Kind: event.Kind, Data: event.Data, At: event.At, Arrival: arrival,
	}
}

func cancel(n int, source string) storage.InboxEvent {
	event := signal(n, source)
	event.Kind = storage.EventCancel
	return event
}

// claimBy is a claim made at the given time, for a minute.
func claimBy(owner string, now time.Time) storage.ClaimParams {
	return storage.ClaimParams{Owner: owner, Now: now, Until: now.Add(time.Minute)}
}

// testContext is a test, or an iteration of a rapid one.
type testContext interface {
	require.TestingT
	Context() context.Context
}

// mustCreate creates tasks that must all be new.
func mustCreate(t testContext, tasks storage.Tasks, created ...storage.NewTask) {
	outcomes, err := tasks.CreateTasks(t.Context(), created)
	require.NoError(t, err)
	for i := range created {
		require.Equal(t, storage.CreateOutcome{Task: created[i].Task}, outcomes[i])
	}
}

// mustSettle commits steps that must all succeed.
func mustSettle(t testContext, tasks storage.Tasks, steps ...storage.TaskStep) {
	outcomes, err := tasks.SettleSteps(t.Context(), steps)
	require.NoError(t, err)
	require.Len(t, outcomes, len(steps))
	for _, outcome := range outcomes {
		require.NoError(t, outcome.Err)
	}
}

// mustAppend appends events that must all be new.
func mustAppend(t testContext, tasks storage.Tasks, events ...storage.InboxEvent) {
	outcomes, err := tasks.AppendEvents(t.Context(), events)
	require.NoError(t, err)
	require.Len(t, outcomes, len(events))
	for _, outcome := range outcomes {
		require.NoError(t, outcome.Err)
		require.False(t, outcome.Duplicate)
	}
}

func mustGet(t testContext, tasks storage.Tasks, n int) storage.Task {
	task, err := tasks.GetTask(t.Context(), taskID(n))
	require.NoError(t, err)
	return task
}

func idsOf(tasks []storage.Task) []string {
	ids := []string{}
	for _, task := range tasks {
		ids = append(ids, task.ID)
	}
	return ids
}
