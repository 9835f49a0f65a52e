package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

func TestCreate_ExecutesAtOnceAndToTheEnd(t *testing.T) {
	t.Parallel()
	f := setup(t, openStore(t), echo).run()
	id := f.create("three")
	task := f.untilStatus(id, storage.TaskCompleted)
	require.Equal(t, map[string]any{"a": "a", "b": "b", "c": "c"}, sharedOf(t, task))
	require.Empty(t, task.CurrentNode)
	require.Empty(t, task.Lease.Owner)
	require.False(t, task.FinishedAt.IsZero())

	runs, err := f.Store.ListRuns(t.Context(), id)
	require.NoError(t, err)
	require.Len(t, runs, 3)
	events, err := f.Store.ListEvents(t.Context(), id, 0, 100)
	require.NoError(t, err)
	require.Len(t, events, 4, "started and three ends, in one log")
}

func TestCreate_IsPendingWhenEveryPlaceIsTaken(t *testing.T) {
	t.Parallel()
	const places, tasks = 5, 60
	var now, most atomic.Int64
	f := setup(t, openStore(t), func(ctx context.Context, id string, x engine.Execution) (engine.RunResult, error) {
		n := now.Add(1)
		defer now.Add(-1)
		for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
		}
		return echo(ctx, id, x)
	}, func(c *Config, _ *Deps) { c.MaxInFlight = places }).run()
	ids := make([]string, tasks)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() { ids[i] = f.create("three") })
	}
	wg.Wait()
	for _, id := range ids {
		f.untilStatus(id, storage.TaskCompleted)
	}
	require.LessOrEqual(t, most.Load(), int64(places))
}

func TestLease_IsExtendedSoThatASlowExecutionHappensOnce(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	release := make(chan struct{})
	slow := func(ctx context.Context, id string, x engine.Execution) (engine.RunResult, error) {
		calls.Add(1)
		return until(release)(ctx, id, x)
	}
	const ttl = time.Second // long enough for a busy machine to extend within it
	store := openStore(t)
	f := setup(t, store, slow, func(c *Config, _ *Deps) { c.LeaseTTL = ttl }).run()
	other := setup(t, store, slow, func(c *Config, _ *Deps) { c.LeaseTTL = ttl; c.Owner = "other" }).run()
	id := f.create("one")
	begun := storage.Now()
	task := f.until(id, func(task storage.Task) bool { return task.Lease.Expiry.Sub(begun) > 2*ttl })
	require.Equal(t, int64(1), task.Lease.Epoch, "nobody took it in between")
	close(release)
	f.untilStatus(id, storage.TaskCompleted)
	require.Equal(t, int64(1), calls.Load())
	require.Zero(t, other.InFlight())
}

// deaf is a store whose leases cannot be extended: a replica that is paused.
type deaf struct{ storage.Tasks }

func (deaf) ExtendLeases(context.Context, []storage.LeaseRef, time.Time) ([]storage.ExtendOutcome, error) {
	return nil, errors.New("paused")
}

func TestFence_KeepsOutAReplicaThatWasPausedPastItsLease(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	wakes := make(chan struct{})
	wake := sync.OnceFunc(func() { close(wakes) })
	paused := setup(t, deaf{store}, func(ctx context.Context, id string, x engine.Execution) (engine.RunResult, error) {
		<-wakes // deaf to its context too
		return engine.RunResult{RunID: x.RunID, Result: json.RawMessage(`"from the paused one"`)}, nil
	}, func(c *Config, _ *Deps) { c.LeaseTTL = 100 * time.Millisecond; c.Owner = "paused"; c.MaxInFlight = 1 }).run()
	t.Cleanup(wake) // before the runner is stopped, which waits for it
	id := paused.create("three")

	var runIDs sync.Map
	other := setup(t, store, func(ctx context.Context, id string, x engine.Execution) (engine.RunResult, error) {
		runIDs.Store(x.Path, x.RunID)
		return echo(ctx, id, x)
	}, func(c *Config, _ *Deps) { c.Owner = "other" }).run()
	done := other.untilStatus(id, storage.TaskCompleted)
	runs, err := store.ListRuns(t.Context(), id)
	require.NoError(t, err)

	wake()
	require.Eventually(t, func() bool { return paused.InFlight() == 0 }, patience, time.Millisecond)
	after, err := store.GetTask(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, done, after, "the paused one wrote nothing")
	require.Len(t, runs, 3)
	first, _ := runIDs.Load("a")
	require.Equal(t, runs[0].ID, first, "the attempt was repeated under the same id")
}

