package runner

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

const queueThenHere = `{"start":"q","nodes":{
	"q":{"kind":"executor","exec_type":"queue","service":"s","post":{"output_key":"q"}},
	"a":{"kind":"executor","service":"s","post":{"output_key":"a"}}},
	"edges":[{"from":"q","to":"a"}]}`

const queueOnly = `{"start":"q","nodes":{"q":{"kind":"executor","exec_type":"queue","service":"s","post":{"output_key":"q"}}}}`

// answerTo is the end of a run as the queue-gateway tells it.
func answerTo(t *testing.T, taskID, runID, result string) storage.InboxEvent {
	t.Helper()
	event := engine.Event{Kind: storage.EventRunFinished, Result: &engine.RunResult{RunID: runID, Result: json.RawMessage(result)}}
	data, err := event.Data()
	require.NoError(t, err)
	return storage.InboxEvent{TaskID: taskID, SourceID: RunSource(runID), Kind: event.Kind, Data: data, At: storage.Now()}
}

// queued creates a task of the flow "queue", and returns the answer to its job
// once it waits for that.
func (f *fixture) queued() (string, storage.InboxEvent) {
	f.t.Helper()
	id := f.create("queue")
	f.untilStatus(id, storage.TaskWaitingQueue)
	return id, answerTo(f.t, id, runsOf(f.t, f.Store, id)[0].ID, `"done"`)
}

// applied is a task's log.
func (f *fixture) applied(id string) []storage.TaskEvent {
	f.t.Helper()
	events, err := f.Store.ListEvents(f.t.Context(), id, 0, 1000)
	require.NoError(f.t, err)
	return events
}

func TestDeliver_MakesTheStepAndGoesOnUnderItsLease(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	f := setup(t, openStore(t), until(release))
	f.add("queue", queueThenHere)
	f.run()
	id, answer := f.queued()
	require.Empty(t, f.Deliver(t.Context(), []storage.InboxEvent{answer}))

	task, err := f.Store.GetTask(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, storage.TaskRunning, task.Status, "the step is durable when Deliver returns")
	require.Equal(t, f.Owner, task.Lease.Owner)
	require.Equal(t, "a", task.CurrentNode)
	require.Zero(t, task.InboxSeq, "it did not go through the inbox")
	require.Equal(t, answer.SourceID, f.applied(id)[1].SourceID)

	outcomes, err := f.Store.AppendEvents(t.Context(), []storage.InboxEvent{answer})
	require.NoError(t, err)
	require.True(t, outcomes[0].Duplicate)
	require.NoError(t, f.send(id, "k").Err)
	f.until(id, func(task storage.Task) bool { return task.InboxDone == 1 })
	close(release)
	require.Equal(t, map[string]any{"q": "done", "a": "a", "k": 1.0}, sharedOf(t, f.untilStatus(id, storage.TaskCompleted)))
}

func TestDeliver_EndsATask(t *testing.T) {
	t.Parallel()
	f := setup(t, openStore(t), echo)
	f.add("queue", queueOnly)
	f.run()
	id, answer := f.queued()
	require.Empty(t, f.Deliver(t.Context(), []storage.InboxEvent{answer}))
	task, err := f.Store.GetTask(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, storage.TaskCompleted, task.Status)
	require.Equal(t, map[string]any{"q": "done"}, sharedOf(t, task))
	require.Zero(t, openRuns(t, f.Store, id))
	require.Eventually(t, func() bool { return f.InFlight() == 0 }, patience, time.Millisecond)
	require.Equal(t, []storage.InboxEvent{answer}, f.Deliver(t.Context(), []storage.InboxEvent{answer}), "a repeat")
}

