package storagetest

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

var tasksCreateTests = []tasksTest{
	{"Create_KeepsEveryField", createKeepsEveryField},
	{"Create_KeepsJSONByteForByte", createKeepsJSON},
	{"Create_WritesTheFirstStepWithTheTask", createWritesFirstStep},
	{"Create_AnswersARepeatedRequestWithItsTask", createRepeatedRequest},
	{"Create_RefusesARequestIDWithAnotherBody", createOtherBody},
	{"Create_RefusesATaskIDThatExists", createExistingID},
	{"Create_MakesOneTaskOfARequestTwiceInOneBatch", createTwiceInBatch},
	{"Create_LeavesTheOthersOfABatchUntouched", createPartlyFailing},
	{"Create_HasNoIdempotencyWithoutARequestID", createWithoutRequestID},
	{"Create_OfNothingIsNothing", createNothing},
}

func createKeepsEveryField(t *testing.T, tasks storage.Tasks) {
	full := storage.NewTask{Task: storage.Task{
		ID: taskID(1), FlowID: "flow-9", FlowVersionID: "ver-9", FlowName: "naïve ☃", FlowVersion: 12,
		Status: storage.TaskFailed, Params: json.RawMessage(`{"p":1}`), Shared: json.RawMessage(`{"s":1}`),
		State: json.RawMessage(`[1]`), CurrentNode: "node", WaitsFor: storage.WaitRetry, Error: json.RawMessage(`{"code":"x"}`),
		RequestID: "req", RequestHash: "hash", Trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		RunnableAt: after(1 * time.Microsecond),
		Lease:      storage.Lease{Owner: "alpha", Expiry: after(2 * time.Microsecond), Epoch: 1 << 40},
		Seq:        1 << 41, InboxSeq: 1 << 42, InboxDone: 1 << 43,
		CreatedAt: after(3 * time.Microsecond), UpdatedAt: after(4 * time.Microsecond), FinishedAt: after(5 * time.Microsecond),
	}}
	bare := pendingTask(2)
	bare.Task.State, bare.Task.RunnableAt = nil, time.Time{}
	mustCreate(t, tasks, full, bare)
	require.Equal(t, full.Task, mustGet(t, tasks, 1))
	require.Equal(t, bare.Task, mustGet(t, tasks, 2))
}

func createKeepsJSON(t *testing.T, tasks storage.Tasks) {
	created := heldTask(1)
	const tricky = `{"z":1,  "a":12345678901234567890123, "d":1.10, "e":1E400, "u":"\u0000 \ud83d\ude00 😀 ü", "z":2,` + "\n\t" + `"n":null}`
	created.Task.Params, created.Task.Shared, created.Task.State = json.RawMessage(tricky), json.RawMessage(tricky), json.RawMessage(tricky)
	created.Started[0].Input = json.RawMessage(tricky)
	created.Events[0].Data = json.RawMessage(tricky)
	created.Outbox = []storage.OutboxMessage{{
		ID: "m1", TaskID: taskID(1), Kind: storage.OutboxPutJob, Payload: json.RawMessage(tricky), NextAt: start,
	}}
	mustCreate(t, tasks, created)

	task := mustGet(t, tasks, 1)
	require.Equal(t, tricky, string(task.Params))
	require.Equal(t, tricky, string(task.Shared))
	require.Equal(t, tricky, string(task.State))
	runs, err := tasks.ListRuns(t.Context(), taskID(1))
	require.NoError(t, err)
	require.Equal(t, tricky, string(runs[0].Input))
	events, err := tasks.ListEvents(t.Context(), taskID(1), 0, 10)
	require.NoError(t, err)
	require.Equal(t, tricky, string(events[0].Data))
	messages, err := tasks.ClaimOutbox(t.Context(), start, after(time.Second), 1)
	require.NoError(t, err)
	require.Equal(t, tricky, string(messages[0].Payload))
}

func createWritesFirstStep(t *testing.T, tasks storage.Tasks) {
	created := heldTask(1)
	created.Outbox = []storage.OutboxMessage{putJob("m1", start)}
	mustCreate(t, tasks, created)

	require.Equal(t, created.Task, mustGet(t, tasks, 1))
	runs, err := tasks.ListRuns(t.Context(), taskID(1))
	require.NoError(t, err)
	require.Equal(t, created.Started, runs)
	events, err := tasks.ListEvents(t.Context(), taskID(1), 0, 10)
	require.NoError(t, err)
	require.Equal(t, created.Events, events)
	messages, err := tasks.ClaimOutbox(t.Context(), start, after(time.Second), 10)
	require.NoError(t, err)
	require.Len(t, messages, 1)
}

