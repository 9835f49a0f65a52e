package engine

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine/enginetest"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// world is a task and all that goes on around it: workers that answer now,
// later, twice or never; clocks; senders of signals; and storage, out of which
// a second scheduler works in batches of its own.
type world struct {
	t       *rapid.T
	program Program
	state   State
	now     time.Time
	log     []Event
	rows    []storage.NodeRun

	open     map[int]bool         // Nos of the rows that are
	asked    map[string]Execution // by run id
	askedIn  []string             // their run ids, in order
	resolves []Resolve
	answers  map[string]*RunResult // the first that came to a run while it was open
	named    map[string]int        // Nos of runs by id, and by where they belong

	mood     string // what happens most
	unlucky  int    // of ten answers, so many are failures
	signals  ledger
	follower follower
}

func newWorld(t *rapid.T, program Program) *world {
	w := &world{
		t: t, program: program, state: NewState(), now: epoch,
		open: map[int]bool{}, asked: map[string]Execution{}, answers: map[string]*RunResult{}, named: map[string]int{},
		signals: newLedger(),
	}
	w.mood = w.oneOf("mood", happenings...)
	w.unlucky = rapid.SampledFrom([]int{0, 2, 2, 5, 8}).Draw(t, "unlucky")
	w.follower = follower{world: w, state: NewState()}
	return w
}

func (w *world) upTo(n int, label string) int { return rapid.IntRange(0, n).Draw(w.t, label) }

func (w *world) oneOf(label string, values ...string) string {
	return rapid.SampledFrom(values).Draw(w.t, label)
}

// apply makes the step, keeps what comes of it and holds it to everything.
func (w *world) apply(e Event) {
	e.At = w.now
	if w.upTo(9, "skew") == 0 {
		// It has lain in the inbox, or was noted by a clock that is wrong.
		e.At = w.now.Add(time.Duration(rapid.SampledFrom([]int{-1000, 1000}).Draw(w.t, "by")) * time.Millisecond)
	}
	e = w.logged(e)
	before, given := w.state, textOf(w.t, w.state)
	w.speculate(before)
	next, effects := w.program.Step(before, e)
	require.Equal(w.t, given, textOf(w.t, before), "a step does not change the state it was given")
	if before.Status.Terminal() {
		require.Equal(w.t, given, textOf(w.t, next), "terminal is final")
		require.Equal(w.t, Effects{}, effects)
	}
	w.reloaded(before, e, stepped{next, effects})

	w.signals.note(w, before, e)
	if id := runOf(e); w.isOpen(id) && e.Result != nil {
		w.answers[id] = e.Result
	}
	open := maps.Clone(w.open)
	w.state = next
	w.log = append(w.log, e)
	w.keep(effects)
	w.follower.follow(e, stepped{next, effects})

	w.holdRuns(effects)
	w.holdEffects(e, effects, open)
	w.holdReason()
	w.signals.hold(w)
}

// keep takes in what a step did to the runs, and what it asked for.
func (w *world) keep(effects Effects) {
	w.rows = record(w.t, w.rows, effects)
	for _, run := range effects.Started {
		w.open[run.No] = true
	}
	maps.DeleteFunc(w.open, func(no int, _ bool) bool { return !w.rows[no-1].FinishedAt.IsZero() })
	for _, x := range effects.Execute {
		w.asked[x.RunID] = x
		w.askedIn = append(w.askedIn, x.RunID)
	}
	w.resolves = append(w.resolves, effects.Resolve...)
}

// logged is the event as it is read back from the log, which is what is applied.
func (w *world) logged(e Event) Event {
	data, err := e.Data()
	require.NoError(w.t, err)
	w.t.Logf("%s at %s: %s", e.Kind, e.At.Sub(epoch), data)
	e, err = ReadEvent(storage.TaskEvent{Kind: e.Kind, At: e.At, Data: data})
	require.NoError(w.t, err)
	return e
}

