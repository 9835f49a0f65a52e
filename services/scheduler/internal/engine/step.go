package engine

import (
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
	clock   Micros // of whoever saw the event: what is due is so by that
	visits  int    // of nodes and branches, in this step
	bytes   int    // of the inputs and params of the runs that it started
	effects Effects
}

// outcome is how a visit of a node ended.
type outcome struct {
	node    *flow.PlanNode
	action  string
	failure *Failure
}

func (s *step) start(limits *Limits) {
	if s.state.Steps > 0 {
		return // a repeat
	}
	s.state.Limits = s.program.Limits
	if limits != nil {
		s.state.Limits = *limits
	}
	if timeout := s.program.Plan.Timeout(); timeout > 0 {
		s.state.Deadline = micros(s.at.Add(timeout))
	}
	root := s.root()
	s.goOn(s.visit(root, root.plan.Start()))
}

// What one step may visit, and with it the size of its transaction, is bounded:
// a chain of choices may be as long as max_steps, and the branches of a node may
// all have the same large input. The next step goes on at once.
const (
	visitsPerStep = 200
	bytesPerStep  = 4 << 20
)

// long reports whether the step has done enough.
func (s *step) long() bool { return s.visits >= visitsPerStep || s.bytes >= bytesPerStep }

// goOn follows the flow from a node of the scope that has ended, until a node
// has to wait or the task has ended. Without an outcome a node waits already.
func (s *step) goOn(sc *scope, done *outcome) {
	for done != nil {
		key, exit := s.leave(sc, *done)
		switch {
		case exit == nil:
			sc, done = s.visit(sc, key)
		case sc.up != nil:
			sc, done = s.subflowEnded(sc.up, sc.owner, exit.failure)
		case exit.failure != nil:
			s.fail(*exit.failure)
			return
		default:
			s.end(storage.TaskCompleted, "", nil)
			return
		}
	}
}

// visit begins a visit. Its outcome is nil when something has to be waited for;
// it is a node's of the scope returned, which is another one when the visit led
// into a subflow.
func (s *step) visit(sc *scope, key string) (*scope, *outcome) {
	if s.long() {
		sc.frame.Node = &NodeFrame{Key: key, Phase: PhaseNext, Due: s.clock}
		return sc, nil
	}
	s.visits++
	if limit := s.maxSteps(); s.state.Steps >= limit {
		s.fail(Failure{Node: sc.pathOf(key), Code: CodeMaxSteps, Message: fmt.Sprintf("the task has visited %d nodes, the most it may", limit)})
		return sc, nil
	}
	s.state.Steps++
	node := sc.plan.Node(key)
	frame := &NodeFrame{Key: key, Visit: s.visitOf(sc, key)}
	sc.frame.Node = frame

	reads := expr.Scope{Params: sc.params, Shared: *sc.shared, Budget: s.budget()}
	frame.Params = node.EffectiveParams(reads)
	reads.Params = frame.Params
	frame.Input = node.Prep.Input(reads)
	if fault := s.tooLarge(reads.Budget, frame.Input, frame.Params); fault != "" {
		frame.Attempt = 1
		return sc, s.refuse(sc, node, frame, CodeTooLarge, fault)
	}
	if node.Kind == flow.KindSubflow {
		return s.startSubflow(sc, node, frame)
	}
	return sc, s.begin(sc, node, frame)
}

// begin starts a visit of a node that is no subflow.
func (s *step) begin(sc *scope, node *flow.PlanNode, frame *NodeFrame) *outcome {
	switch node.Kind {
	case flow.KindChoice:
		return s.choose(sc, node, frame)
	case flow.KindParallel, flow.KindForeach:
		return s.startFan(sc, node, frame)
	case flow.KindTimer:
		return s.startTimer(sc, node, frame)
	case flow.KindWaitEvent, flow.KindApproval:
		return s.startWait(sc, node, frame)
	case flow.KindExecutor, flow.KindSubflow:
	}
	return s.attempt(sc, node, frame)
}

// budget is what the references of an input and params may bring in.
func (s *step) budget() *expr.Budget { return expr.NewBudget(2 * s.limits().MaxValue) }

// tooLarge says what is wrong with an input and params that are over the limit.
func (s *step) tooLarge(budget *expr.Budget, input, params []byte) string {
	limit := s.limits().MaxValue
	switch {
	case len(params) > limit:
		return fmt.Sprintf("the params have more than %d bytes", limit)
	case len(input) > limit:
		return fmt.Sprintf("the input has more than %d bytes", limit)
	case budget.Exceeded():
		return fmt.Sprintf("the input and the params have more than %d bytes", 2*limit)
	case rawjson.TooDeep(input) || rawjson.TooDeep(params):
		return fmt.Sprintf("the input or the params have more than %d levels", rawjson.MaxDepth)
	}
	return ""
}

// limits are those that the task was started with.
func (s *step) limits() *Limits {
	if s.state.Limits == (Limits{}) {
		return &s.program.Limits // not started
	}
	return &s.state.Limits
}

func (s *step) maxSteps() int {
	if own := s.program.Plan.MaxSteps(); own > 0 {
		return own
	}
	return s.limits().MaxSteps
}

// exit is the end of a flow.
type exit struct {
	failure *Failure
}

// leave takes the edge that the outcome selects, to the node of that key or out
// of the flow.
func (s *step) leave(sc *scope, done outcome) (key string, out *exit) {
	sc.frame.Node = nil
	s.state.Action = done.action
	if done.failure != nil {
		return s.leaveFailed(sc, done)
	}
	key, exitKind := sc.plan.Next(done.node.Key, done.action)
	if exitKind == flow.ExitTo {
		return key, nil
	}
	return "", &exit{}
}

