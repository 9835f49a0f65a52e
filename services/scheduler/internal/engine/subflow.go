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
func (v *visit) startSubflow() *outcome {
	v.frame.Attempt++
	if limit := v.limits().MaxNesting; v.sc.depth >= limit {
		return v.refuse(CodeTooDeep, fmt.Sprintf("subflows are nested %d deep, the most is %d", v.sc.depth+1, limit))
	}
	timeout, err := v.node.Timeout.Resolve(v.reads())
	if err != nil {
		return v.refuse(CodeBadSetting, badTimeout(err))
	}
	v.frame.Phase, v.frame.Due = PhaseResolving, 0
	if timeout > 0 {
		v.frame.Due = micros(v.now.Add(timeout))
	}
	v.startRun(storage.RunRunning)
	switch plan, err := v.program.subPlan(v.node, v.frame.Version); {
	case err != nil:
		return v.failed(CodeFlowNotFound, err.Error())
	case plan != nil:
		return v.enter(plan)
	}
	v.resolve()
	return nil
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

func (v *visit) resolve() {
	v.effects.Resolve = append(v.effects.Resolve, Resolve{RunID: v.frame.RunID, Ref: *v.node.Subflow.Flow})
}

// flowResolved goes on with the subflow that asked.
func (s *step) flowResolved(answer *FlowResolved) {
	v := s.innermost()
	if v == nil || v.frame.RunID != answer.RunID || v.frame.Phase != PhaseResolving {
		return
	}
	if e := answer.Error; e != nil {
		s.goOn(v.subflowEnded(v.failure(e.Code, e.Message)))
		return
	}
	plan, err := s.program.subPlan(v.node, answer.VersionID)
	if err != nil {
		s.goOn(v.subflowEnded(v.failure(CodeFlowNotFound, err.Error())))
		return
	}
	v.frame.Version = answer.VersionID
	s.goOn(v.enter(plan))
}

// enter visits the first node of a subflow. Its shared state starts as the
// node's input when that is an object.
func (v *visit) enter(plan *flow.Plan) *outcome {
	shared := v.frame.Input
	if rawjson.TypeOf(shared) != rawjson.Object {
		shared = json.RawMessage("{}")
	}
	if timeout := plan.Timeout(); timeout > 0 && v.frame.Due == 0 {
		v.frame.Due = micros(v.now.Add(timeout))
	}
	v.frame.Phase = PhaseInside
	v.frame.Sub = &SubFrame{Shared: shared, plan: plan}
	return v.arrive(v.inside(), plan.Start())
}

// subflowEnded ends an attempt of a subflow node, or the node.
func (v *visit) subflowEnded(failure *Failure) *outcome {
	strategy := v.node.Subflow.Strategy
	switch {
	case failure == nil:
	case v.frame.Attempt <= v.node.Retry.Max:
		v.finishRun(v.frame.Run, failure.finish())
		v.frame.Sub = nil
		return v.backOff()
	case strategy == flow.Continue || strategy == flow.IgnoreErrors:
	default:
		v.finishVisit(failure.finish())
		return v.ended(failure)
	}
	output := json.RawMessage("{}")
	if v.frame.Sub != nil {
		output = v.frame.Sub.Shared
	}
	reads := v.reads()
	done := v.success(v.node.Post.Action(reads, output), v.written(&v.node.Post, reads, output))
	finish := finishOf(done, output)
	if failure != nil && done.failure == nil {
		finish.ErrorCode, finish.ErrorText = failure.Code, failure.Message // what was passed over
	}
	v.finishVisit(finish)
	return done
}

// subflowTimedOut ends what is inside the subflow with it.
func (v *visit) subflowTimedOut() *outcome {
	if v.frame.Phase == PhaseResolving {
		v.abort(v.frame.RunID, v.frame.Phase)
	}
	v.closeInside(v.frame, storage.RunCanceled)
	return v.subflowEnded(v.failure(CodeTimeout, "the subflow did not end within its time-out"))
}
