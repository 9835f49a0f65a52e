package runner

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// eachOf is a foreach over n items, the task's shared state and its subflow's
// aside.
func eachOf(n int, more string) string {
	items := "[0" + strings.Repeat(",0", n-1) + "]"
	return `{"start":"sf","nodes":{"sf":{"kind":"subflow","post":{"output_map":{"out":"out"}},"prep":{"input_map":{"items":` + items + `}},
		"subflow":{"start":"each","nodes":{"each":{"kind":"foreach","service":"s","prep":{"input_key":"items"},"post":{"output_key":"out"},"parallel_mode":"concurrent"` + more + `}}}}}}`
}

func (f *fixture) add(id, definition string) {
	f.t.Helper()
	f.catalog.mu.Lock()
	defer f.catalog.mu.Unlock()
	f.catalog.versions[id] = compile(f.t, id, definition)
}

// pathsInOrder is what echo answers to n items.
func pathsInOrder(n int) []any {
	out := make([]any, n)
	for i := range out {
		out[i] = fmt.Sprintf("sf/each/%d", i)
	}
	return out
}

func TestFan_RunsItsBranchesTogetherAndKeepsTheirOrder(t *testing.T) {
	t.Parallel()
	var running, most atomic.Int64
	f := setup(t, openStore(t), func(ctx context.Context, id string, x engine.Execution) (engine.RunResult, error) {
		now := running.Add(1)
		defer running.Add(-1)
		for before := most.Load(); now > before && !most.CompareAndSwap(before, now); before = most.Load() {
		}
		return echo(ctx, id, x)
	}).run()
	f.add("each", eachOf(300, `,"max_parallel":20`))
	id := f.create("each")
	require.Equal(t, pathsInOrder(300), sharedOf(t, f.untilStatus(id, storage.TaskCompleted))["out"])
	require.LessOrEqual(t, most.Load(), int64(20))

	runs := runsOf(t, f.Store, id)
	require.Len(t, runs, 302)
	for _, run := range runs {
		require.Equal(t, storage.RunOK, run.Status)
	}
}

func TestFan_LosesNoResultWhenManyEndTogether(t *testing.T) {
	t.Parallel()
	const n = 2*endingsBatch + 50
	var waiting atomic.Int64
	release := make(chan struct{})
	f := setup(t, openStore(t), func(ctx context.Context, id string, x engine.Execution) (engine.RunResult, error) {
		if waiting.Add(1) == n {
			close(release)
		}
		return until(release)(ctx, id, x)
	}, func(c *Config, _ *Deps) { c.Limits.MaxParallel = n }).run()
	f.add("each", eachOf(n, ""))
	require.Equal(t, pathsInOrder(n), sharedOf(t, f.untilStatus(f.create("each"), storage.TaskCompleted))["out"])
}

// Whoever takes a fan over goes on with the very same runs.
func TestFan_GoesOnWithAnotherSchedulerWhereTheFirstStopped(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	release := make(chan struct{})
	half := func(ctx context.Context, id string, x engine.Execution) (engine.RunResult, error) {
		if strings.HasSuffix(x.Path, "7") {
			return until(release)(ctx, id, x)
		}
		return echo(ctx, id, x)
	}
	first := setup(t, store, half, func(c *Config, _ *Deps) { c.Drain = 0 }).run()
	first.add("each", eachOf(60, `,"max_parallel":3`))
	id := first.create("each")
	// Until all places are taken by 7, 17 and 27: 28 branches and what is around
	// them have begun.
	first.until(id, func(storage.Task) bool { return len(runsOf(t, store, id)) == 30 && openRuns(t, store, id) == 5 })
	first.stop()

	var again atomic.Int64
	second := setup(t, store, func(ctx context.Context, id string, x engine.Execution) (engine.RunResult, error) {
		again.Add(1)
		return echo(ctx, id, x)
	})
	second.add("each", eachOf(60, `,"max_parallel":3`))
	second.run()
	require.Equal(t, pathsInOrder(60), sharedOf(t, second.untilStatus(id, storage.TaskCompleted))["out"])
	require.Len(t, runsOf(t, store, id), 62, "no branch was begun twice")
	require.Equal(t, int64(35), again.Load(), "what had ended was not executed again")
}