// stepped is what a step gave.
type stepped struct {
	state   State
	effects Effects
}

// record keeps the rows as storage does.
func record(t *rapid.T, rows []storage.NodeRun, effects Effects) []storage.NodeRun {
	rows = append(rows, effects.Started...)
	for _, f := range effects.Finished {
		run := &rows[f.No-1]
		require.True(t, run.FinishedAt.IsZero(), "run %d (%s) is finished once", f.No, run.Path)
		f.Close(run)
	}
	return rows
}

// runOf is the run that the event is about; "" for none.
func runOf(e Event) string {
	if e.Result == nil {
		return ""
	}
	return e.Result.RunID
}

// happenings are the kinds of events, as often as they are likely.
var happenings = []string{"answer", "answer", "answer", "answer", "late", "resolve", "timer", "timer", "signal", "signal", "decide", "odd"}

// happen draws something that happens.
func (w *world) happen() {
	event := w.oneOf("event", happenings...)
	if w.upTo(2, "moody") == 0 {
		event = w.mood
	}
	switch event {
	case "answer":
		if id := w.oneOpen(); id != "" {
			w.apply(Event{Kind: storage.EventRunFinished, Result: w.answer(id)})
		}
	case "late":
		if id := w.someRun(); id != "" {
			w.apply(Event{Kind: storage.EventRunFinished, Result: w.answer(id)})
		}
	case "resolve":
		if n := len(w.resolves); n > 0 {
			// The question that is open, or one before it.
			w.resolve(w.resolves[n-1-w.upTo(min(n-1, 1), "question")])
		}
	case "timer":
		w.timer()
	case "signal":
		w.signal(w.oneOf("signal", enginetest.SignalKeys...), "")
	case "decide":
		w.decide()
	case "odd":
		w.odd()
	}
}

// odd is what happens rarely, or should not happen.
func (w *world) odd() {
	switch w.oneOf("odd", "start", "unknown", "cancel", "no question", "distinct", "distinct") {
	case "start":
		w.apply(Event{Kind: storage.EventStarted})
	case "unknown":
		w.apply(Event{Kind: storage.EventRunFinished, Result: &RunResult{RunID: "run-unknown"}})
	case "cancel":
		if w.upTo(3, "really") == 0 {
			w.apply(Event{Kind: storage.EventCancel})
		}
	case "no question":
		if id := w.someRun(); id != "" {
			w.apply(Event{Kind: storage.EventFlowResolved, Resolved: &FlowResolved{RunID: id, VersionID: versionOf("f0")}})
		}
	case "distinct":
		w.send(&Signal{Key: fmt.Sprintf("k%d", len(w.log))})
	}
}

// answer draws what comes of a run.
func (w *world) answer(id string) *RunResult {
	result := &RunResult{RunID: id, WorkerID: "w1"}
	switch luck := w.upTo(9, "luck"); {
	case luck < w.unlucky:
		result.Error = &RunError{
			Code:    w.oneOf("code", "worker_error", CodeTimeout),
			Message: "no luck with " + w.asked[id].Path + w.oneOf("detail", "", "", enginetest.Padding),
			Final:   w.upTo(9, "final") == 9,
		}
	case luck == 9:
		// No result at all, which is null.
	case luck == 8:
		result.Result = json.RawMessage("true") // as a signal would say
	default:
		result.Result = enginetest.DrawResult(w.t, fmt.Sprintf("%s#%d", w.asked[id].Path, w.asked[id].RunNo))
	}
	return result
}

func (w *world) resolve(question Resolve) {
	answer := &FlowResolved{RunID: question.RunID}
	if question.Ref.Name == enginetest.Gone || w.upTo(9, "not found") == 0 {
		answer.Error = &RunError{Code: CodeFlowNotFound, Message: "no flow " + question.Ref.Name}
	} else {
		answer.VersionID = versionOf(question.Ref.Name)
	}
	w.apply(Event{Kind: storage.EventFlowResolved, Resolved: answer})
}

