package roster_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"github.com/pocketflowgo/pocketflow/services/registry/internal/roster"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/connect"
)

// Replicas share a database. SQLite lets one process have it, so here several
// rosters share one open store.

func openStore(t *testing.T) storage.Workers {
	t.Helper()
	store, err := connect.Workers(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "registry.db"),
		connect.Options{Migration: connect.MigrateOnOpen})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

// replica makes a roster that runs until the test ends.
func replica(t *testing.T, store storage.Workers) *roster.Roster {
	t.Helper()
	r := roster.New(store, roster.Config{Log: zaptest.NewLogger(t), TTL: 15 * time.Second, Keep: time.Hour})
	require.NoError(t, r.Load(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
		require.NoError(t, r.Close())
	})
	return r
}

func worker(id string) storage.Worker {
	return storage.Worker{ID: id, URL: "http://10.0.0.1", Services: []string{"sum"}, Type: storage.WorkerHTTP}
}

func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestReplicas_HeartbeatReachesAWorkerThatAnotherRegistered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		a, b := replica(t, store), replica(t, store)
		require.NoError(t, a.Register(t.Context(), worker("w")))
		require.Empty(t, b.List("", 0), "b has not refreshed yet")
		beat := storage.Heartbeat{ID: "w", URL: "http://10.0.0.9", Load: 4}
		require.NoError(t, b.Heartbeat(t.Context(), beat))
		require.Equal(t, "http://10.0.0.9", b.List("", 0)[0].URL)
		require.ErrorIs(t, b.Heartbeat(t.Context(), storage.Heartbeat{ID: "other"}), storage.ErrNotFound)

		pass(2 * time.Second)
		require.Equal(t, a.List("", 0), b.List("", 0))
		require.Equal(t, 4, a.List("", 0)[0].Load)
	})
}

func TestReplicas_ConvergeAndAgreeOnTheVersion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		a, b := replica(t, store), replica(t, store)
		require.NoError(t, a.Register(t.Context(), worker("a")))
		require.NoError(t, b.Register(t.Context(), worker("b")))
		empty, err := b.Snapshot(t.Context(), "", 0)
		require.NoError(t, err)

		// A long poll at one replica wakes by what happened at the other.
		next, err := b.Snapshot(t.Context(), empty.Version, time.Minute)
		require.NoError(t, err)
		require.Len(t, next.Members, 2)
		pass(time.Second)
		same, err := a.Snapshot(t.Context(), "", 0)
		require.NoError(t, err)
		require.Equal(t, next.Version, same.Version)

		require.NoError(t, b.Deregister(t.Context(), "a"))
		left, err := a.Snapshot(t.Context(), same.Version, time.Minute)
		require.NoError(t, err)
		require.Len(t, left.Members, 1)
		require.ErrorIs(t, a.Heartbeat(t.Context(), storage.Heartbeat{ID: "a"}), storage.ErrNotFound)
	})
}

func TestReplicas_HeartbeatsAtOneKeepTheWorkerOnlineAtTheOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		a, b := replica(t, store), replica(t, store)
		require.NoError(t, a.Register(t.Context(), worker("w")))
		for range 12 {
			pass(5 * time.Second)
			require.NoError(t, a.Heartbeat(t.Context(), storage.Heartbeat{ID: "w"}))
			require.Equal(t, roster.Online, b.List("", 0)[0].Status)
		}
	})
}

// failing is a store whose heartbeat writes can be made to fail.
type failing struct {
	storage.Workers
	down   atomic.Bool
	writes atomic.Int64
}

func (f *failing) RecordHeartbeats(ctx context.Context, beats []storage.Heartbeat) (storage.Outcomes, error) {
	if f.down.Load() {
		return nil, errors.New("connection lost")
	}
	if len(beats) > 0 {
		f.writes.Add(1)
	}
	return f.Workers.RecordHeartbeats(ctx, beats)
}

func TestHeartbeats_AreWrittenInGroupsAndSurviveAFailedWrite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &failing{Workers: openStore(t)}
		r := replica(t, store)
		for i := range 20 {
			require.NoError(t, r.Register(t.Context(), worker(fmt.Sprint(i))))
		}
		store.down.Store(true)
		for load := range 5 {
			for i := range 20 {
				require.NoError(t, r.Heartbeat(t.Context(), storage.Heartbeat{ID: fmt.Sprint(i), Load: load}))
			}
			pass(600 * time.Millisecond) // over a flush and a refresh
			require.Equal(t, load, r.List("", 0)[7].Load, "what was not written is not undone by a refresh")
		}
		store.down.Store(false)
		pass(600 * time.Millisecond)
		require.EqualValues(t, 1, store.writes.Load(), "a hundred heartbeats, one write")
		rows, err := store.ListWorkers(t.Context(), time.Time{})
		require.NoError(t, err)
		for _, row := range rows {
			require.Equal(t, 4, row.Load)
		}
	})
}

