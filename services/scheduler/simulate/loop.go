package simulate

import (
	"container/heap"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/execute"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// simulation is a task in the middle of its life.
type simulation struct {
	program engine.Program
	script  *Script
	answers *answers
	worker  func(Call) (Answer, bool)
	local   *execute.Executor // of built-in functions alone

	state    engine.State
	start    time.Time
	now      time.Time
	arrivals int64 // events from outside
	trace    *Trace

	ends    agenda                // executions under way, by their end
	begun   int                   // executions so far
	pending map[string]*execution // the same by run id; without those that were aborted

	questions []engine.Resolve // that are to be answered first
	versions  map[string]string
	bound     map[boundFlow]*flow.Plan

	last     map[string]visit // by path
	sent     []bool           // of the script's signals
	canceled bool
}

// visit is the last one of a path.
type visit struct {
	no    int       // of its last run
	since time.Time // when it began, whatever the attempt
}

// horizon is where the virtual clock stops: later times have no written form.
var horizon = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

func (s *simulation) run(ctx context.Context) error {
	if err := s.apply(ctx, engine.Event{Kind: storage.EventStarted}, inside); err != nil {
		return err
	}
	for !s.state.Status.Terminal() && s.trace.Stopped == nil {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("simulate: %w", context.Cause(ctx))
		}
		if err := s.next(ctx); err != nil {
			return err
		}
	}
	return nil
}

// next moves the clock to what happens next and applies it. The order of the
// cases is the order within one instant.
func (s *simulation) next(ctx context.Context) error {
	if len(s.questions) > 0 {
		question := s.questions[0]
		s.questions = s.questions[1:]
		return s.resolve(ctx, question)
	}
	outside := s.outside()
	end := s.ends.first()
	due := s.state.NextDue()
	at := earliest(outside.at, end.at(), due)
	switch {
	case at.IsZero():
		return s.stuck()
	case at.After(horizon):
		s.trace.Stopped = &Stopped{Reason: TooLate, Message: "the next thing happens after the year 9999"}
		return nil
	case at.After(s.now):
		s.now = at
	}
	switch at {
	case outside.at:
		return s.deliver(ctx, outside)
	case end.at():
		heap.Pop(&s.ends)
		delete(s.pending, end.result.RunID)
		return s.apply(ctx, engine.Event{Kind: storage.EventRunFinished, Result: &end.result}, inside)
	default:
		return s.apply(ctx, engine.Event{Kind: storage.EventTimerFired}, inside)
	}
}