func TestCancel_AbortsARunningExecution(t *testing.T) {
	t.Parallel()
	aborted := make(chan error, 1)
	f := setup(t, openStore(t), func(ctx context.Context, _ string, _ engine.Execution) (engine.RunResult, error) {
		<-ctx.Done()
		aborted <- ctx.Err()
		return engine.RunResult{}, ctx.Err()
	}).run()
	id := f.create("three")
	f.untilStatus(id, storage.TaskRunning)
	f.cancelTask(id)
	f.untilStatus(id, storage.TaskCanceled)
	require.ErrorIs(t, <-aborted, context.Canceled)
	runs, err := f.Store.ListRuns(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, storage.RunCanceled, runs[0].Status)
}

func TestSignals_AllArriveWhileANodeRuns(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	f := setup(t, openStore(t), until(release)).run()
	id := f.create("one")
	const signals = 300
	var wg sync.WaitGroup
	for i := range signals {
		wg.Go(func() { require.NoError(t, f.send(id, fmt.Sprintf("k%d", i)).Err) })
	}
	wg.Wait()
	f.until(id, func(task storage.Task) bool { return len(sharedOf(t, task)) == signals })
	close(release)
	task := f.untilStatus(id, storage.TaskCompleted)
	require.Len(t, sharedOf(t, task), signals+1)
}

// A signal that was accepted is in the shared state of the task, however close
// to the task's end it came.
func TestSignals_AcceptedAtTheEndAreNotLost(t *testing.T) {
	t.Parallel()
	f := setup(t, openStore(t), echo).run()
	const most = 30 // a sender that never pauses can put the end off as long as it sends
	for range 20 {
		id := f.create("three")
		accepted := 0
		for i := range most {
			outcome := f.send(id, fmt.Sprintf("k%d", i))
			if errors.Is(outcome.Err, storage.ErrEnded) {
				break
			}
			require.NoError(t, outcome.Err)
			accepted++
		}
		task := f.untilStatus(id, storage.TaskCompleted)
		require.Len(t, sharedOf(t, task), accepted+3)
	}
}

// A cancel that was accepted ends the task canceled, however close to its end
// it came.
func TestCancel_AcceptedAtTheEndIsNotOverrun(t *testing.T) {
	t.Parallel()
	f := setup(t, openStore(t), echo).run()
	for range 20 {
		id := f.create("three")
		outcomes, err := f.Store.AppendEvents(t.Context(), []storage.InboxEvent{{
			TaskID: id, SourceID: "cancel", Kind: storage.EventCancel, Data: json.RawMessage(`{}`), At: storage.Now(),
		}})
		require.NoError(t, err)
		want := storage.TaskCanceled
		if errors.Is(outcomes[0].Err, storage.ErrEnded) {
			want = storage.TaskCompleted
		}
		require.Equal(t, want, f.until(id, func(task storage.Task) bool { return task.Status.Terminal() }).Status)
	}
}

func TestDrain_CommitsWhatIsUnderWayAndStartsNothingNew(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	entered, release := make(chan string, 3), make(chan struct{})
	f := setup(t, store, func(ctx context.Context, id string, x engine.Execution) (engine.RunResult, error) {
		entered <- x.Path
		return until(release)(ctx, id, x)
	}).run()
	id := f.create("three")
	require.Equal(t, "a", <-entered)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		f.stop()
	}()
	<-f.stopping
	close(release)
	<-stopped
	require.Empty(t, entered)

	task, err := store.GetTask(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, map[string]any{"a": "a"}, sharedOf(t, task))
	require.Empty(t, task.Lease.Owner)

	next := setup(t, store, echo).run()
	require.Equal(t, map[string]any{"a": "a", "b": "b", "c": "c"}, sharedOf(t, next.untilStatus(id, storage.TaskCompleted)))
}

func TestDrain_CutsOffWhatTakesTooLongAndAnotherGoesOn(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	entered := make(chan string, 1)
	f := setup(t, store, func(ctx context.Context, _ string, x engine.Execution) (engine.RunResult, error) {
		entered <- x.RunID
		<-ctx.Done()
		return engine.RunResult{}, ctx.Err()
	}, func(c *Config, _ *Deps) { c.Drain = time.Millisecond }).run()
	id := f.create("one")
	first := <-entered
	f.stop()

	again := make(chan string, 1)
	next := setup(t, store, func(ctx context.Context, id string, x engine.Execution) (engine.RunResult, error) {
		again <- x.RunID
		return echo(ctx, id, x)
	}).run()
	next.untilStatus(id, storage.TaskCompleted)
	require.Equal(t, first, <-again)
}

