package engine

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine/enginetest"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

func replace(text string, pairs ...string) string { return strings.NewReplacer(pairs...).Replace(text) }

// Whatever happens in whatever order, the invariants of the package hold: see
// what world.apply holds after each event. The task always ends, and its event
// log gives it again, byte for byte.
func TestStep_HoldsItsInvariantsUnderAnyEvents(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(rt, program(rt))
		if w.upTo(9, "slow start") > 0 {
			w.apply(Event{Kind: storage.EventStarted})
		}
		for range w.upTo(60, "events") {
			w.happen()
		}
		w.finish()
		w.follower.commit()
		w.holdReplay()
	})
}

// program draws a task's flow, the flows that it names, and limits.
func program(t *rapid.T) Program {
	task := enginetest.DrawTask(t, enginetest.Options{VisitsPerStep: visitsPerStep, Now: epoch, Second: time.Second})
	limits := testLimits // MaxParallel is also smaller and larger than any max_parallel
	limits.MaxParallel = rapid.SampledFrom([]int{1, 3, 100, 2 * visitsPerStep}).Draw(t, "limit")
	limits.MaxNesting = rapid.SampledFrom([]int{3, 6}).Draw(t, "nesting")
	limits.MaxValue = rapid.SampledFrom([]int{1 << 20, 1 << 20, 3000, 1000}).Draw(t, "bytes")
	program := Program{
		Plan: compile(t, task.Definition), TaskID: "task-1", Params: task.Params,
		Limits: limits, Flows: map[string]*flow.Plan{},
	}
	for name, definition := range task.Named {
		program.Flows[versionOf(name)] = compile(t, definition)
	}
	return program
}

func versionOf(name string) string { return "ver-" + name }

// holdReplay holds that the event log gives the same task.
func (w *world) holdReplay() {
	state := NewState()
	var rows []storage.NodeRun
	for _, e := range w.log {
		var effects Effects
		state, effects = w.program.Step(state, e)
		rows = record(w.t, rows, effects)
	}
	require.Equal(w.t, textOf(w.t, w.state), textOf(w.t, state), "a replay gives the same state, byte for byte")
	want, err := json.Marshal(w.rows)
	require.NoError(w.t, err)
	got, err := json.Marshal(rows)
	require.NoError(w.t, err)
	require.Equal(w.t, string(want), string(got), "and the same runs")
}