func requested(n int, requestID, hash string) storage.NewTask {
	created := heldTask(n)
	created.Task.RequestID, created.Task.RequestHash = requestID, hash
	return created
}

func createRepeatedRequest(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, requested(1, "req", "hash"))
	mustSettle(t, tasks, keepStep(1, 1))
	made := mustGet(t, tasks, 1)

	for _, repeat := range []storage.NewTask{requested(1, "req", "hash"), requested(2, "req", "hash")} {
		outcomes, err := tasks.CreateTasks(t.Context(), []storage.NewTask{repeat})
		require.NoError(t, err)
		require.Equal(t, []storage.CreateOutcome{{Existing: true, Task: made}}, outcomes)
	}
	_, err := tasks.GetTask(t.Context(), taskID(2))
	require.ErrorIs(t, err, storage.ErrNotFound)
	for _, id := range []string{taskID(1), taskID(2)} {
		runs, err := tasks.ListRuns(t.Context(), id)
		require.NoError(t, err)
		require.Len(t, runs, map[string]int{taskID(1): 1}[id])
	}
}

func createOtherBody(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, requested(1, "req", "hash"))
	outcomes, err := tasks.CreateTasks(t.Context(), []storage.NewTask{requested(2, "req", "other")})
	require.NoError(t, err)
	require.ErrorIs(t, outcomes[0].Err, storage.ErrConflict)
	require.False(t, outcomes[0].Existing)
	require.Equal(t, taskID(1), outcomes[0].Task.ID)
	_, err = tasks.GetTask(t.Context(), taskID(2))
	require.ErrorIs(t, err, storage.ErrNotFound)
}

func createExistingID(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, pendingTask(1))
	outcomes, err := tasks.CreateTasks(t.Context(), []storage.NewTask{heldTask(1), requested(1, "req", "hash")})
	require.NoError(t, err)
	require.ErrorIs(t, outcomes[0].Err, storage.ErrConflict)
	require.ErrorIs(t, outcomes[1].Err, storage.ErrConflict)
	require.Equal(t, pendingTask(1).Task, mustGet(t, tasks, 1))
	runs, err := tasks.ListRuns(t.Context(), taskID(1))
	require.NoError(t, err)
	require.Empty(t, runs)
}

func createTwiceInBatch(t *testing.T, tasks storage.Tasks) {
	outcomes, err := tasks.CreateTasks(t.Context(), []storage.NewTask{
		requested(1, "req", "hash"), requested(2, "req", "hash"), requested(3, "req", "other"),
	})
	require.NoError(t, err)
	require.Equal(t, storage.CreateOutcome{Task: requested(1, "req", "hash").Task}, outcomes[0])
	require.Equal(t, storage.CreateOutcome{Existing: true, Task: requested(1, "req", "hash").Task}, outcomes[1])
	require.ErrorIs(t, outcomes[2].Err, storage.ErrConflict)
	page, err := tasks.ListTasks(t.Context(), storage.TaskQuery{ListOptions: storage.ListOptions{Limit: 10}})
	require.NoError(t, err)
	require.Equal(t, 1, page.Total)
}

func createPartlyFailing(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, pendingTask(2))
	outcomes, err := tasks.CreateTasks(t.Context(), []storage.NewTask{heldTask(3), heldTask(2), heldTask(1)})
	require.NoError(t, err)
	require.Equal(t, storage.CreateOutcome{Task: heldTask(3).Task}, outcomes[0])
	require.ErrorIs(t, outcomes[1].Err, storage.ErrConflict)
	require.Equal(t, storage.CreateOutcome{Task: heldTask(1).Task}, outcomes[2])
	for _, n := range []int{1, 3} {
		require.Equal(t, heldTask(n).Task, mustGet(t, tasks, n))
		runs, err := tasks.ListRuns(t.Context(), taskID(n))
		require.NoError(t, err)
		require.Len(t, runs, 1)
	}
}

func createWithoutRequestID(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, pendingTask(1), pendingTask(2))
	mustCreate(t, tasks, pendingTask(3))
}

func createNothing(t *testing.T, tasks storage.Tasks) {
	outcomes, err := tasks.CreateTasks(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, outcomes)
}