func TestRun_FreesWhatACrashLeftLeased(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	exclusive := func(c *Config, _ *Deps) { c.Owner, c.Ownership, c.LeaseTTL = "scheduler", Exclusive, time.Hour }
	// A runner that holds a task for ever, and has no place for another, stands
	// in for the one that crashed.
	entered, release := make(chan struct{}), make(chan struct{})
	crashed := setup(t, store, func(ctx context.Context, id string, x engine.Execution) (engine.RunResult, error) {
		close(entered)
		return until(release)(ctx, id, x)
	}, exclusive, func(c *Config, _ *Deps) { c.MaxInFlight = 1 }).run()
	id := crashed.create("one")
	<-entered

	setup(t, store, echo, exclusive).run().untilStatus(id, storage.TaskCompleted)
	close(release)
}

func TestTake_TriesAgainWhenTheCatalogIsBack(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	early := setup(t, store, echo) // not running: the task stays pending
	id := early.create("one")

	f := setup(t, store, echo)
	f.catalog.setAway(true)
	f.run()
	f.until(id, func(task storage.Task) bool { return task.Lease.Epoch > 0 && task.Lease.Owner == "" })
	f.catalog.setAway(false)
	f.untilStatus(id, storage.TaskCompleted)
}

func TestAttend_CancelsAPendingTaskAtOnce(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	id := setup(t, store, echo).create("one")
	f := setup(t, store, func(context.Context, string, engine.Execution) (engine.RunResult, error) {
		t.Error("a canceled task executes nothing")
		return engine.RunResult{}, nil
	}, func(c *Config, _ *Deps) { c.PollInterval = time.Hour })
	f.cancelTask(id)
	f.run()
	// The first poll may be quicker, and may even have ended the task.
	if err := f.Attend(t.Context(), id); err != nil && !errors.Is(err, storage.ErrEnded) {
		require.ErrorIs(t, err, storage.ErrLeaseHeld)
	}
	f.untilStatus(id, storage.TaskCanceled)
}

func TestRunOnce_MakesOneStepAndLetsGo(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	id := setup(t, store, echo).create("three")
	var mu sync.Mutex
	var paths []string
	f := setup(t, store, func(ctx context.Context, id string, x engine.Execution) (engine.RunResult, error) {
		mu.Lock()
		defer mu.Unlock()
		paths = append(paths, x.Path)
		return echo(ctx, id, x)
	})
	// Places but no poll: only run_once moves the task.
	f.mu.Lock()
	f.accepting = true
	f.mu.Unlock()

	released := func(task storage.Task) bool { return task.Lease.Owner == "" }
	require.NoError(t, f.RunOnce(t.Context(), id)) // starts it
	require.Equal(t, "a", f.until(id, released).CurrentNode)
	require.NoError(t, f.RunOnce(t.Context(), id)) // executes a
	require.Equal(t, "b", f.until(id, released).CurrentNode)
	require.Equal(t, []string{"a"}, paths)
	require.NoError(t, f.RunOnce(t.Context(), id))
	require.NoError(t, f.RunOnce(t.Context(), id))
	require.Equal(t, storage.TaskCompleted, f.until(id, released).Status)
	require.ErrorIs(t, f.RunOnce(t.Context(), id), storage.ErrEnded)
	require.ErrorIs(t, f.RunOnce(t.Context(), "task-none"), storage.ErrNotFound)
	f.tasks.Wait()
}

func TestBackoff_HoldsNoLeaseAndGoesOnWhenDue(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	store := openStore(t)
	f := setup(t, store, func(ctx context.Context, id string, x engine.Execution) (engine.RunResult, error) {
		if calls.Add(1) == 1 {
			return engine.RunResult{RunID: x.RunID, Error: &engine.RunError{Code: "worker_error", Message: "boom"}}, nil
		}
		return echo(ctx, id, x)
	}, func(c *Config, _ *Deps) { c.PollInterval = time.Hour })
	const wait = 200 * time.Millisecond
	f.catalog.versions["retry"] = compile(t, "retry", fmt.Sprintf(`{"start":"a","nodes":{"a":{"kind":"executor","service":"s","max_retries":1,"wait_ms":%d}}}`, wait.Milliseconds()))
	f.run()
	id := f.create("retry")
	waiting := f.untilStatus(id, storage.TaskWaiting)
	require.Empty(t, waiting.Lease.Owner)
	f.untilStatus(id, storage.TaskCompleted)
	runs, err := store.ListRuns(t.Context(), id)
	require.NoError(t, err)
	require.Len(t, runs, 2)
	require.GreaterOrEqual(t, runs[1].StartedAt.Sub(runs[0].FinishedAt), wait, "never early")
}