// timer fires when something is due, or later, or early.
func (w *world) timer() {
	if due := w.state.NextDue(); due.After(w.now) && w.upTo(2, "early") > 0 {
		w.now = due
	}
	w.now = w.now.Add(time.Duration(w.upTo(1500, "ms")) * time.Millisecond)
	w.apply(Event{Kind: storage.EventTimerFired})
}

func (w *world) signal(key, runID string) {
	w.send(&Signal{Key: key, Value: enginetest.DrawValue(w.t), RunID: runID})
}

// send gives a signal a sender of its own, by which it is known again in the
// run that it lets pass.
func (w *world) send(signal *Signal) {
	signal.DecidedBy = fmt.Sprintf("sender %d", len(w.log))
	if signal.Value == nil {
		signal.Value = json.RawMessage(fmt.Sprintf(`"value %d"`, len(w.log)))
	}
	w.apply(Event{Kind: storage.EventSignal, Signal: signal})
}

// decide decides what is to be decided, or what no longer is.
func (w *world) decide() {
	if approval, ok := w.program.Approval(w.state); ok && w.upTo(2, "stale") > 0 {
		w.signal(approval.Key, approval.RunID)
		return
	}
	if len(w.rows) == 0 {
		return
	}
	key, row := enginetest.KeyPlain, &w.rows[w.upTo(len(w.rows)-1, "stale")]
	if node, _ := w.at(row.Path); node.Wait != nil {
		key = node.Wait.Signal
	}
	w.signal(key, row.ID)
}

// someRun is one of the latest executions, ended or not; "" when there is none.
func (w *world) someRun() string {
	if len(w.askedIn) == 0 {
		return ""
	}
	return w.askedIn[len(w.askedIn)-1-w.upTo(min(len(w.askedIn)-1, 6), "run")]
}

// executing are the run ids of the open executions, in order of start.
func (w *world) executing() []string {
	var ids []string
	for _, no := range slices.Sorted(maps.Keys(w.open)) {
		if id := w.rows[no-1].ID; w.asked[id].RunID == id {
			ids = append(ids, id)
		}
	}
	return ids
}

func (w *world) oneOpen() string {
	open := w.executing()
	if len(open) == 0 {
		return ""
	}
	return open[w.upTo(len(open)-1, "open")]
}

func (w *world) isOpen(id string) bool {
	x, ok := w.asked[id]
	return ok && w.open[x.RunNo]
}

// finish is a fair scheduler: it answers everything, and sends what is waited
// for. The task ends.
func (w *world) finish() {
	const enough = 3000
	for range enough {
		if w.state.Status.Terminal() {
			return
		}
		open := w.executing()
		node := w.state.Innermost()
		switch {
		case node == nil:
			w.apply(Event{Kind: storage.EventStarted})
		case len(open) > 0:
			w.apply(Event{Kind: storage.EventRunFinished, Result: &RunResult{RunID: open[0], Result: json.RawMessage(`{"go":"x"}`)}})
		case node.Phase == PhaseResolving:
			w.resolve(w.resolves[len(w.resolves)-1])
		case !w.state.NextDue().IsZero() && w.upTo(2, "patient") > 0:
			if due := w.state.NextDue(); due.After(w.now) {
				w.now = due
			}
			w.apply(Event{Kind: storage.EventTimerFired})
		case node.Phase == PhaseWaiting && w.waitKey() != "":
			w.send(&Signal{Key: w.waitKey(), Value: json.RawMessage(`{"ok":true,"n":1}`)})
		default:
			require.False(w.t, w.state.NextDue().IsZero(), "nothing can move the task")
		}
	}
	require.Fail(w.t, "the task does not end")
}

// waitKey is the key of the signal that the task waits for; "" for none.
func (w *world) waitKey() string {
	node, _ := w.at(w.activePath())
	if node == nil || node.Wait == nil {
		return ""
	}
	return node.Wait.Signal
}