func TestDeliver_LeavesWhatItCannotApply(t *testing.T) {
	t.Parallel()
	f := setup(t, openStore(t), echo, func(c *Config, _ *Deps) { c.MaxInFlight = 1 })
	f.add("queue", queueOnly)
	f.run()
	id, answer := f.queued()
	require.Eventually(t, func() bool { return f.InFlight() == 0 }, patience, time.Millisecond)
	left := func(events ...storage.InboxEvent) {
		t.Helper()
		require.ElementsMatch(t, events, f.Deliver(t.Context(), events))
		require.Len(t, f.applied(id), 1, "nothing was written")
	}
	left(answerTo(t, id, "run-other", `1`))
	left(answerTo(t, "task-none", "run-none", `1`))
	left(answer, answer)
	left(answer, answerTo(t, id, "run-other", `1`))
	f.catalog.setAway(true)
	left(answer)
	f.catalog.setAway(false)
	require.Equal(t, 1, f.reserve(1))
	left(answer) // no place is free
	f.free(1)
	_, err := f.Store.ClaimTask(t.Context(), id, storage.ClaimParams{Owner: "other", Now: storage.Now(), Until: storage.Now().Add(time.Hour)})
	require.NoError(t, err)
	left(answer)
}

func TestDeliver_TakesManyTasksAtOnce(t *testing.T) {
	t.Parallel()
	f := setup(t, openStore(t), echo)
	f.add("queue", queueThenHere)
	f.run()
	var ids []string
	var answers []storage.InboxEvent
	for range 40 {
		id, answer := f.queued()
		ids, answers = append(ids, id), append(answers, answer)
	}
	require.Empty(t, f.Deliver(t.Context(), answers))
	for _, id := range ids {
		f.untilStatus(id, storage.TaskCompleted)
		require.Len(t, f.applied(id), 3)
	}
}

