package engine

import (
	"encoding/json"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Program is what stays the same through a task's life.
type Program struct {
	Plan   *flow.Plan
	TaskID string
	Params json.RawMessage // the task's, an object
	Limits Limits          // of a task that has not started
	// Flows are the plans of the versions that subflows by reference are
	// pinned to, by version id: those of State.Versions, and that of a
	// flow_resolved event before it is applied.
	Flows map[string]*flow.Plan
}

// Limits apply where a definition sets none of its own. They are those of the
// scheduler that started the task: part of its log, so that a replay under other
// settings makes the same states.
type Limits struct {
	MaxSteps       int           `json:"max_steps"`
	AttemptTimeout time.Duration `json:"attempt_timeout"` // of a push or local execution; nanoseconds
	MaxValue       int           `json:"max_value"`       // bytes of an input, of the results of a fan and of the shared state
	MaxParallel    int           `json:"max_parallel"`    // branches of one node that are open at once, whatever the definition says
	MaxNesting     int           `json:"max_nesting"`     // subflows inside subflows, those by reference included
}

// Effects are what a step asks for besides the new state: rows to write with
// it, and things to do once it is durable.
type Effects struct {
	Started  []storage.NodeRun
	Finished []storage.RunFinish
	Execute  []Execution
	Resolve  []Resolve
	Abort    []Abort
}

// Execution is one attempt to carry out.
type Execution struct {
	RunNo   int
	RunID   string // the idempotency key of every delivery
	NodeKey string
	Path    string
	Visit   int
	Attempt int
	Exec    *flow.Exec
	Input   json.RawMessage
	Params  json.RawMessage
	Timeout time.Duration // of the attempt; 0: none
}

// Resolve asks which published version a subflow by reference executes. The
// answer is a flow_resolved event.
type Resolve struct {
	RunID string // of the subflow's attempt
	Ref   flow.Ref
}

// Abort ends an execution, or a question, whose answer no longer matters.
type Abort struct {
	RunID  string
	Queued bool // it is a job, to be withdrawn
}

// Step applies one event. The state given is not changed, and what Needs says
// the event needs is there.
func (p *Program) Step(state State, event Event) (State, Effects) {
	if state.Status.Terminal() {
		return state, Effects{}
	}
	next := state.clone()
	// An event from outside has the time of its arrival, which may lie before
	// that of a step which was made while it waited.
	next.Now = max(state.Now, micros(event.At))
	s := step{program: p, state: &next, now: next.Now.Time(), clock: micros(event.At)}
	switch event.Kind {
	case storage.EventStarted:
		s.start(event.Limits)
	case storage.EventRunFinished:
		s.runFinished(event.Result)
	case storage.EventFlowResolved:
		s.flowResolved(event.Resolved)
	case storage.EventTimerFired:
		s.timerFired()
	case storage.EventSignal:
		s.signal(event.Signal)
	case storage.EventCancel:
		s.end(storage.TaskCanceled, storage.RunCanceled, nil)
	}
	if !next.Status.Terminal() {
		next.Status = next.status()
	}
	return next, s.effects
}

// Resume lists what a state says is under way, as effects to carry out.
// Whoever takes a task over does so again, under the same run ids. What
// NeedsToResume says is needed is there.
func (p *Program) Resume(state State) Effects {
	s := step{program: p, state: &state}
	switch v := s.innermost(); {
	case v == nil:
	case v.frame.Fan != nil:
		v.fanStep().resumeBranches()
	case v.frame.Phase == PhaseRunning:
		s.effects.Execute = append(s.effects.Execute, v.execution(s.timeoutAgain(&v.node.Exec, v.reads())))
	case v.frame.Phase == PhaseResolving:
		v.resolve()
	}
	return s.effects
}

// WaitsFor is what moves the task on, for a task that nobody executes.
func (p *Program) WaitsFor(state State) storage.WaitKind {
	if state.Status != storage.TaskWaiting && state.Status != storage.TaskWaitingQueue {
		return storage.WaitNone
	}
	s := step{program: p, state: &state}
	v := s.innermost()
	switch {
	case state.Status == storage.TaskWaitingQueue:
		return storage.WaitQueue
	case v.frame.Phase != PhaseWaiting:
		return storage.WaitRetry
	}
	switch v.node.Kind {
	case flow.KindApproval:
		return storage.WaitApproval
	case flow.KindWaitEvent:
		return storage.WaitEvent
	case flow.KindTimer, flow.KindExecutor, flow.KindChoice, flow.KindParallel, flow.KindForeach, flow.KindSubflow:
	}
	return storage.WaitTimer
}

// status is the one that the active nodes give the task.
func (s *State) status() storage.TaskStatus {
	node := s.Innermost()
	if node == nil {
		return storage.TaskPending
	}
	switch node.Phase {
	case PhaseQueued:
		return storage.TaskWaitingQueue
	case PhaseBackoff, PhaseWaiting:
		return storage.TaskWaiting
	case PhaseInside:
		return node.Fan.status(node)
	case PhaseRunning, PhaseResolving, PhaseNext:
	}
	return storage.TaskRunning
}
