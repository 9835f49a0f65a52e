package engine

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// player feeds events to a program as a scheduler would, on a clock of its
// own, and keeps what was asked for.
type player struct {
	t       *testing.T
	program Program
	state   State
	now     time.Time
	events  []Event
	runs    []storage.NodeRun
	pending []Execution
	aborted []Abort
}

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func play(t *testing.T, definition, params string) *player {
	t.Helper()
	p := load(t, definition, params)
	p.apply(Event{Kind: storage.EventStarted})
	return p
}

func load(t *testing.T, definition, params string) *player {
	t.Helper()
	def, faults := flow.Parse([]byte(definition))
	require.Empty(t, faults)
	plan, err := flow.Compile(def)
	require.NoError(t, err)
	return &player{
		t: t, now: epoch, state: NewState(),
		program: Program{
			Plan: plan, TaskID: "task-1", Params: json.RawMessage(params),
			Limits: Limits{MaxSteps: 1000, AttemptTimeout: 30 * time.Second, MaxValue: 1 << 20},
		},
	}
}

func (p *player) apply(e Event) {
	p.t.Helper()
	e.At = p.now
	p.events = append(p.events, e)
	var effects Effects
	p.state, effects = p.program.Step(p.state, e)
	p.runs = append(p.runs, effects.Started...)
	for _, f := range effects.Finished {
		run := &p.runs[f.No-1]
		require.Contains(p.t, []storage.RunStatus{storage.RunRunning, storage.RunQueued}, run.Status, "run %d is finished once", f.No)
		f.Close(run)
	}
	p.pending = append(p.pending, effects.Execute...)
	p.aborted = append(p.aborted, effects.Abort...)
	for i, run := range p.runs {
		require.Equal(p.t, i+1, run.No)
	}
}

// take removes and returns the one execution that is pending.
func (p *player) take() Execution {
	p.t.Helper()
	require.Len(p.t, p.pending, 1)
	x := p.pending[0]
	p.pending = nil
	return x
}

func (p *player) answer(x Execution, result string) {
	p.t.Helper()
	p.apply(Event{Kind: storage.EventRunFinished, Result: &RunResult{RunID: x.RunID, Result: json.RawMessage(result), WorkerID: "w1"}})
}

func (p *player) fail(x Execution, e RunError) {
	p.t.Helper()
	p.apply(Event{Kind: storage.EventRunFinished, Result: &RunResult{RunID: x.RunID, Error: &e}})
}

func (p *player) wait(d time.Duration) {
	p.t.Helper()
	p.now = p.now.Add(d)
	p.apply(Event{Kind: storage.EventTimerFired})
}

func (p *player) signal(key, value string) {
	p.t.Helper()
	p.apply(Event{Kind: storage.EventSignal, Signal: &Signal{Key: key, Value: json.RawMessage(value)}})
}

// waiting is a loop: wait for go, then execute, and again until the answer says
// stop.
