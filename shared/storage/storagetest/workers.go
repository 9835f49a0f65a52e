package storagetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// RunWorkers checks an implementation of storage.Workers. open returns a fresh,
// empty store and closes it when the test ends.
func RunWorkers(t *testing.T, open func(t *testing.T) storage.Workers) {
	for name, test := range map[string]func(*testing.T, storage.Workers){
		"Upsert_KeepsEveryField":                      upsertKeepsEveryField,
		"Upsert_ReplacesAllButTheRegistration":        upsertReplaces,
		"Upsert_LaterItemOfOneIDWins":                 upsertLaterItemWins,
		"Upsert_RepeatIsHarmless":                     upsertRepeat,
		"Upsert_ServicesAndLabelsMayBeMissing":        upsertWithoutLists,
		"RecordHeartbeats_SetsLoadURLAndTime":         heartbeatSets,
		"RecordHeartbeats_EmptyURLKeepsTheRegistered": heartbeatKeepsURL,
		"RecordHeartbeats_NeverMoveTheTimeBack":       heartbeatNeverBack,
		"RecordHeartbeats_UnknownIDLeavesTheOthers":   heartbeatPartly,
		"RecordHeartbeats_TwoOfOneWorkerApplyInOrder": heartbeatTwice,
		"ListWorkers_IsOrderedByIDAndNeverNil":        listWorkersOrder,
		"ListWorkers_HeardSinceIncludesTheTime":       listWorkersSince,
		"DeleteWorkers_TellsUnknownOnes":              deleteWorkers,
		"PruneWorkers_RemovesThoseHeardOfBefore":      pruneWorkers,
		"ConcurrentWriters_LoseNothing":               workersConcurrently,
		"EmptyBatches_AreFine":                        workersEmptyBatches,
		"Text_IsCleanedOrRefused":                     workersText,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
	t.Run("Base", func(t *testing.T) {
		t.Parallel()
		runBase(t, func(t *testing.T) (storage.Base, func() error) {
			store := open(t)
			return store, func() error {
				_, err := store.ListWorkers(context.Background(), time.Time{})
				return err
			}
		})
	})
}

func aWorker(id string) storage.Worker {
	return storage.Worker{
		ID: id, URL: "http://10.0.0.1:8080", Services: []string{"transform", "route", "sum"}, Type: storage.WorkerHTTP,
		Load: 3, MaxConcurrency: 16, Labels: map[string]string{"zone": "a", "": "ö \"quoted\" \n"},
		RegisteredAt: at(0), LastHeartbeat: at(1),
	}
}

func upsertKeepsEveryField(t *testing.T, store storage.Workers) {
	ctx := t.Context()
	var want []storage.Worker
	for i, kind := range storage.WorkerTypes {
		worker := aWorker(fmt.Sprintf("w-%d", i))
		worker.Type = kind
		want = append(want, worker)
	}
	require.NoError(t, store.UpsertWorkers(ctx, want))
	got, err := store.ListWorkers(ctx, time.Time{})
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func upsertReplaces(t *testing.T, store storage.Workers) {
	ctx := t.Context()
	require.NoError(t, store.UpsertWorkers(ctx, []storage.Worker{aWorker("w"), aWorker("other")}))
	again := storage.Worker{
		ID: "w", URL: "queue", Services: []string{"sum"}, Type: storage.WorkerAsync, Load: 0, MaxConcurrency: 1,
		Labels: map[string]string{"zone": "b"}, RegisteredAt: at(50), LastHeartbeat: at(51),
	}
	require.NoError(t, store.UpsertWorkers(ctx, []storage.Worker{again}))
	again.RegisteredAt = at(0)
	got, err := store.ListWorkers(ctx, time.Time{})
	require.NoError(t, err)
	require.Equal(t, []storage.Worker{aWorker("other"), again}, got)
}

func upsertLaterItemWins(t *testing.T, store storage.Workers) {
	ctx := t.Context()
	first, second := aWorker("w"), aWorker("w")
	second.URL, second.RegisteredAt, second.Load = "http://10.0.0.2", at(9), 7
	require.NoError(t, store.UpsertWorkers(ctx, []storage.Worker{first, aWorker("a"), second}))
	got, err := store.ListWorkers(ctx, time.Time{})
	require.NoError(t, err)
	second.RegisteredAt = first.RegisteredAt
	require.Equal(t, []storage.Worker{aWorker("a"), second}, got)
}

func upsertRepeat(t *testing.T, store storage.Workers) {
	ctx := t.Context()
	for range 3 {
		require.NoError(t, store.UpsertWorkers(ctx, []storage.Worker{aWorker("w")}))
	}
	got, err := store.ListWorkers(ctx, time.Time{})
	require.NoError(t, err)
	require.Equal(t, []storage.Worker{aWorker("w")}, got)
}

func upsertWithoutLists(t *testing.T, store storage.Workers) {
	ctx := t.Context()
	worker := aWorker("w")
	worker.Services, worker.Labels, worker.URL = nil, nil, ""
	require.NoError(t, store.UpsertWorkers(ctx, []storage.Worker{worker}))
	got, err := store.ListWorkers(ctx, time.Time{})
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.NotNil(t, got[0].Services)
	require.Empty(t, got[0].Services)
	require.Empty(t, got[0].Labels)
	require.Empty(t, got[0].URL)
}

func heartbeatSets(t *testing.T, store storage.Workers) {
	ctx := t.Context()
	require.NoError(t, store.UpsertWorkers(ctx, []storage.Worker{aWorker("w")}))
	beat := storage.Heartbeat{ID: "w", URL: "http://10.0.0.9", Load: 42, At: at(30)}
	for range 2 { // a repeat is harmless
		outcomes, err := store.RecordHeartbeats(ctx, []storage.Heartbeat{beat})
		require.NoError(t, err)
		require.Equal(t, storage.Outcomes{nil}, outcomes)
	}
	want := aWorker("w")
	want.URL, want.Load, want.LastHeartbeat = "http://10.0.0.9", 42, at(30)
	got, err := store.ListWorkers(ctx, time.Time{})
	require.NoError(t, err)
	require.Equal(t, []storage.Worker{want}, got)
}

func heartbeatKeepsURL(t *testing.T, store storage.Workers) {
	ctx := t.Context()
	require.NoError(t, store.UpsertWorkers(ctx, []storage.Worker{aWorker("w")}))
	_, err := store.RecordHeartbeats(ctx, []storage.Heartbeat{{ID: "w", Load: 0, At: at(2)}})
	require.NoError(t, err)
	got, err := store.ListWorkers(ctx, time.Time{})
	require.NoError(t, err)
	require.Equal(t, aWorker("w").URL, got[0].URL)
	require.Zero(t, got[0].Load)
}

func heartbeatNeverBack(t *testing.T, store storage.Workers) {
	ctx := t.Context()
	worker := aWorker("w")
	worker.LastHeartbeat = at(20)
	require.NoError(t, store.UpsertWorkers(ctx, []storage.Worker{worker}))
	outcomes, err := store.RecordHeartbeats(ctx, []storage.Heartbeat{{ID: "w", Load: 5, At: at(10)}})
	require.NoError(t, err)
	require.Equal(t, storage.Outcomes{nil}, outcomes)
	got, err := store.ListWorkers(ctx, time.Time{})
	require.NoError(t, err)
	require.Equal(t, at(20), got[0].LastHeartbeat)
}

func heartbeatPartly(t *testing.T, store storage.Workers) {
	ctx := t.Context()
	require.NoError(t, store.UpsertWorkers(ctx, []storage.Worker{aWorker("a"), aWorker("z")}))
	outcomes, err := store.RecordHeartbeats(ctx, []storage.Heartbeat{
		{ID: "z", Load: 8, At: at(5)}, {ID: "nobody", Load: 8, At: at(5)}, {ID: "a", Load: 9, At: at(5)},
	})
	require.NoError(t, err)
	requireOutcomes(t, storage.Outcomes{nil, storage.ErrNotFound, nil}, outcomes)
	got, err := store.ListWorkers(ctx, time.Time{})
	require.NoError(t, err)
	require.Len(t, got, 2, "a heartbeat registers nobody")
	require.Equal(t, 9, got[0].Load)
	require.Equal(t, 8, got[1].Load)
}

func heartbeatTwice(t *testing.T, store storage.Workers) {
	ctx := t.Context()
	require.NoError(t, store.UpsertWorkers(ctx, []storage.Worker{aWorker("w")}))
	outcomes, err := store.RecordHeartbeats(ctx, []storage.Heartbeat{
		{ID: "w", URL: "http://first", Load: 1, At: at(8)}, {ID: "w", Load: 2, At: at(7)},
	})
	require.NoError(t, err)
	require.Equal(t, storage.Outcomes{nil, nil}, outcomes)
	got, err := store.ListWorkers(ctx, time.Time{})
	require.NoError(t, err)
	require.Equal(t, "http://first", got[0].URL)
	require.Equal(t, 2, got[0].Load)
	require.Equal(t, at(8), got[0].LastHeartbeat)
}

func listWorkersOrder(t *testing.T, store storage.Workers) {
	ctx := t.Context()
	got, err := store.ListWorkers(ctx, time.Time{})
	require.NoError(t, err)
	require.NotNil(t, got)
	require.Empty(t, got)

	// Bytes decide: a database's own language would sort these otherwise.
	ids := []string{"B", "a", "a-b", "aB", "ab", "z", "é"}
	var workers []storage.Worker
	for i := range ids {
		workers = append(workers, aWorker(ids[len(ids)-1-i]))
	}
	require.NoError(t, store.UpsertWorkers(ctx, workers))
	got, err = store.ListWorkers(ctx, time.Time{})
	require.NoError(t, err)
	var order []string
	for _, worker := range got {
		order = append(order, worker.ID)
	}
	require.Equal(t, ids, order)
}

func listWorkersSince(t *testing.T, store storage.Workers) {
	ctx := t.Context()
	for i := range 4 {
		worker := aWorker(fmt.Sprintf("w%d", i))
		worker.LastHeartbeat = at(i)
		require.NoError(t, store.UpsertWorkers(ctx, []storage.Worker{worker}))
	}
	got, err := store.ListWorkers(ctx, at(2))
	require.NoError(t, err)
	require.Len(t, got, 2)
	require.Equal(t, "w2", got[0].ID)
	got, err = store.ListWorkers(ctx, at(2).Add(time.Microsecond))
	require.NoError(t, err)
	require.Len(t, got, 1)
}

func deleteWorkers(t *testing.T, store storage.Workers) {
	ctx := t.Context()
	require.NoError(t, store.UpsertWorkers(ctx, []storage.Worker{aWorker("a"), aWorker("b"), aWorker("c")}))
	outcomes, err := store.DeleteWorkers(ctx, []string{"c", "nobody", "a", "a"})
	require.NoError(t, err)
	requireOutcomes(t, storage.Outcomes{nil, storage.ErrNotFound, nil, storage.ErrNotFound}, outcomes)
	got, err := store.ListWorkers(ctx, time.Time{})
	require.NoError(t, err)
	require.Equal(t, []storage.Worker{aWorker("b")}, got)
}

func pruneWorkers(t *testing.T, store storage.Workers) {
	ctx := t.Context()
	for i := range 5 {
		worker := aWorker(fmt.Sprintf("w%d", i))
		worker.LastHeartbeat = at(i)
		require.NoError(t, store.UpsertWorkers(ctx, []storage.Worker{worker}))
	}
	pruned, err := store.PruneWorkers(ctx, at(3))
	require.NoError(t, err)
	require.Equal(t, 3, pruned)
	pruned, err = store.PruneWorkers(ctx, at(3))
	require.NoError(t, err)
	require.Zero(t, pruned)
	got, err := store.ListWorkers(ctx, time.Time{})
	require.NoError(t, err)
	require.Len(t, got, 2)
	require.Equal(t, "w3", got[0].ID, "heard of at the time itself is not before it")
}

func workersConcurrently(t *testing.T, store storage.Workers) {
	ctx := t.Context()
	const callers, each = 8, 20
	var wg sync.WaitGroup
	failures := make(chan error, callers)
	for c := range callers {
		wg.Go(func() {
			var own []storage.Worker
			var beats []storage.Heartbeat
			for i := range each {
				own = append(own, aWorker(fmt.Sprintf("w-%d-%02d", c, i)), aWorker(fmt.Sprintf("shared-%02d", (i*7+c)%each)))
				beats = append(beats, storage.Heartbeat{ID: fmt.Sprintf("shared-%02d", (each-i+c)%each), Load: c, At: at(c)})
			}
			if err := store.UpsertWorkers(ctx, own); err != nil {
				failures <- err
				return
			}
			if _, err := store.RecordHeartbeats(ctx, beats); err != nil {
				failures <- err
			}
		})
	}
	wg.Wait()
	close(failures)
	require.NoError(t, <-failures)
	got, err := store.ListWorkers(ctx, time.Time{})
	require.NoError(t, err)
	require.Len(t, got, callers*each+each)
}

func workersEmptyBatches(t *testing.T, store storage.Workers) {
	ctx := t.Context()
	require.NoError(t, store.UpsertWorkers(ctx, nil))
	outcomes, err := store.RecordHeartbeats(ctx, nil)
	require.NoError(t, err)
	require.Empty(t, outcomes)
	outcomes, err = store.DeleteWorkers(ctx, nil)
	require.NoError(t, err)
	require.Empty(t, outcomes)
}
