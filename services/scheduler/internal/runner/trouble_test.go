package runner

import (
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// meddling is a store that lets a test act just before the first settle.
type meddling struct {
	storage.Tasks
	done   atomic.Bool
	before func()
}

func (m *meddling) SettleSteps(ctx context.Context, steps []storage.TaskStep) ([]storage.StepOutcome, error) {
	if !m.done.Swap(true) {
		m.before()
	}
	return m.Tasks.SettleSteps(ctx, steps)
}

const choiceOnly = `{"start":"c","nodes":{"c":{"kind":"choice","choice_cases":[{"action":"go","expr":{"eq":[1,1]}}]}},
	"edges":[{"from":"c","action":"go","to":""}]}`

// A signal that meets the one step of a task that starts and ends in it.
func TestStart_ThatEndsTheTaskWaitsForASignal(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	early := setup(t, store, echo)
	early.catalog.versions["choice"] = compile(t, "choice", choiceOnly)
	id := early.create("choice") // pending: nobody runs yet

	f := setup(t, &meddling{Tasks: store, before: func() { require.NoError(t, early.send(id, "k").Err) }}, echo)
	f.catalog.versions["choice"] = early.catalog.versions["choice"]
	f.run()
	task := f.untilStatus(id, storage.TaskCompleted)
	require.Equal(t, map[string]any{"k": 1.0}, sharedOf(t, task))
}

// A result that nobody may send, as its run is executed here, is in the inbox
// when the run's own end is committed.
func TestFinished_LeavesAResultFromOutsideInTheInbox(t *testing.T) {
	t.Parallel()
	store := &meddling{Tasks: openStore(t)}
	var result storage.InboxEvent
	store.before = func() {
		_, err := store.AppendEvents(t.Context(), []storage.InboxEvent{result})
		require.NoError(t, err)
	}
	f := setup(t, store, func(ctx context.Context, id string, x engine.Execution) (engine.RunResult, error) {
		result = answerTo(t, id, x.RunID, `"outside"`)
		return echo(ctx, id, x)
	})
	f.add("wait", `{"start":"a","nodes":{"a":{"kind":"executor","service":"s","post":{"output_key":"a"}},"w":{"kind":"wait_event","signal_key":"k"}},"edges":[{"from":"a","to":"w"}]}`)
	f.run()
	id := f.create("wait")
	task := f.until(id, func(task storage.Task) bool { return task.CurrentNode == "w" && task.InboxDone == task.InboxSeq })
	require.EqualValues(t, 1, task.InboxDone)
	require.Equal(t, map[string]any{"a": "a"}, sharedOf(t, task), "the first end counts")
	f.cancelTask(id)
	f.untilStatus(id, storage.TaskCanceled)
}

// dozing is a store whose leases cannot be extended while it dozes, and are
// not claimed either: a machine that sleeps.
type dozing struct {
	storage.Tasks
	asleep atomic.Bool
}

func (d *dozing) ExtendLeases(ctx context.Context, leases []storage.LeaseRef, until time.Time) ([]storage.ExtendOutcome, error) {
	if d.asleep.Load() {
		return nil, errors.New("asleep")
	}
	return d.Tasks.ExtendLeases(ctx, leases, until)
}

func TestLease_ThatExpiredWhileThisReplicaSleptIsNotClaimedBesideItself(t *testing.T) {
	t.Parallel()
	store := &dozing{Tasks: openStore(t)}
	var calls atomic.Int64
	release := make(chan struct{})
	f := setup(t, store, func(ctx context.Context, id string, x engine.Execution) (engine.RunResult, error) {
		calls.Add(1)
		return until(release)(ctx, id, x)
	}, func(c *Config, _ *Deps) { c.LeaseTTL = time.Second }).run()
	store.asleep.Store(true)
	id := f.create("one")
	f.until(id, func(task storage.Task) bool { return task.Lease.Expiry.Before(storage.Now()) })
	store.asleep.Store(false)
	task := f.until(id, func(task storage.Task) bool { return task.Lease.Expiry.After(storage.Now()) })
	require.Equal(t, int64(1), task.Lease.Epoch)
	close(release)
	f.untilStatus(id, storage.TaskCompleted)
	require.Equal(t, int64(1), calls.Load())
}

func TestDrain_IsNotCutShortByASignal(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	entered, release := make(chan struct{}, 2), make(chan struct{})
	f := setup(t, store, func(ctx context.Context, id string, x engine.Execution) (engine.RunResult, error) {
		entered <- struct{}{}
		return until(release)(ctx, id, x)
	}).run()
	id := f.create("one")
	<-entered
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		f.stop()
	}()
	<-f.stopping
	require.NoError(t, f.send(id, "k").Err)
	f.until(id, func(task storage.Task) bool { return sharedOf(t, task)["k"] != nil })
	close(release)
	<-stopped
	task, err := store.GetTask(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, storage.TaskCompleted, task.Status, "what was executing was waited for")
}

