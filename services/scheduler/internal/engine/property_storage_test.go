package engine

import (
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// speculate makes a step that is never committed, as when storage refuses one
// because more events have come. Nothing of it may be left in the state.
func (w *world) speculate(state State) {
	if w.state.Status.Terminal() || w.upTo(2, "speculate") > 0 {
		return
	}
	if id := w.someRun(); id != "" {
		refused := Event{Kind: storage.EventRunFinished, At: w.now, Result: w.answer(id)}
		state, _ = w.program.Step(state, refused)
	}
	w.program.Step(state, Event{Kind: storage.EventTimerFired, At: w.now.Add(time.Minute)})
}

// reloaded holds that a state which went through storage, and was given no
// more than it needs, makes the same step.
func (w *world) reloaded(before State, e Event, want stepped) {
	program := w.program
	state := w.load(&program, before, storedRuns{w.rows, []Event{e}})
	again, effects := program.Step(state, e)
	require.Equal(w.t, textOf(w.t, want.state), textOf(w.t, again), "the step of a state from storage")
	require.Equal(w.t, want.effects, effects)
}

// load puts a state through storage, and leaves the program only the plans of
// versions that the state or the events name.
func (w *world) load(program *Program, state State, stored storedRuns) State {
	program.Flows = map[string]*flow.Plan{}
	versions := state.Versions()
	for _, e := range stored.events {
		if e.Resolved != nil {
			versions = append(versions, e.Resolved.VersionID)
		}
	}
	for _, version := range versions {
		if plan := w.program.Flows[version]; plan != nil {
			program.Flows[version] = plan
		}
	}
	return reload(w.t, program, state, stored)
}

// follower executes the same events in batches: out of storage, or going on
// with what it holds, as a scheduler does that keeps the task.
type follower struct {
	world *world
	state State // before the batch
	rows  []storage.NodeRun
	batch []Event
	want  []stepped
}

func (f *follower) follow(e Event, want stepped) {
	f.batch, f.want = append(f.batch, e), append(f.want, want)
	if f.world.upTo(2, "commit") == 0 {
		f.commit()
	}
}

func (f *follower) commit() {
	if len(f.batch) == 0 {
		return
	}
	w := f.world
	program := w.program
	stored := storedRuns{f.rows, f.batch}
	switch w.oneOf("take up", "hold", "load", "resume") {
	case "hold":
		needs := f.state.Needs(f.batch)
		require.NoError(w.t, program.Attach(&f.state, needs, stored.of(needs)))
	case "load":
		f.state = reload(w.t, &program, f.state, stored)
	case "resume":
		f.state = reload(w.t, &program, f.state, storedRuns{f.rows, nil})
		needs := f.state.Needs(f.batch)
		require.NoError(w.t, program.Attach(&f.state, needs, stored.of(needs)))
	}
	for i, e := range f.batch {
		var effects Effects
		f.state, effects = program.Step(f.state, e)
		require.Equal(w.t, textOf(w.t, f.want[i].state), textOf(w.t, f.state), "event %d of a batch of %d", i, len(f.batch))
		require.Equal(w.t, f.want[i].effects, effects)
		f.rows = record(w.t, f.rows, effects)
	}
	f.batch, f.want = nil, nil
}

// of are the rows that are needed.
func (s storedRuns) of(needs Needs) []storage.NodeRun {
	return slices.DeleteFunc(slices.Clone(s.runs), func(run storage.NodeRun) bool {
		return !slices.Contains(needs.Runs, run.No) && (needs.EndedAfter == 0 || run.No <= needs.EndedAfter || run.SubStatus == "")
	})
}
