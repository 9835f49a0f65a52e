package engine

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

func replace(text string, pairs ...string) string { return strings.NewReplacer(pairs...).Replace(text) }

// Whatever happens in whatever order, the invariants of the package hold: see
// what world.apply holds after each event. The task always ends, and its event
// log gives it again, byte for byte.
func TestStep_HoldsItsInvariantsUnderAnyEvents(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(rt, newAuthor(rt).program())
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