// late is a store that answers the first claim when it is told to.
type late struct {
	storage.Tasks
	claimed, answer chan struct{}
}

func (l *late) ClaimTasks(ctx context.Context, p storage.ClaimParams, limit int) ([]storage.Task, error) {
	tasks, err := l.Tasks.ClaimTasks(ctx, p, limit)
	if len(tasks) == 0 {
		return tasks, err
	}
	close(l.claimed)
	<-l.answer
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return tasks, err
}

func TestStop_LeavesNoTaskLeasedThatItWasClaiming(t *testing.T) {
	t.Parallel()
	store := &late{Tasks: openStore(t), claimed: make(chan struct{}), answer: make(chan struct{})}
	f := setup(t, store, echo)
	id := f.create("one") // nobody starts it: this runner does not run yet
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	<-store.claimed
	stop()
	close(store.answer)
	require.NoError(t, <-ended)
	task, err := store.GetTask(t.Context(), id)
	require.NoError(t, err)
	require.Empty(t, task.Lease.Owner)
}

// picky refuses steps that hold a certain text, as a database refuses data that
// it cannot keep.
type picky struct{ storage.Tasks }

func (p picky) SettleSteps(ctx context.Context, steps []storage.TaskStep) ([]storage.StepOutcome, error) {
	for _, run := range steps[0].Finished {
		if string(run.Output) == `"poison"` {
			return nil, storage.ErrInvalidData
		}
	}
	return p.Tasks.SettleSteps(ctx, steps)
}

func TestResult_ThatCannotBeStoredFailsItsRun(t *testing.T) {
	t.Parallel()
	for _, result := range []string{`"poison"`, "\"\xff\""} {
		f := setup(t, picky{openStore(t)}, func(_ context.Context, _ string, x engine.Execution) (engine.RunResult, error) {
			return engine.RunResult{RunID: x.RunID, Result: json.RawMessage(result)}, nil
		}).run()
		task := f.untilStatus(f.create("one"), storage.TaskFailed)
		require.Contains(t, string(task.Error), CodeNotStorable)
	}
}

func TestPanic_PutsOneTaskOffAndLeavesTheOthers(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	early := setup(t, store, echo)
	id := early.create("one")
	f := setup(t, store, echo)
	f.catalog.versions["one"] = nil // the worst that a bug could hand over
	f.run()
	f.until(id, func(task storage.Task) bool { return task.Lease.Epoch > 0 && task.Lease.Owner == "" })
	f.untilStatus(f.create("three"), storage.TaskCompleted)
	task, err := store.GetTask(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, storage.TaskPending, task.Status)
	require.Greater(t, task.RunnableAt.Sub(storage.Now()), retryBrokenTaskAfter/2)
	require.Eventually(t, func() bool { return f.InFlight() == 0 }, patience, time.Millisecond, "its place is free again")
}

// A signal that arrives while the task is being let go of must not wait for the
// next poll, nor a cancel.
func TestHint_ThatMeetsAReleaseIsNotLost(t *testing.T) {
	t.Parallel()
	f := setup(t, openStore(t), echo, func(c *Config, _ *Deps) { c.PollInterval = time.Hour })
	f.catalog.versions["wait"] = compile(t, "wait", `{"start":"a","nodes":{"a":{"kind":"executor","service":"s"},"w":{"kind":"wait_event","signal_key":"k"}},"edges":[{"from":"a","to":"w"}]}`)
	f.run()
	for i := range 150 {
		id := f.create("wait")
		for range i % 50 {
			_, err := f.Store.GetTask(t.Context(), id) // some microseconds
			require.NoError(t, err)
		}
		if i%2 == 0 {
			require.NoError(t, f.send(id, "k").Err)
			f.untilStatus(id, storage.TaskCompleted)
			continue
		}
		f.cancelTask(id)
		f.untilStatus(id, storage.TaskCanceled)
	}
}