func TestHeartbeats_OfManyWorkersDoNotWaitForTheInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &failing{Workers: openStore(t)}
		var many []storage.Worker
		for i := range 1000 {
			w := worker(fmt.Sprint(i))
			w.RegisteredAt, w.LastHeartbeat = storage.Now(), storage.Now()
			many = append(many, w)
		}
		require.NoError(t, store.UpsertWorkers(t.Context(), many))
		r := replica(t, store)
		for _, w := range many {
			require.Zero(t, store.writes.Load())
			require.NoError(t, r.Heartbeat(t.Context(), storage.Heartbeat{ID: w.ID, Load: 1}))
		}
		synctest.Wait() // no time passes
		require.EqualValues(t, 1, store.writes.Load())
	})
}

func TestRegister_DropsTheHeartbeatFromBefore(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	r := roster.New(store, roster.Config{Log: zaptest.NewLogger(t), TTL: time.Minute, Keep: time.Hour})
	require.NoError(t, r.Register(t.Context(), worker("w")))
	require.NoError(t, r.Heartbeat(t.Context(), storage.Heartbeat{ID: "w", URL: "http://10.0.0.2", Load: 9}))
	require.NoError(t, r.Register(t.Context(), worker("w")))
	require.NoError(t, r.Close())
	rows, err := store.ListWorkers(t.Context(), time.Time{})
	require.NoError(t, err)
	require.Equal(t, "http://10.0.0.1", rows[0].URL)
	require.Zero(t, rows[0].Load)
}

// lingering is a store whose reads of all workers come back late: after the
// next write, if there is one soon.
type lingering struct {
	storage.Workers
	wrote chan struct{}
}

func (l *lingering) UpsertWorkers(ctx context.Context, workers []storage.Worker) error {
	defer l.tell()
	return l.Workers.UpsertWorkers(ctx, workers)
}

func (l *lingering) DeleteWorkers(ctx context.Context, ids []string) (storage.Outcomes, error) {
	defer l.tell()
	return l.Workers.DeleteWorkers(ctx, ids)
}

func (l *lingering) tell() {
	select {
	case l.wrote <- struct{}{}:
	default:
	}
}

func (l *lingering) ListWorkers(ctx context.Context, heardSince time.Time) ([]storage.Worker, error) {
	rows, err := l.Workers.ListWorkers(ctx, heardSince)
	select {
	case <-l.wrote:
	case <-time.After(2 * time.Millisecond):
	}
	return rows, err
}

func TestRefresh_NeverUndoesWritesThatRunBesideIt(t *testing.T) {
	t.Parallel()
	store := &lingering{Workers: openStore(t), wrote: make(chan struct{})}
	r := roster.New(store, roster.Config{Log: zaptest.NewLogger(t), TTL: time.Minute, Keep: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	var loops sync.WaitGroup
	loops.Go(func() {
		for ctx.Err() == nil {
			if err := r.Load(ctx); err != nil && ctx.Err() == nil {
				t.Errorf("refresh: %v", err)
			}
		}
	})
	var writers sync.WaitGroup
	for n := range 8 {
		writers.Go(func() {
			id := fmt.Sprint(n)
			for load := 1; load <= 25; load++ {
				if err := r.Register(ctx, worker(id)); err != nil {
					t.Errorf("register: %v", err)
				}
				if err := r.Heartbeat(ctx, storage.Heartbeat{ID: id, Load: load}); err != nil {
					t.Errorf("a registered worker is unknown: %v", err)
				}
				if load%5 == 0 {
					if err := r.Deregister(ctx, id); err != nil {
						t.Errorf("deregister: %v", err)
					}
					if err := r.Heartbeat(ctx, storage.Heartbeat{ID: id}); !errors.Is(err, storage.ErrNotFound) {
						t.Errorf("a deregistered worker is known: %v", err)
					}
				}
			}
		})
	}
	writers.Wait()
	cancel()
	loops.Wait()
	require.Empty(t, r.List("", 0))
}
