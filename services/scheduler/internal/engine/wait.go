package engine

import (
	"encoding/json"
	"fmt"

	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/flow/expr"
	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// startWait passes by a signal that came before, or by a value that is there
// already; otherwise it waits.
func (s *step) startWait(sc *scope, node *flow.PlanNode, frame *NodeFrame) *outcome {
	frame.Attempt++
	timeout, err := node.Timeout.Resolve(sc.reads(frame))
	if err != nil {
		return s.refuse(sc, node, frame, CodeBadSetting, badTimeout(err))
	}
	s.startRun(sc, frame, storage.RunRunning)
	if signal, ok := s.take(node); ok {
		return s.pass(sc, node, frame, signal)
	}
	if value := node.Wait.Value.Resolve(sc.reads(frame)); lets(value) && !sc.signalLeft(node) {
		return s.goWith(sc, node, frame, heard{&Signal{}, value})
	}
	frame.Phase, frame.Due = PhaseWaiting, 0
	if timeout > 0 {
		frame.Due = micros(s.at.Add(timeout))
	}
	return nil
}

// told is what a signal says to the node: its value, whatever that is, or what
// stands at the place inside it that the node waits for. A decision is about
// that place already.
func told(node *flow.PlanNode, signal *Signal) (json.RawMessage, bool) {
	if node.Wait.Inside.Len() == 0 || signal.RunID != "" {
		return signal.Value, true
	}
	found, ok := node.Wait.Inside.Lookup(signal.Value)
	if node.Kind == flow.KindApproval && rawjson.TypeOf(found) == rawjson.Bool {
		return found, ok // false is a decision, too
	}
	return found, ok && lets(found)
}

// lets reports whether a value that is there without a signal lets a wait pass.
func lets(value json.RawMessage) bool {
	switch rawjson.TypeOf(value) {
	case rawjson.Missing, rawjson.Null:
		return false
	case rawjson.Bool:
		return string(rawjson.Trim(value)) == "true"
	case rawjson.String:
		return rawjson.Text(value) != ""
	case rawjson.Number, rawjson.Array, rawjson.Object:
	}
	return true
}

// signalLeft reports whether what the node waits for in the shared state was
// left there by a signal, which has let its one visit pass.
func (sc *scope) signalLeft(node *flow.PlanNode) bool {
	ref, ok := node.Wait.Value.Ref()
	return ok && ref.Root == expr.RootShared && sc.frame.hasLeft(node.Wait.Signal, *sc.shared)
}

// heard is a signal and what it says to the node that waits.
type heard struct {
	signal *Signal
	said   json.RawMessage
}

// pass ends the visit by a signal. What the key holds after it, written by the
// signal or by the node's own post, is that signal's. A signal is written to
// the task's shared state when it comes; a subflow, which has its own, gets it
// when it takes it.
func (s *step) pass(sc *scope, node *flow.PlanNode, frame *NodeFrame, by heard) *outcome {
	key := node.Wait.Signal
	if sc.up != nil && key != "" {
		shared := by.signal.write(*sc.shared, node)
		if fault := s.sharedTooLarge(*sc.shared, shared); fault != "" {
			return s.failed(sc, node, frame, CodeTooLarge, fault)
		}
		*sc.shared = shared
	}
	done := s.goWith(sc, node, frame, by)
	sc.frame.leave(key, *sc.shared)
	return done
}

// goWith ends the visit with the value that it waited for.
func (s *step) goWith(sc *scope, node *flow.PlanNode, frame *NodeFrame, by heard) *outcome {
	reads := sc.reads(frame)
	end := waitEnd{shared: s.written(&node.Post, reads, by.said), output: by.said, by: by.signal}
	if node.Kind == flow.KindApproval {
		end.action = decision(by.said)
		picked, _ := node.Post.ActionKey.Select(reads, rawjson.Set(nil, "approval", by.said))
		if action := flow.ActionText(picked); action != "" {
			end.action = action
		}
	} else {
		end.action = node.Post.Action(reads, rawjson.Set(nil, "signal", by.said))
	}
	return s.endWait(sc, node, frame, end)
}

// decision is the action of an approval, unless action_key says otherwise. Its
// action_static is for the time-out alone: it would leave nothing to decide.
func decision(value json.RawMessage) string {
	if rawjson.TypeOf(value) != rawjson.Bool {
		return flow.ActionText(value)
	}
	if string(rawjson.Trim(value)) == "true" {
		return flow.ActionApproved
	}
	return flow.ActionRejected
}

// waitEnd is how a wait ends that does not fail.
type waitEnd struct {
	action string
	shared json.RawMessage
	output json.RawMessage
	by     *Signal // nil: nobody
}

func (s *step) endWait(sc *scope, node *flow.PlanNode, frame *NodeFrame, end waitEnd) *outcome {
	done := s.success(sc, node, frame, end.action, end.shared)
	finish := finishOf(done, end.output)
	if end.by != nil {
		finish.DecidedBy, finish.Comment = end.by.DecidedBy, end.by.Comment
	}
	s.finishVisit(sc, frame, finish)
	return done
}

// hasWay reports whether the action, if there is one, leads on from the node.
func hasWay(plan *flow.Plan, key, action string) bool {
	_, exit := plan.Next(key, action)
	return action != "" && exit != flow.ExitNone
}

// waitTimedOut is what becomes of a wait whose time is up: failure_strategy
// first (retry begins again, continue goes on with null), then the timeout
// edge, then an action_static of the node's own, else it is a failure.
func (s *step) waitTimedOut(sc *scope, node *flow.PlanNode, frame *NodeFrame) *outcome {
	failure := &Failure{
		Node: sc.pathOf(node.Key), Code: CodeTimeout, Attempts: frame.Attempt,
		Message: fmt.Sprintf("no signal %q came in time", node.Wait.Signal),
	}
	if node.Kind == flow.KindApproval {
		failure.Message = "nobody decided in time"
	}
	_, caught := sc.plan.TimeoutEdge(node.Key)
	goesOn := node.Wait.Strategy == flow.Continue || node.Wait.Strategy == flow.IgnoreErrors
	switch {
	case node.Wait.Strategy == flow.RetryFailed && frame.Attempt <= node.Retry.Max:
		s.finishRun(frame.Run, failure.finish())
		return s.startWait(sc, node, frame)
	case goesOn || !caught && hasWay(sc.plan, node.Key, node.Post.ActionStatic):
		reads, null := sc.reads(frame), json.RawMessage("null")
		return s.endWait(sc, node, frame, waitEnd{action: node.Post.ActionStatic, shared: s.written(&node.Post, reads, null), output: null})
	}
	s.finishVisit(sc, frame, failure.finish())
	return &outcome{node: node, failure: failure}
}