func earliest(times ...time.Time) time.Time {
	var first time.Time
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

// arrival is something from outside that comes next: a signal, or the cancel.
type arrival struct {
	at     time.Time // zero: nothing comes
	signal int       // index of the signal; -1: the cancel
}

func (s *simulation) outside() arrival {
	next := arrival{}
	for i := range s.script.Signals {
		if at := s.timeOf(s.script.Signals[i].Moment); !s.sent[i] && earliest(at, next.at) != next.at {
			next = arrival{at: at, signal: i}
		}
	}
	if s.script.Cancel != nil && !s.canceled {
		if at := s.timeOf(*s.script.Cancel); earliest(at, next.at) != next.at {
			next = arrival{at: at, signal: -1}
		}
	}
	return next
}

// timeOf is when a moment comes as things are; zero when its node is not there.
func (s *simulation) timeOf(m Moment) time.Time {
	at := s.start.Add(m.At)
	if m.When != "" {
		last, ok := s.last[m.When]
		if !ok || !s.trace.Runs[last.no-1].FinishedAt.IsZero() {
			return time.Time{}
		}
		at = last.since.Add(m.After)
	}
	if at.Before(s.now) {
		return s.now
	}
	return at
}

func (s *simulation) deliver(ctx context.Context, a arrival) error {
	if a.signal < 0 {
		s.canceled = true
		s.step(Step{What: Canceled})
		return s.apply(ctx, engine.Event{Kind: storage.EventCancel}, outside)
	}
	s.sent[a.signal] = true
	signal := &s.script.Signals[a.signal]
	value := signal.Value
	if value == nil {
		value = json.RawMessage("null")
	}
	s.step(Step{What: Signaled, Key: signal.Key, Value: value})
	return s.apply(ctx, engine.Event{Kind: storage.EventSignal, Signal: &engine.Signal{
		Key: signal.Key, Value: value, DecidedBy: signal.DecidedBy, Comment: signal.Comment,
	}}, outside)
}

// origin says where an event comes from.
type origin string

const (
	inside  origin = "inside"
	outside origin = "outside" // through the task's inbox
)

// apply logs an event as the scheduler would, makes the step and carries out
// what it asks for.
func (s *simulation) apply(ctx context.Context, event engine.Event, from origin) error {
	event.At = s.now
	logged, err := s.log(event, from)
	if err != nil {
		return err
	}
	// What the log holds is what a replay applies.
	if event, err = engine.ReadEvent(logged); err != nil {
		return err
	}
	var effects engine.Effects
	s.state, effects = s.program.Step(s.state, event)
	s.record(effects)
	aborted := map[string]bool{}
	for _, abort := range effects.Abort {
		aborted[abort.RunID] = true
		if x := s.pending[abort.RunID]; x != nil {
			x.aborted = true
			delete(s.pending, abort.RunID)
		}
	}
	s.questions = slices.DeleteFunc(append(s.questions, effects.Resolve...), func(q engine.Resolve) bool { return aborted[q.RunID] })
	for _, x := range effects.Execute {
		if aborted[x.RunID] {
			continue
		}
		if err := s.execute(ctx, x); err != nil {
			return err
		}
	}
	return nil
}

func (s *simulation) log(event engine.Event, from origin) (storage.TaskEvent, error) {
	data, err := event.Data()
	if err != nil {
		return storage.TaskEvent{}, err
	}
	seq := int64(len(s.trace.Events)) + 1
	logged := storage.TaskEvent{TaskID: taskID, Kind: event.Kind, Data: data, At: event.At, Seq: seq}
	logged.SourceID = fmt.Sprintf("%s:%d", event.Kind, seq)
	if event.Result != nil {
		logged.SourceID = "run:" + event.Result.RunID
	}
	if from == outside {
		s.arrivals++
		logged.Arrival = s.arrivals
	}
	s.trace.Events = append(s.trace.Events, logged)
	return logged, nil
}

// execute finds out how an execution will end, and when.
func (s *simulation) execute(ctx context.Context, x engine.Execution) error {
	call := Call{
		Path: x.Path, Visit: x.Visit, Attempt: x.Attempt,
		ExecType: x.Exec.Type, Target: targetOf(x.Exec), Input: x.Input, Params: x.Params,
	}
	answer, ok := s.answers.to(call)
	if !ok && s.worker != nil {
		answer, ok = s.worker(call)
	}
	var result engine.RunResult
	switch {
	case ok:
		result = resultOf(&answer)
	case x.Exec.Type == flow.ExecLocalFunc:
		var err error
		if result, err = s.local.Do(ctx, taskID, x); err != nil {
			return fmt.Errorf("call %s for %s: %w", call.Target, x.Path, err)
		}
	default:
		s.unanswered(call)
		return nil
	}
	took := answer.After
	if x.Exec.Type == flow.ExecQueue {
		took += flow.Delay(x.Params) // before that no worker gets the job
	}
	if limit := timeoutOf(x.Exec, x.Timeout); x.Exec.Type != flow.ExecQueue && limit > 0 && took > limit {
		took = limit
		result = engine.RunResult{Error: &engine.RunError{
			Code: engine.CodeTimeout, Message: fmt.Sprintf("the attempt took longer than its time-out of %s", limit),
		}}
	}
	result.RunID = x.RunID
	s.begun++
	pending := &execution{result: result, ends: s.now.Add(took), order: s.begun}
	s.pending[x.RunID] = pending
	heap.Push(&s.ends, pending)
	return nil
}

func resultOf(a *Answer) engine.RunResult {
	if a.Error == nil {
		return engine.RunResult{Result: a.Result}
	}
	e := &engine.RunError{Code: a.Error.Code, Message: a.Error.Message, Final: a.Final}
	if e.Code == "" {
		e.Code = execute.CodeWorkerError
	}
	return engine.RunResult{Error: e}
}

// unanswered stops the simulation, after this step: every execution that it
// begins is to be named.
func (s *simulation) unanswered(call Call) {
	stopped := s.trace.Stopped
	if stopped == nil {
		stopped = &Stopped{Reason: NoAnswer, Node: call.Path}
		s.trace.Stopped = stopped
	}
	stopped.Unanswered = append(stopped.Unanswered, call)
	names := make([]string, len(stopped.Unanswered))
	for i := range stopped.Unanswered {
		names[i] = stopped.Unanswered[i].String()
	}
	const most = 5
	if len(names) > most {
		names = append(names[:most], fmt.Sprintf("%d more", len(names)-most))
	}
	stopped.Message = "the script has no answer for " + strings.Join(names, ", ")
}

// resolve answers which version a subflow by reference executes. The versions
// of a simulation are the names under which it was given the flows.
func (s *simulation) resolve(ctx context.Context, question engine.Resolve) error {
	ref := question.Ref
	asks := slices.IndexFunc(s.trace.Runs, func(run storage.NodeRun) bool { return run.ID == question.RunID })
	if asks < 0 {
		return fmt.Errorf("simulate: %s asks for the flow %s and is not known", question.RunID, nameOf(ref))
	}
	path := s.trace.Runs[asks].Path
	for _, name := range []string{ref.ID, ref.Name} {
		for _, key := range []string{fmt.Sprintf("%s@%d", name, ref.Version), name} {
			if name == "" || s.program.Flows[key] == nil {
				continue
			}
			s.step(Step{What: Resolved, Path: path, Flow: key})
			s.versions[path] = key
			return s.apply(ctx, engine.Event{
				Kind: storage.EventFlowResolved, Resolved: &engine.FlowResolved{RunID: question.RunID, VersionID: key},
			}, inside)
		}
	}
	s.trace.Stopped = &Stopped{
		Reason: NoFlow, Node: path,
		Message: fmt.Sprintf("%s refers to the flow %s, which the script does not name under flows", path, nameOf(ref)),
	}
	return nil
}

func nameOf(ref flow.Ref) string {
	name := ref.Name
	if name == "" {
		name = ref.ID
	}
	if ref.Version > 0 {
		return fmt.Sprintf("%s, version %d", name, ref.Version)
	}
	return name
}

// stuck says what the task waits for when nothing comes any more.
func (s *simulation) stuck() error {
	chain := s.chain()
	if len(chain) == 0 || chain[len(chain)-1].frame.Phase != engine.PhaseWaiting {
		return errors.New("simulate: the task has not ended, and waits for nothing")
	}
	at := chain[len(chain)-1]
	key := at.plan.Node(at.frame.Key).Wait.Signal
	s.trace.Stopped = &Stopped{
		Reason: NoSignal, Node: at.path, Signal: key,
		Message: fmt.Sprintf("%s waits for the signal %q, which the script does not send", at.path, key),
	}
	return nil
}
