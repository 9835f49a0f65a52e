package engine

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/flow/expr"
	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// step is the working set of one Step: the state being changed and the effects
// so far.
type step struct {
	program *Program
	state   *State
	at      time.Time
	visits  int // of nodes, in this step
	effects Effects
}

// scope is a flow being executed and what its nodes read and write.
type scope struct {
	plan   *flow.Plan
	frame  *FlowFrame
	shared *json.RawMessage
	params json.RawMessage // what a node's own params are laid over
	path   string          // of the flow; "" for the task's own
}

func (s *step) root() scope {
	return scope{plan: s.program.Plan, frame: &s.state.Flow, shared: &s.state.Shared, params: s.program.Params}
}

// reads is what the references of a node see.
func (sc *scope) reads(node *NodeFrame) expr.Scope {
	return expr.Scope{Params: node.Params, Shared: *sc.shared, Input: node.Input}
}

func (sc *scope) pathOf(key string) string {
	if sc.path == "" {
		return key
	}
	return sc.path + "/" + key
}

// outcome is how a visit of a node ended.
type outcome struct {
	node    *flow.PlanNode
	action  string
	failure *Failure
}

func (s *step) start() {
	if s.state.Steps > 0 {
		return // a repeat
	}
	if timeout := s.program.Plan.Timeout(); timeout > 0 {
		s.state.Deadline = micros(s.at.Add(timeout))
	}
	s.advance(s.root(), s.program.Plan.Start())
}

// visitsPerStep bounds the nodes that one step visits, and with them the size
// of its transaction: a chain of choices may be as long as max_steps.
const visitsPerStep = 100

// advance visits nodes from key on, until one of them has to wait, the flow has
// ended, or the step has become long; then the next one goes on at once.
func (s *step) advance(sc scope, key string) {
	for {
		if s.visits == visitsPerStep {
			sc.frame.Node = &NodeFrame{Key: key, Phase: PhaseNext, Due: micros(s.at)}
			return
		}
		s.visits++
		done := s.visit(sc, key)
		if done == nil {
			return
		}
		next, ok := s.leave(sc, *done)
		if !ok {
			return
		}
		key = next
	}
}

// visit begins a visit. It returns nil when the node waits for something.
func (s *step) visit(sc scope, key string) *outcome {
	if limit := s.maxSteps(); s.state.Steps >= limit {
		s.fail(Failure{Node: sc.pathOf(key), Code: CodeMaxSteps, Message: fmt.Sprintf("the task has visited %d nodes, the most it may", limit)})
		return nil
	}
	s.state.Steps++
	node := sc.plan.Node(key)
	frame := &NodeFrame{Key: key, Visit: sc.frame.visit(key)}
	sc.frame.Node = frame

	reads := expr.Scope{Params: sc.params, Shared: *sc.shared}
	frame.Params = node.EffectiveParams(reads)
	reads.Params = frame.Params
	frame.Input = node.Prep.Input(reads)
	if size, limit := max(len(frame.Input), len(frame.Params)), s.program.Limits.MaxValue; size > limit {
		frame.Attempt = 1
		return s.refuse(sc, node, frame, CodeTooLarge, fmt.Sprintf("the input or the params have %d bytes, the most is %d", size, limit))
	}

	switch node.Kind {
	case flow.KindChoice:
		return s.choose(sc, node, frame)
	case flow.KindTimer:
		return s.startTimer(sc, node, frame)
	case flow.KindWaitEvent:
		return s.startWait(sc, node, frame)
	case flow.KindExecutor, flow.KindParallel, flow.KindForeach, flow.KindSubflow, flow.KindApproval:
		// Of these only executors are published, see flow.EngineCapabilities.
	}
	return s.attempt(sc, node, frame)
}

func (s *step) maxSteps() int {
	if own := s.program.Plan.MaxSteps(); own > 0 {
		return own
	}
	return s.program.Limits.MaxSteps
}

// leave takes the edge that the outcome selects. It is false when the flow has
// ended, and with it the task.
func (s *step) leave(sc scope, done outcome) (key string, more bool) {
	sc.frame.Node = nil
	s.state.Action = done.action
	if done.failure != nil {
		return s.leaveFailed(sc, done)
	}
	key, exit := sc.plan.Next(done.node.Key, done.action)
	if exit == flow.ExitTo {
		return key, true
	}
	s.end(storage.TaskCompleted, "", nil)
	return "", false
}

// leaveFailed takes the timeout or error edge, or fails the task.
func (s *step) leaveFailed(sc scope, done outcome) (key string, more bool) {
	action := flow.ActionError
	key, ok := "", false
	if done.failure.Code == CodeTimeout {
		if key, ok = sc.plan.TimeoutEdge(done.node.Key); ok {
			action = flow.ActionTimeout
		}
	}
	if !ok {
		key, ok = sc.plan.ErrorEdge(done.node.Key)
	}
	if !ok {
		s.fail(*done.failure)
		return "", false
	}
	s.state.Action = action
	*sc.shared = rawjson.Set(*sc.shared, "error", done.failure.JSON())
	if key == "" {
		s.end(storage.TaskCompleted, "", nil)
		return "", false
	}
	return key, true
}

func (s *step) fail(f Failure) { s.end(storage.TaskFailed, storage.RunCanceled, &f) }

// end makes the state terminal. A run that is still open is closed with the
// status given.
func (s *step) end(status storage.TaskStatus, open storage.RunStatus, failure *Failure) {
	if node := s.state.Flow.Node; node != nil {
		if node.Phase.executing() || node.Phase == PhaseWaiting {
			s.finishRun(node, storage.RunFinish{Status: open})
		}
		if node.Phase.executing() {
			s.abort(node)
		}
		s.state.Flow.Node = nil
	}
	s.state.Status, s.state.Failure = status, failure
	s.state.Deadline = 0
}

// timerFired acts on everything that is due at the event's time.
func (s *step) timerFired() {
	now := micros(s.at)
	if d := s.state.Deadline; d != 0 && d <= now {
		node := s.state.CurrentNode()
		s.end(storage.TaskFailed, storage.RunTimeout, &Failure{
			Node: node, Code: CodeTaskTimeout,
			Message: fmt.Sprintf("the task took longer than its time-out of %s", s.program.Plan.Timeout()),
		})
		return
	}
	node := s.state.Flow.Node
	if node == nil || node.Due == 0 || node.Due > now {
		return
	}
	s.due(s.root(), node)
}

// JSON is what shared.error and the task's error hold.
func (f *Failure) JSON() json.RawMessage {
	// A struct of strings and a number always encodes.
	text, _ := json.Marshal(f)
	return text
}