// What comes between the reading of the task and the step goes first, and the
// result into the inbox behind it.
func TestDeliver_ThatMeetsAnEventLeavesTheTaskAlone(t *testing.T) {
	t.Parallel()
	for name, meet := range map[string]func(f *fixture, id string){
		"signal": func(f *fixture, id string) { require.NoError(f.t, f.send(id, "k").Err) },
		"cancel": func(f *fixture, id string) {
			f.cancelTask(id)
			// Whoever asked for the cancel waits for it, while the task is held here
			// for a step that will not be made.
			f.attending.Go(func() {
				if err := f.Attend(context.WithoutCancel(f.t.Context()), id); err != nil {
					assert.ErrorIs(f.t, err, storage.ErrEnded) // the poll was quicker
				}
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := &meddling{Tasks: openStore(t)}
			store.done.Store(true)
			f := setup(t, store, echo, func(c *Config, _ *Deps) { c.PollInterval = time.Hour })
			f.add("queue", queueOnly)
			f.run()
			id, answer := f.queued()
			store.before = func() { meet(f, id) }
			store.done.Store(false)
			events := []storage.InboxEvent{answer}
			require.Equal(t, events, f.Deliver(t.Context(), events))
			outcomes, err := store.AppendEvents(t.Context(), events)
			require.NoError(t, err)
			f.attending.Wait()
			if name == "cancel" {
				require.ErrorIs(t, outcomes[0].Err, storage.ErrEnded)
				f.untilStatus(id, storage.TaskCanceled)
				return
			}
			require.Equal(t, map[string]any{"q": "done", "k": 1.0}, sharedOf(t, f.untilStatus(id, storage.TaskCompleted)))
		})
	}
}

// Two replicas get one result at the same moment, while the task is also due:
// it is one event in the log, and one execution follows it.
func TestDeliver_OnTwoReplicasIsOneStep(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	var mu sync.Mutex
	executed := map[string]int{}
	count := func(ctx context.Context, id string, x engine.Execution) (engine.RunResult, error) {
		mu.Lock()
		executed[id]++
		mu.Unlock()
		return echo(ctx, id, x)
	}
	var replicas []*fixture
	for _, owner := range []string{"alpha", "beta"} {
		f := setup(t, store, count, func(c *Config, _ *Deps) { c.Owner = owner })
		f.add("queue", queueThenHere)
		replicas = append(replicas, f.run())
	}
	for range 50 {
		id, answer := replicas[0].queued()
		var both sync.WaitGroup
		for i, f := range replicas {
			both.Go(func() {
				left := f.Deliver(t.Context(), []storage.InboxEvent{answer})
				if i == 0 {
					f.send(id, "k")
				}
				if len(left) > 0 {
					outcomes, err := store.AppendEvents(t.Context(), left)
					if assert.NoError(t, err) && outcomes[0].Err != nil {
						assert.ErrorIs(t, outcomes[0].Err, storage.ErrEnded)
					}
				}
			})
		}
		both.Wait()
		task := replicas[0].untilStatus(id, storage.TaskCompleted)
		require.Equal(t, task.InboxSeq, task.InboxDone)
		var sources []string
		for i, event := range replicas[0].applied(id) {
			require.Equal(t, int64(i+1), event.Seq)
			sources = append(sources, event.SourceID)
		}
		require.Contains(t, sources, answer.SourceID)
		mu.Lock()
		require.Equal(t, 1, executed[id])
		mu.Unlock()
	}
}

// A result whose step panics is no reason to lose a place, the task or the
// process: it goes the long way, where the task is put off.
func TestDeliver_ThatPanicsLeavesTheTaskToThePoll(t *testing.T) {
	t.Parallel()
	store := &meddling{Tasks: openStore(t)}
	store.done.Store(true)
	f := setup(t, store, echo)
	f.add("queue", queueOnly)
	f.run()
	_, first := f.queued()
	_, second := f.queued()
	require.Eventually(t, func() bool { return f.InFlight() == 0 }, patience, time.Millisecond)
	store.before = func() { panic("a bug") }
	store.done.Store(false)
	left := f.Deliver(t.Context(), []storage.InboxEvent{first, second})
	require.Len(t, left, 1)
	require.Eventually(t, func() bool { return f.InFlight() == 0 }, patience, time.Millisecond)
	_, err := store.AppendEvents(t.Context(), left)
	require.NoError(t, err)
	for _, answer := range []storage.InboxEvent{first, second} {
		f.untilStatus(answer.TaskID, storage.TaskCompleted)
	}
	f.stop()
	require.Zero(t, f.places)
}

func TestDeliver_WhileTheRunnerStopsLeavesEverything(t *testing.T) {
	t.Parallel()
	f := setup(t, openStore(t), echo)
	f.add("queue", queueOnly)
	f.run()
	_, first := f.queued()
	_, second := f.queued()
	stopped := make(chan struct{})
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for {
				f.Deliver(t.Context(), []storage.InboxEvent{first, second})
				select {
				case <-stopped:
					return
				default:
				}
			}
		})
	}
	f.stop()
	close(stopped)
	callers.Wait()
	events := []storage.InboxEvent{first, second}
	require.ElementsMatch(t, events, f.Deliver(t.Context(), events))
}

// A task whose time was up before its result came begins nothing more.
func TestDeliver_PastTheDeadlineBeginsNothing(t *testing.T) {
	t.Parallel()
	var now atomic.Int64
	now.Store(storage.Now().UnixMicro())
	f := setup(t, openStore(t), func(context.Context, string, engine.Execution) (engine.RunResult, error) {
		t.Error("executed past the deadline")
		return engine.RunResult{}, nil
	}, func(_ *Config, d *Deps) { d.Now = func() time.Time { return time.UnixMicro(now.Load()).UTC() } })
	f.add("queue", `{"timeout_ms":600000,`+queueThenHere[1:])
	f.run()
	id, answer := f.queued()
	require.Eventually(t, func() bool { return f.InFlight() == 0 }, patience, time.Millisecond)
	now.Add(time.Hour.Microseconds())
	if left := f.Deliver(t.Context(), []storage.InboxEvent{answer}); len(left) > 0 {
		_, err := f.Store.AppendEvents(t.Context(), left) // the poll was quicker
		require.NoError(t, err)
	}
	f.untilStatus(id, storage.TaskFailed)
}
