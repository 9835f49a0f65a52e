package storagetest

import (
	"slices"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

func (m *tasksModel) take(task *modelTask, params storage.ClaimParams) {
	task.Lease = storage.Lease{Owner: params.Owner, Expiry: params.Until, Epoch: task.Lease.Epoch + 1}
	task.RunnableAt = params.Until
}

func (m *tasksModel) owner(r *rapid.T) string {
	return rapid.SampledFrom([]string{"alpha", "beta"}).Draw(r, "owner")
}

func (m *tasksModel) claim(r *rapid.T) {
	params, limit := claimBy(m.owner(r), m.tick(r)), rapid.IntRange(1, modelTasks).Draw(r, "limit")
	var due []time.Time
	for _, task := range m.tasks {
		if !task.RunnableAt.IsZero() && !task.RunnableAt.After(params.Now) {
			due = append(due, task.RunnableAt)
		}
	}
	slices.SortFunc(due, time.Time.Compare)
	due = due[:min(limit, len(due))]

	claimed, err := m.store.ClaimTasks(r.Context(), params, limit)
	require.NoError(r, err)
	require.Len(r, claimed, len(due))
	for i, got := range claimed {
		task := m.byID(got.ID)
		require.Equal(r, due[i], task.RunnableAt) // which of two that are due at once is open
		m.take(task, params)
		require.Equal(r, task.Task, got)
	}
}

func (m *tasksModel) byID(id string) *modelTask {
	for _, task := range m.tasks {
		if task.ID == id {
			return task
		}
	}
	return nil
}

func (m *tasksModel) claimTask(r *rapid.T) {
	n := m.number(r)
	params := claimBy(m.owner(r), m.tick(r))
	got, err := m.store.ClaimTask(r.Context(), taskID(n), params)
	task := m.tasks[n]
	switch {
	case task == nil:
		require.ErrorIs(r, err, storage.ErrNotFound)
	case task.Status.Terminal():
		require.ErrorIs(r, err, storage.ErrEnded)
	case task.held(params.Now):
		require.ErrorIs(r, err, storage.ErrLeaseHeld)
	default:
		require.NoError(r, err)
		m.take(task, params)
		require.Equal(r, task.Task, got)
	}
}

func (m *tasksModel) extend(r *rapid.T) {
	task, ref := m.lease(r)
	until := m.tick(r).Add(time.Minute)
	want := storage.ExtendOutcome{Err: storage.ErrLeaseLost}
	if task.current(ref.Epoch) {
		want = storage.ExtendOutcome{InboxPending: task.InboxSeq > task.InboxDone}
		if until.After(task.Lease.Expiry) {
			task.Lease.Expiry, task.RunnableAt = until, until
		}
	}
	outcomes, err := m.store.ExtendLeases(r.Context(), []storage.LeaseRef{ref}, until)
	require.NoError(r, err)
	require.Equal(r, []storage.ExtendOutcome{want}, outcomes)
}

func (t *modelTask) free(runnableAt time.Time) {
	t.Lease, t.RunnableAt = storage.Lease{Epoch: t.Lease.Epoch}, runnableAt
}

func (m *tasksModel) release(r *rapid.T) {
	task, ref := m.lease(r)
	at := m.tick(r).Add(10 * time.Second)
	want := storage.ErrLeaseLost
	if task.current(ref.Epoch) {
		want = nil
		task.free(at)
	}
	outcomes, err := m.store.ReleaseLeases(r.Context(), []storage.LeaseRef{ref}, at)
	require.NoError(r, err)
	require.Equal(r, storage.Outcomes{want}, outcomes)
}

func (m *tasksModel) releaseOwner(r *rapid.T) {
	owner, at := m.owner(r), m.tick(r)
	want := 0
	for _, task := range m.tasks {
		if task.Lease.Owner == owner {
			task.free(at)
			want++
		}
	}
	count, err := m.store.ReleaseOwner(r.Context(), owner, at)
	require.NoError(r, err)
	require.Equal(r, want, count)
}