func runsOf(t *testing.T, store storage.Tasks, id string) []storage.NodeRun {
	t.Helper()
	runs, err := store.ListRuns(t.Context(), id)
	require.NoError(t, err)
	return runs
}

func openRuns(t *testing.T, store storage.Tasks, id string) int {
	t.Helper()
	open := 0
	for _, run := range runsOf(t, store, id) {
		if run.FinishedAt.IsZero() {
			open++
		}
	}
	return open
}

func TestFan_OfJobsWaitsWithoutALeaseAndTakesResultsInAnyOrder(t *testing.T) {
	t.Parallel()
	appended := func(f *fixture, events []storage.InboxEvent) []storage.InboxEvent { return events }
	delivered := func(f *fixture, events []storage.InboxEvent) []storage.InboxEvent {
		return f.Deliver(f.t.Context(), events)
	}
	for name, first := range map[string]func(*fixture, []storage.InboxEvent) []storage.InboxEvent{"appended": appended, "delivered": delivered} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			resultsInAnyOrder(t, first)
		})
	}
}

// resultsInAnyOrder answers the jobs of a fan, each twice: what is left of the
// events is appended.
func resultsInAnyOrder(t *testing.T, first func(*fixture, []storage.InboxEvent) []storage.InboxEvent) {
	t.Helper()
	f := setup(t, openStore(t), echo).run()
	f.add("each", eachOf(130, `,"exec_type":"queue"`))
	id := f.create("each")
	answered := map[string]bool{}
	for len(answered) < 130 {
		task := f.until(id, func(task storage.Task) bool { return task.Lease.Owner == "" && task.InboxSeq == task.InboxDone })
		require.Equal(t, storage.TaskWaitingQueue, task.Status)
		require.Equal(t, storage.WaitQueue, task.WaitsFor)
		runs := runsOf(t, f.Store, id)
		var results []storage.InboxEvent
		for i := len(runs) - 1; i >= 0 && len(results) < 40; i-- {
			if run := runs[i]; run.Status == storage.RunQueued && !answered[run.ID] {
				answered[run.ID] = true
				results = append(results, answerTo(t, id, run.ID, `"`+run.Path+`"`))
			}
		}
		left := first(f, results)
		outcomes, err := f.Store.AppendEvents(t.Context(), append(left, results...)) // and each twice
		require.NoError(t, err)
		require.Len(t, outcomes, len(left)+len(results))
	}
	require.Equal(t, pathsInOrder(130), sharedOf(t, f.untilStatus(id, storage.TaskCompleted))["out"])
}

// What the branches have answered is memory, too, while the task waits.
func TestFan_OfJobsCountsItsResultsOnTheShelf(t *testing.T) {
	t.Parallel()
	const size = 10_000
	f := setup(t, openStore(t), echo).run()
	f.add("each", eachOf(20, `,"exec_type":"queue"`))
	id := f.create("each")
	f.untilStatus(id, storage.TaskWaitingQueue)
	require.Eventually(t, func() bool { return f.InFlight() == 0 }, patience, time.Millisecond)
	runs := runsOf(t, f.Store, id)
	answered := 0
	for _, run := range runs {
		if run.Status == storage.RunQueued && answered < 10 {
			answered++
			require.Empty(t, f.Deliver(t.Context(), []storage.InboxEvent{answerTo(t, id, run.ID, `"`+strings.Repeat("x", size)+`"`)}))
		}
	}
	f.waiting.mu.Lock()
	defer f.waiting.mu.Unlock()
	require.Greater(t, f.waiting.bytes, answered*size)
}

