package engine

import (
	"encoding/json"
	"fmt"
	"slices"
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
	asked   []Resolve
	aborted []Abort
}

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func play(t *testing.T, definition, params string) *player {
	t.Helper()
	p := load(t, definition, params)
	p.apply(Event{Kind: storage.EventStarted})
	return p
}

var testLimits = Limits{
	MaxSteps: 1000, AttemptTimeout: 30 * time.Second, MaxValue: 1 << 20, MaxParallel: 100, MaxNesting: 16,
}

func compile(t require.TestingT, definition string) *flow.Plan {
	def, faults := flow.Parse([]byte(definition))
	require.Empty(t, faults)
	plan, err := flow.Compile(def)
	require.NoError(t, err)
	return plan
}

func load(t *testing.T, definition, params string) *player {
	t.Helper()
	return &player{
		t: t, now: epoch, state: NewState(),
		program: Program{
			Plan: compile(t, definition), TaskID: "task-1", Params: json.RawMessage(params),
			Limits: testLimits,
		},
	}
}

func (p *player) apply(e Event) {
	p.t.Helper()
	e.At = p.now
	p.events = append(p.events, e)
	before := p.state
	state, effects := p.program.Step(before, e)
	p.reloaded(before, e, state, effects)
	p.state = state
	p.runs = append(p.runs, effects.Started...)
	for _, f := range effects.Finished {
		run := &p.runs[f.No-1]
		require.Contains(p.t, []storage.RunStatus{storage.RunRunning, storage.RunQueued}, run.Status, "run %d is finished once", f.No)
		f.Close(run)
	}
	p.pending = append(p.pending, effects.Execute...)
	p.asked = append(p.asked, effects.Resolve...)
	p.aborted = append(p.aborted, effects.Abort...)
	for i, run := range p.runs {
		require.Equal(p.t, i+1, run.No)
	}
}

// reloaded holds that a state which went through storage, and was given no more
// than it needs, makes the same step.
func (p *player) reloaded(before State, e Event, state State, effects Effects) {
	p.t.Helper()
	loaded := reload(p.t, &p.program, before, storedRuns{p.runs, []Event{e}})
	again, same := p.program.Step(loaded, e)
	require.Equal(p.t, textOf(p.t, state), textOf(p.t, again))
	require.Equal(p.t, effects, same)
}

type storedRuns struct {
	runs   []storage.NodeRun
	events []Event // that are to be applied; nil: it is to be resumed
}

// reload puts a state through storage.
func reload(t require.TestingT, program *Program, state State, stored storedRuns) State {
	task := storage.Task{ID: "task-1", Status: state.Status, Shared: state.Shared}
	var err error
	task.State, err = state.JSON()
	require.NoError(t, err)
	if state.Failure != nil {
		task.Error = state.Failure.JSON()
	}
	loaded, err := Load(task)
	require.NoError(t, err)
	needs := loaded.Needs(stored.events)
	if stored.events == nil {
		needs = loaded.NeedsToResume()
	}
	var rows []storage.NodeRun
	for _, run := range stored.runs {
		if slices.Contains(needs.Runs, run.No) || needs.EndedAfter > 0 && run.No > needs.EndedAfter && run.SubStatus != "" {
			rows = append(rows, run)
		}
	}
	require.NoError(t, program.Attach(&loaded, needs, rows))
	return loaded
}

// textOf is all that is kept of a state.
func textOf(t require.TestingT, state State) string {
	text, err := state.JSON()
	require.NoError(t, err)
	failure := ""
	if state.Failure != nil {
		failure = string(state.Failure.JSON())
	}
	return fmt.Sprintf("%s %s %s %s", state.Status, text, state.Shared, failure)
}

// find takes the pending execution of the path.
func (p *player) find(path string) Execution {
	p.t.Helper()
	i := slices.IndexFunc(p.pending, func(x Execution) bool { return x.Path == path })
	require.GreaterOrEqual(p.t, i, 0, "nothing of %s is pending", path)
	x := p.pending[i]
	p.pending = slices.Delete(p.pending, i, i+1)
	return x
}

// paths are those of the pending executions.
func (p *player) paths() []string {
	paths := []string{}
	for _, x := range p.pending {
		paths = append(paths, x.Path)
	}
	return paths
}

// run is the last run of the path.
func (p *player) run(path string) storage.NodeRun {
	p.t.Helper()
	for i := len(p.runs) - 1; i >= 0; i-- {
		if p.runs[i].Path == path {
			return p.runs[i]
		}
	}
	require.Fail(p.t, "no run", path)
	return storage.NodeRun{}
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
