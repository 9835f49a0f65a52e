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
	Limits Limits
}

// Limits apply where a definition sets none of its own.
type Limits struct {
	MaxSteps       int
	AttemptTimeout time.Duration // of a push or local execution
	MaxValue       int           // bytes of an input and of the shared state
}

// Effects are what a step asks for besides the new state: rows to write with
// it, and things to do once it is durable.
type Effects struct {
	Started  []storage.NodeRun
	Finished []storage.RunFinish
	Execute  []Execution
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

// Abort ends an execution whose answer no longer matters.
type Abort struct {
	RunID    string
	ExecType flow.ExecType
}

// Step applies one event. The state given is not changed.
func (p *Program) Step(state State, event Event) (State, Effects) {
	if state.Status.Terminal() {
		return state, Effects{}
	}
	next := state.clone()
	s := step{program: p, state: &next, at: event.At}
	switch event.Kind {
	case storage.EventStarted:
		s.start()
	case storage.EventRunFinished:
		s.runFinished(event.Result)
	case storage.EventTimerFired:
		s.timerFired()
	case storage.EventSignal:
		s.signal(event.Signal)
	case storage.EventCancel:
		s.end(storage.TaskCanceled, storage.RunCanceled, nil)
	}
	if !next.Status.Terminal() {
		next.Status = next.waitsFor()
	}
	return next, s.effects
}

// Resume lists the executions that a state says are under way. Whoever takes a
// task over carries them out again, under the same run ids.
func (p *Program) Resume(state State) []Execution {
	node := state.Flow.Node
	if node == nil || node.Phase != PhaseRunning {
		return nil
	}
	s := step{program: p, state: &state}
	sc := s.root()
	timeout, err := s.timeout(sc, node)
	if err != nil {
		// It was fit when the run started; a signal has changed it since.
		timeout = p.Limits.AttemptTimeout
	}
	return []Execution{s.execution(sc, node, timeout)}
}

// waitsFor is the status that the active node gives the task.
func (s *State) waitsFor() storage.TaskStatus {
	if s.Flow.Node == nil {
		return storage.TaskPending
	}
	switch s.Flow.Node.Phase {
	case PhaseQueued:
		return storage.TaskWaitingQueue
	case PhaseBackoff, PhaseWaiting:
		return storage.TaskWaiting
	case PhaseRunning, PhaseNext:
	}
	return storage.TaskRunning
}