func TestFan_OneResultThatCannotBeStoredFailsItsBranchAlone(t *testing.T) {
	t.Parallel()
	f := setup(t, picky{openStore(t)}, func(ctx context.Context, id string, x engine.Execution) (engine.RunResult, error) {
		if x.Path == "sf/each/5" {
			return engine.RunResult{RunID: x.RunID, Result: json.RawMessage(`"poison"`)}, nil
		}
		return echo(ctx, id, x)
	}).run()
	f.add("each", eachOf(50, `,"failure_strategy":"continue"`))
	want := pathsInOrder(50)
	want[5] = nil
	require.Equal(t, want, sharedOf(t, f.untilStatus(f.create("each"), storage.TaskCompleted))["out"])
}

func TestFan_CancelAbortsAllBranches(t *testing.T) {
	t.Parallel()
	f := setup(t, openStore(t), until(nil)).run()
	f.add("each", eachOf(50, ""))
	id := f.create("each")
	f.until(id, func(storage.Task) bool { return openRuns(t, f.Store, id) == 52 })
	f.cancelTask(id)
	f.untilStatus(id, storage.TaskCanceled)
	require.Zero(t, openRuns(t, f.Store, id))
}

func TestRunOnce_BeginsNoFurtherBranches(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	idle := setup(t, store, echo, func(c *Config, _ *Deps) { c.MaxInFlight = 0 }).run() // creates, executes nothing
	idle.add("each", eachOf(50, `,"max_parallel":5`))
	id := idle.create("each")

	var executed atomic.Int64
	f := setup(t, &manual{store}, func(ctx context.Context, id string, x engine.Execution) (engine.RunResult, error) {
		executed.Add(1)
		return echo(ctx, id, x)
	})
	f.add("each", eachOf(50, `,"max_parallel":5`))
	f.run()
	require.NoError(t, f.RunOnce(t.Context(), id)) // starts
	require.Zero(t, executed.Load())
	require.NoError(t, f.RunOnce(t.Context(), id))
	f.until(id, func(task storage.Task) bool { return task.Lease.Owner == "" })
	require.Equal(t, int64(5), executed.Load(), "the branches that were open, and none that they made room for")
}

// manual has no due tasks for the poll.
type manual struct{ storage.Tasks }

func (manual) ClaimTasks(context.Context, storage.ClaimParams, int) ([]storage.Task, error) {
	return nil, nil
}

func TestSubflow_ByReferenceAsksUntilTheCatalogAnswers(t *testing.T) {
	t.Parallel()
	f := setup(t, openStore(t), echo).run()
	f.add("caller", `{"start":"sf","nodes":{"sf":{"kind":"subflow","flow":{"name":"three"},"post":{"output_key":"sub"}}}}`)
	v := f.catalog.versions["caller"]
	f.catalog.setAway(true)
	outcome, err := f.Create(t.Context(), CreateParams{Version: v, Params: json.RawMessage(`{}`)})
	require.NoError(t, err)
	task := f.until(outcome.Task.ID, func(task storage.Task) bool { return task.Status == storage.TaskRunning })
	require.Equal(t, "sf", task.CurrentNode)
	f.catalog.setAway(false)
	task = f.untilStatus(outcome.Task.ID, storage.TaskCompleted)
	require.Equal(t, map[string]any{"a": "sf/a", "b": "sf/b", "c": "sf/c"}, sharedOf(t, task)["sub"])

	events, err := f.Store.ListEvents(t.Context(), task.ID, 0, 10)
	require.NoError(t, err)
	require.Equal(t, storage.EventFlowResolved, events[1].Kind, "which version it was is in the log")
}

func TestSubflow_ByReferenceGoesOnWithAnotherScheduler(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	caller := `{"start":"sf","nodes":{"sf":{"kind":"subflow","flow":{"name":"three"},"post":{"output_key":"sub"}}}}`
	first := setup(t, store, until(nil), func(c *Config, _ *Deps) { c.Drain = 0 }).run()
	first.add("caller", caller)
	id := first.create("caller")
	first.until(id, func(storage.Task) bool { return openRuns(t, store, id) == 2 })
	first.stop()

	second := setup(t, store, echo)
	second.add("caller", caller)
	second.run()
	require.Equal(t, map[string]any{"a": "sf/a", "b": "sf/b", "c": "sf/c"}, sharedOf(t, second.untilStatus(id, storage.TaskCompleted))["sub"])
}
