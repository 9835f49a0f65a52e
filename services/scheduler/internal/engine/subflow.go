package engine

import (
	"encoding/json"
	"fmt"

	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// startSubflow starts the next attempt of a subflow node: its first node is
// visited, or it is asked which version it executes. The version that the first
// attempt was given holds for all of them.
func (s *step) startSubflow(sc *scope, node *flow.PlanNode, frame *NodeFrame) (*scope, *outcome) {
	frame.Attempt++
	if limit := s.limits().MaxNesting; sc.depth >= limit {
		return sc, s.refuse(sc, node, frame, CodeTooDeep, fmt.Sprintf("subflows are nested %d deep, the most is %d", sc.depth+1, limit))
	}
	timeout, err := node.Timeout.Resolve(sc.reads(frame))
	if err != nil {
		return sc, s.refuse(sc, node, frame, CodeBadSetting, badTimeout(err))
	}
	frame.Phase, frame.Due = PhaseResolving, 0
	if timeout > 0 {
		frame.Due = micros(s.at.Add(timeout))
	}
	s.startRun(sc, frame, storage.RunRunning)
	switch plan, err := s.program.subPlan(node, frame.Version); {
	case err != nil:
		return sc, s.failed(sc, node, frame, CodeFlowNotFound, err.Error())
	case plan != nil:
		return s.enter(sc, frame, plan)
	}
	s.resolve(node, frame)
	return sc, nil
}

// subPlan is the plan that a subflow node executes; nil while it is not known
// which one.
func (p *Program) subPlan(node *flow.PlanNode, version string) (*flow.Plan, error) {
	if node.Subflow.Plan != nil || version == "" {
		return node.Subflow.Plan, nil
	}
	plan := p.Flows[version]
	if plan == nil {
		return nil, fmt.Errorf("the plan of the version %s is not at hand", version)
	}
	return node.Subflow.Bind(plan)
}

func (s *step) resolve(node *flow.PlanNode, frame *NodeFrame) {
	s.effects.Resolve = append(s.effects.Resolve, Resolve{RunID: frame.RunID, Ref: *node.Subflow.Flow})
}

// flowResolved goes on with the subflow that asked.
func (s *step) flowResolved(answer *FlowResolved) {
	sc := s.innermost()
	frame := sc.frame.Node
	if frame == nil || frame.RunID != answer.RunID || frame.Phase != PhaseResolving {
		return
	}
	failure := &Failure{Node: sc.pathOf(frame.Key), Attempts: frame.Attempt}
	if e := answer.Error; e != nil {
		failure.Code, failure.Message = e.Code, e.Message
		s.goOn(s.subflowEnded(sc, frame, failure))
		return
	}
	plan, err := s.program.subPlan(sc.plan.Node(frame.Key), answer.VersionID)
	if err != nil {
		failure.Code, failure.Message = CodeFlowNotFound, err.Error()
		s.goOn(s.subflowEnded(sc, frame, failure))
		return
	}
	frame.Version = answer.VersionID
	s.goOn(s.enter(sc, frame, plan))
}

// enter visits the first node of a subflow. Its shared state starts as the
// node's input when that is an object.
func (s *step) enter(sc *scope, frame *NodeFrame, plan *flow.Plan) (*scope, *outcome) {
	shared := frame.Input
	if rawjson.TypeOf(shared) != rawjson.Object {
		shared = json.RawMessage("{}")
	}
	if timeout := plan.Timeout(); timeout > 0 && frame.Due == 0 {
		frame.Due = micros(s.at.Add(timeout))
	}
	frame.Phase = PhaseInside
	frame.Sub = &SubFrame{Shared: shared, plan: plan}
	return s.visit(sc.inside(frame), plan.Start())
}

// subflowEnded ends an attempt of a subflow node, or the node.
func (s *step) subflowEnded(sc *scope, frame *NodeFrame, failure *Failure) (*scope, *outcome) {
	node := sc.plan.Node(frame.Key)
	strategy := node.Subflow.Strategy
	switch {
	case failure == nil:
	case frame.Attempt <= node.Retry.Max:
		s.finishRun(frame.Run, failure.finish())
		frame.Sub = nil
		return s.backOff(sc, node, frame)
	case strategy == flow.Continue || strategy == flow.IgnoreErrors:
	default:
		s.finishVisit(sc, frame, failure.finish())
		return sc, &outcome{node: node, failure: failure}
	}
	output := json.RawMessage("{}")
	if frame.Sub != nil {
		output = frame.Sub.Shared
	}
	reads := sc.reads(frame)
	done := s.success(sc, node, frame, node.Post.Action(reads, output), s.written(&node.Post, reads, output))
	finish := finishOf(done, output)
	if failure != nil && done.failure == nil {
		finish.ErrorCode, finish.ErrorText = failure.Code, failure.Message // what was passed over
	}
	s.finishVisit(sc, frame, finish)
	return sc, done
}

// subflowTimedOut ends what is inside the subflow with it.
func (s *step) subflowTimedOut(sc *scope, node *flow.PlanNode, frame *NodeFrame) (*scope, *outcome) {
	if frame.Phase == PhaseResolving {
		s.abort(frame.RunID, frame.Phase)
	}
	s.closeInside(frame, storage.RunCanceled)
	return s.subflowEnded(sc, frame, &Failure{
		Node: sc.pathOf(node.Key), Code: CodeTimeout, Attempts: frame.Attempt,
		Message: "the subflow did not end within its time-out",
	})
}