// leaveFailed takes the timeout or error edge; without one the flow fails.
func (s *step) leaveFailed(sc *scope, done outcome) (key string, out *exit) {
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
		return "", &exit{failure: done.failure}
	}
	s.state.Action = action
	*sc.shared = rawjson.Set(*sc.shared, "error", done.failure.JSON())
	if key == "" {
		return "", &exit{}
	}
	return key, nil
}

func (s *step) fail(f Failure) { s.end(storage.TaskFailed, storage.RunCanceled, &f) }

// end makes the state terminal. Runs that are still open are closed with the
// status given.
func (s *step) end(status storage.TaskStatus, open storage.RunStatus, failure *Failure) {
	s.close(s.state.Flow.Node, open)
	s.state.Flow.Node = nil
	s.state.Kept, s.state.KeptBytes = nil, 0
	s.state.Status, s.state.Failure = status, failure
	s.state.Deadline = 0
}

// close ends what a node is about, from the inside out: open runs get the
// status, executions are aborted.
func (s *step) close(frame *NodeFrame, status storage.RunStatus) {
	if frame == nil {
		return
	}
	s.closeInside(frame, status)
	if frame.Phase.executing() || frame.Phase == PhaseResolving {
		s.abort(frame.RunID, frame.Phase)
	}
	if frame.Phase.open() {
		s.finishRun(frame.Run, storage.RunFinish{Status: status})
	}
}

// closeInside does so with what is inside a composite node, not with the node
// itself.
func (s *step) closeInside(frame *NodeFrame, status storage.RunStatus) {
	if frame.Sub != nil {
		s.close(frame.Sub.Flow.Node, status)
		frame.Sub.Flow.Node = nil
	}
	if frame.Fan != nil {
		s.closeBranches(frame.Fan, status)
	}
}

func (s *step) abort(runID string, phase Phase) {
	s.effects.Abort = append(s.effects.Abort, Abort{RunID: runID, Queued: phase == PhaseQueued})
}

// timerFired acts on what is due at the event's time: the task's own deadline,
// or else the outermost node, with which what is inside it ends.
func (s *step) timerFired() {
	if d := s.state.Deadline; d != 0 && d <= s.clock {
		s.end(storage.TaskFailed, storage.RunTimeout, &Failure{
			Node: s.activePath(), Code: CodeTaskTimeout,
			Message: fmt.Sprintf("the task took longer than its time-out of %s", s.program.Plan.Timeout()),
		})
		return
	}
	for sc := s.root(); sc.frame.Node != nil; sc = sc.inside(sc.frame.Node) {
		frame := sc.frame.Node
		switch {
		case frame.Due != 0 && frame.Due <= s.clock:
			s.goOn(s.due(sc, frame))
			return
		case frame.Fan != nil && frame.Phase == PhaseInside:
			s.goOn(sc, s.fanStep(sc, frame).branchesDue())
			return
		case frame.Sub == nil:
			return
		}
	}
}

// due acts on a node whose time has come.
func (s *step) due(sc *scope, frame *NodeFrame) (*scope, *outcome) {
	node := sc.plan.Node(frame.Key)
	switch frame.Phase {
	case PhaseNext:
		return s.visit(sc, frame.Key)
	case PhaseBackoff:
		return s.again(sc, node, frame)
	case PhaseQueued:
		s.abort(frame.RunID, frame.Phase)
		return sc, s.attemptFailed(sc, node, frame, &RunResult{RunID: frame.RunID, Error: unanswered()})
	case PhaseWaiting:
		if node.Wait != nil {
			return sc, s.waitTimedOut(sc, node, frame)
		}
		return sc, s.fire(sc, node, frame)
	case PhaseInside:
		if frame.Fan != nil {
			frame.Due = 0
			return sc, s.fanStep(sc, frame).branchesDue()
		}
		return s.subflowTimedOut(sc, node, frame)
	case PhaseResolving:
		return s.subflowTimedOut(sc, node, frame)
	case PhaseRunning:
		// Whoever carries the execution out keeps its time.
	}
	return sc, nil
}

// again starts the next attempt of a node that waited for it.
func (s *step) again(sc *scope, node *flow.PlanNode, frame *NodeFrame) (*scope, *outcome) {
	frame.Due = 0
	switch {
	case node.Kind == flow.KindSubflow:
		return s.startSubflow(sc, node, frame)
	case frame.Fan != nil:
		return sc, s.fanStep(sc, frame).startRound(frame.Fan.failed())
	}
	return sc, s.attempt(sc, node, frame)
}

// backOff waits for the time of the node's next attempt, or starts it at once
// when there is no wait.
func (s *step) backOff(sc *scope, node *flow.PlanNode, frame *NodeFrame) (*scope, *outcome) {
	frame.Phase, frame.Due = PhaseBackoff, 0
	wait := node.Retry.Delay(frame.Attempt, chance(frame.RunID))
	if wait <= 0 {
		return s.again(sc, node, frame)
	}
	frame.Due = micros(s.at.Add(wait))
	return sc, nil
}

// activePath is the path of the innermost active node.
func (s *step) activePath() string {
	sc := s.innermost()
	if sc.frame.Node == nil {
		return ""
	}
	return sc.pathOf(sc.frame.Node.Key)
}
