package storagetest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

var tasksStatsTests = []tasksTest{
	{"Stats_OfNothingAreZero", statsOfNothing},
	{"Stats_CountWhatIsUnfinished", statsUnfinished},
	{"Stats_TellOfTheOutbox", statsOutbox},
}

func statsOfNothing(t *testing.T, tasks storage.Tasks) {
	stats, err := tasks.Stats(t.Context())
	require.NoError(t, err)
	require.Equal(t, storage.TaskStats{Unfinished: unfinished(nil)}, stats)
}

// unfinished are counts with zeros for the statuses that are not given.
func unfinished(counts map[storage.TaskStatus]int) map[storage.TaskStatus]int {
	all := map[storage.TaskStatus]int{}
	for _, status := range storage.TaskStatuses {
		if !status.Terminal() {
			all[status] = counts[status]
		}
	}
	return all
}

func statsUnfinished(t *testing.T, tasks storage.Tasks) {
	ended := heldTask(4)
	ended.Task.Status, ended.Task.FinishedAt = storage.TaskCompleted, after(time.Second)
	ended.Task.Lease, ended.Task.RunnableAt = storage.Lease{Epoch: 1}, time.Time{}
	late := pendingTask(2)
	late.Task.RunnableAt = after(time.Second)
	mustCreate(t, tasks, pendingTask(1), late, heldTask(3), ended)

	stats, err := tasks.Stats(t.Context())
	require.NoError(t, err)
	require.Equal(t, unfinished(map[storage.TaskStatus]int{storage.TaskPending: 2, storage.TaskRunning: 1}), stats.Unfinished)
	require.Equal(t, start, stats.NextRunnable)
}

func statsOutbox(t *testing.T, tasks storage.Tasks) {
	createWithOutbox(t, tasks, putJob("b", start), putJob("a", after(time.Second)))
	stats, err := tasks.Stats(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, stats.Outbox)
	require.Equal(t, "a", stats.OldestOutbox)

	require.NoError(t, tasks.AckOutbox(t.Context(), []string{"a", "b"}))
	stats, err = tasks.Stats(t.Context())
	require.NoError(t, err)
	require.Zero(t, stats.Outbox)
	require.Empty(t, stats.OldestOutbox)
}