// flaky is a store whose reads of the inbox fail once.
type flaky struct {
	storage.Tasks
	failed atomic.Bool
}

func (f *flaky) LoadInbox(ctx context.Context, taskID string, limit int) ([]storage.TaskEvent, error) {
	if !f.failed.Swap(true) {
		return nil, errors.New("connection reset")
	}
	return f.Tasks.LoadInbox(ctx, taskID, limit)
}

func TestInbox_ThatCannotBeReadForAMomentAbortsNothing(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	var calls atomic.Int64
	f := setup(t, &flaky{Tasks: openStore(t)}, func(ctx context.Context, id string, x engine.Execution) (engine.RunResult, error) {
		calls.Add(1)
		return until(release)(ctx, id, x)
	}).run()
	id := f.create("one")
	require.NoError(t, f.send(id, "k").Err)
	f.until(id, func(task storage.Task) bool { return sharedOf(t, task)["k"] != nil })
	close(release)
	f.untilStatus(id, storage.TaskCompleted)
	require.Equal(t, int64(1), calls.Load())
}

func TestExecution_ThatPanicsFailsItsRun(t *testing.T) {
	t.Parallel()
	f := setup(t, openStore(t), func(context.Context, string, engine.Execution) (engine.RunResult, error) { panic("oh") }).run()
	require.Contains(t, string(f.untilStatus(f.create("one"), storage.TaskFailed).Error), CodeInternal)
}

// The log holds the very bytes that were applied.
func TestLog_ReplaysToTheSameBytes(t *testing.T) {
	t.Parallel()
	f := setup(t, openStore(t), func(_ context.Context, _ string, x engine.Execution) (engine.RunResult, error) {
		return engine.RunResult{RunID: x.RunID, Result: json.RawMessage(`{ "a" : "<b> & \u003c", "n": 1.50 }`)}, nil
	}).run()
	id := f.create("three")
	task := f.untilStatus(id, storage.TaskCompleted)
	events, err := f.Store.ListEvents(t.Context(), id, 0, 100)
	require.NoError(t, err)
	program := engine.Program{Plan: f.catalog.versions["three"].Plan, TaskID: id, Params: task.Params, Limits: f.Limits}
	state := engine.NewState()
	for _, logged := range events {
		event, err := engine.ReadEvent(logged)
		require.NoError(t, err)
		state, _ = program.Step(state, event)
	}
	require.Equal(t, string(task.Shared), string(state.Shared))
	text, err := state.JSON()
	require.NoError(t, err)
	require.Equal(t, string(task.State), string(text))
}

func TestEnd_ThatTwoSignalsWouldMakeIsMadeByTheFirst(t *testing.T) {
	t.Parallel()
	store := &meddling{Tasks: openStore(t)}
	f := setup(t, store, echo)
	f.add("wait", `{"start":"w","nodes":{"w":{"kind":"wait_event","signal_key":"go","post":{"output_key":"by"}}}}`)
	f.run()
	id := f.create("wait")
	signal := func(source, value string) {
		outcomes, err := store.AppendEvents(t.Context(), []storage.InboxEvent{{
			TaskID: id, SourceID: source, Kind: storage.EventSignal, Data: json.RawMessage(`{"key":"go","value":` + value + `}`), At: storage.Now(),
		}})
		require.NoError(t, err)
		require.NoError(t, outcomes[0].Err)
	}
	store.before = func() { signal("second", `2`) } // after the first one is read, before it ends the task
	signal("first", `1`)
	task := f.untilStatus(id, storage.TaskCompleted)
	require.Equal(t, task.InboxSeq, task.InboxDone)
	require.InDelta(t, 1, sharedOf(t, task)["by"], 0)
}

func TestCancel_EndsATaskThatCannotBeRead(t *testing.T) {
	t.Parallel()
	f := setup(t, openStore(t), echo)
	f.add("wait", `{"start":"w","nodes":{"w":{"kind":"wait_event","signal_key":"go"}}}`)
	f.run()
	id := f.create("wait")
	f.catalog.setAway(true)
	require.NoError(t, f.send(id, "other").Err)
	f.cancelTask(id)
	task := f.untilStatus(id, storage.TaskCanceled)
	require.Equal(t, task.InboxSeq, task.InboxDone)
	require.Zero(t, openRuns(t, f.Store, id))
	events, err := f.Store.ListEvents(t.Context(), id, 0, 10)
	require.NoError(t, err)
	require.Len(t, events, 3, "what was accepted is in the log")
}
