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
	now     time.Time
	clock   Micros // of whoever saw the event: what is due is so by that
	visits  int    // of nodes and branches, in this step
	bytes   int    // of the inputs and params of the runs that it started
	effects Effects
}

// visit is a visit of a node, and where that is.
type visit struct {
	*step
	sc    *scope
	node  *flow.PlanNode
	frame *NodeFrame
}

// at is the visit that is active in the scope; nil when there is none.
func (s *step) at(sc *scope) *visit {
	if sc.frame.Node == nil {
		return nil
	}
	return &visit{step: s, sc: sc, node: sc.plan.Node(sc.frame.Node.Key), frame: sc.frame.Node}
}

// path is the node's.
func (v *visit) path() string { return v.sc.pathOf(v.frame.Key) }

// reads is what the references of the node see.
func (v *visit) reads() expr.Scope {
	return expr.Scope{Params: v.frame.Params, Shared: *v.sc.shared, Input: v.frame.Input}
}

// outcome is how a visit ended.
type outcome struct {
	sc      *scope
	node    *flow.PlanNode
	action  string
	failure *Failure
}

// ended is the visit's outcome.
func (v *visit) ended(failure *Failure) *outcome {
	return &outcome{sc: v.sc, node: v.node, failure: failure}
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
		s.state.Deadline = micros(s.now.Add(timeout))
	}
	root := s.root()
	s.goOn(s.arrive(root, root.plan.Start()))
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

// goOn follows the flow from a node that has ended, until a node has to wait or
// the task has ended. Without an outcome a node waits already.
func (s *step) goOn(done *outcome) {
	for done != nil {
		key, exit := s.leave(done)
		switch owner := done.sc.owner; {
		case exit == nil:
			done = s.arrive(done.sc, key)
		case owner != nil:
			done = owner.subflowEnded(exit.failure)
		case exit.failure != nil:
			s.fail(*exit.failure)
			return
		default:
			s.end(storage.TaskCompleted, "", nil)
			return
		}
	}
}

// arrive begins a visit. Its outcome is nil when something has to be waited
// for. It may be a node's inside: a subflow begins with its first node.
func (s *step) arrive(sc *scope, key string) *outcome {
	if s.long() {
		sc.frame.Node = &NodeFrame{Key: key, Phase: PhaseNext, Due: s.clock}
		return nil
	}
	s.visits++
	if limit := s.maxSteps(); s.state.Steps >= limit {
		s.fail(Failure{Node: sc.pathOf(key), Code: CodeMaxSteps, Message: fmt.Sprintf("the task has visited %d nodes, the most it may", limit)})
		return nil
	}
	s.state.Steps++
	sc.frame.Node = &NodeFrame{Key: key, Visit: s.visitOf(sc, key)}
	v := s.at(sc)

	reads := expr.Scope{Params: sc.params, Shared: *sc.shared, Budget: s.budget()}
	v.frame.Params = v.node.EffectiveParams(reads)
	reads.Params = v.frame.Params
	v.frame.Input = v.node.Prep.Input(reads)
	if fault := s.tooLarge(reads.Budget, v.frame.Input, v.frame.Params); fault != "" {
		v.frame.Attempt = 1
		return v.refuse(CodeTooLarge, fault)
	}
	return v.begin()
}

// begin does what the node's kind does first.
func (v *visit) begin() *outcome {
	switch v.node.Kind {
	case flow.KindChoice:
		return v.choose()
	case flow.KindParallel, flow.KindForeach:
		return v.startFan()
	case flow.KindSubflow:
		return v.startSubflow()
	case flow.KindTimer:
		return v.startTimer()
	case flow.KindWaitEvent, flow.KindApproval:
		return v.startWait()
	case flow.KindExecutor:
	}
	return v.attempt()
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
func (s *step) leave(done *outcome) (key string, out *exit) {
	done.sc.frame.Node = nil
	s.state.Action = done.action
	if done.failure != nil {
		return s.leaveFailed(done)
	}
	key, exitKind := done.sc.plan.Next(done.node.Key, done.action)
	if exitKind == flow.ExitTo {
		return key, nil
	}
	return "", &exit{}
}

// leaveFailed takes the timeout or error edge; without one the flow fails.
func (s *step) leaveFailed(done *outcome) (key string, out *exit) {
	sc := done.sc
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
	for sc := s.root(); ; {
		v := s.at(sc)
		switch {
		case v == nil:
			return
		case v.frame.Due != 0 && v.frame.Due <= s.clock:
			s.goOn(v.due())
			return
		case v.frame.Fan != nil && v.frame.Phase == PhaseInside:
			s.goOn(v.fanStep().branchesDue())
			return
		case v.frame.Sub == nil:
			return
		}
		sc = v.inside()
	}
}

// due acts on a node whose time has come.
func (v *visit) due() *outcome {
	switch v.frame.Phase {
	case PhaseNext:
		return v.arrive(v.sc, v.frame.Key)
	case PhaseBackoff:
		return v.again()
	case PhaseQueued:
		v.abort(v.frame.RunID, v.frame.Phase)
		return v.attemptFailed(&RunResult{RunID: v.frame.RunID, Error: unanswered()})
	case PhaseWaiting:
		if v.node.Wait != nil {
			return v.waitTimedOut()
		}
		return v.fire()
	case PhaseInside:
		if v.frame.Fan != nil {
			v.frame.Due = 0
			return v.fanStep().branchesDue()
		}
		return v.subflowTimedOut()
	case PhaseResolving:
		return v.subflowTimedOut()
	case PhaseRunning:
		// Whoever carries the execution out keeps its time.
	}
	return nil
}

// again starts the next attempt of a node that waited for it.
func (v *visit) again() *outcome {
	v.frame.Due = 0
	switch {
	case v.node.Kind == flow.KindSubflow:
		return v.startSubflow()
	case v.frame.Fan != nil:
		return v.fanStep().startRound(v.frame.Fan.failed())
	}
	return v.attempt()
}

// backOff waits for the time of the node's next attempt, or starts it at once
// when there is no wait.
func (v *visit) backOff() *outcome {
	v.frame.Phase, v.frame.Due = PhaseBackoff, 0
	wait := v.node.Retry.Delay(v.frame.Attempt, chance(v.frame.RunID))
	if wait <= 0 {
		return v.again()
	}
	v.frame.Due = micros(v.now.Add(wait))
	return nil
}

// activePath is the path of the innermost active node.
func (s *step) activePath() string {
	if v := s.innermost(); v != nil {
		return v.path()
	}
	return ""
}
