package storagetest

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

var tasksOutboxTests = []tasksTest{
	{"Outbox_GivesDueMessagesEarliestFirst", outboxEarliest},
	{"Outbox_HoldsAMessageBackUntilItsNextTime", outboxHoldsBack},
	{"Outbox_ForgetsWhatIsAcknowledged", outboxAck},
}

func putJob(id string, nextAt time.Time) storage.OutboxMessage {
	return storage.OutboxMessage{
		ID: id, TaskID: taskID(1), Kind: storage.OutboxPutJob, Payload: json.RawMessage(`{"id":"` + id + `"}`), NextAt: nextAt,
	}
}

func createWithOutbox(t *testing.T, tasks storage.Tasks, messages ...storage.OutboxMessage) {
	created := heldTask(1)
	created.Outbox = messages
	mustCreate(t, tasks, created)
}

func outboxEarliest(t *testing.T, tasks storage.Tasks) {
	withdraw := putJob("w", after(2*time.Second))
	withdraw.Kind = storage.OutboxWithdrawJob
	createWithOutbox(t, tasks, putJob("c", after(3*time.Second)), putJob("a", after(time.Second)), withdraw)
	messages, err := tasks.ClaimOutbox(t.Context(), after(2*time.Second), after(time.Minute), 10)
	require.NoError(t, err)
	want := []storage.OutboxMessage{putJob("a", after(time.Minute)), withdraw}
	want[1].NextAt = after(time.Minute)
	want[0].Attempts, want[1].Attempts = 1, 1
	require.Equal(t, want, messages)
	messages, err = tasks.ClaimOutbox(t.Context(), after(2*time.Minute), after(3*time.Minute), 1)
	require.NoError(t, err)
	require.Equal(t, "c", messages[0].ID)
}

func outboxHoldsBack(t *testing.T, tasks storage.Tasks) {
	createWithOutbox(t, tasks, putJob("a", start))
	for i := range 3 {
		now := after(time.Duration(i) * time.Minute)
		messages, err := tasks.ClaimOutbox(t.Context(), now, now.Add(time.Minute), 10)
		require.NoError(t, err)
		require.Len(t, messages, 1)
		require.Equal(t, i+1, messages[0].Attempts)
		messages, err = tasks.ClaimOutbox(t.Context(), now.Add(time.Minute-time.Microsecond), now.Add(time.Hour), 10)
		require.NoError(t, err)
		require.Empty(t, messages)
	}
}

func outboxAck(t *testing.T, tasks storage.Tasks) {
	createWithOutbox(t, tasks, putJob("a", start), putJob("b", start), putJob("c", start))
	require.NoError(t, tasks.AckOutbox(t.Context(), []string{"c", "a", "unknown", "a"}))
	require.NoError(t, tasks.AckOutbox(t.Context(), nil))
	messages, err := tasks.ClaimOutbox(t.Context(), start, after(time.Minute), 10)
	require.NoError(t, err)
	require.Len(t, messages, 1)
	require.Equal(t, "b", messages[0].ID)
	require.NoError(t, tasks.AckOutbox(t.Context(), []string{"b"}))
	messages, err = tasks.ClaimOutbox(t.Context(), after(time.Hour), after(2*time.Hour), 10)
	require.NoError(t, err)
	require.Empty(t, messages)
}
