package engine

import (
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// choose decides at once; its run starts and finishes in the same step.
func (s *step) choose(sc *scope, node *flow.PlanNode, frame *NodeFrame) *outcome {
	frame.Attempt = 1
	s.startRun(sc, frame, storage.RunRunning)

	done := s.success(sc, node, frame, s.choiceAction(sc, node, frame), s.written(&node.Post, sc.reads(frame), frame.Input))
	if !done.tooLarge() && done.action == "" && !sc.plan.HasDefaultEdge(node.Key) {
		// To end the flow here would hide that no case fitted.
		done.failure = &Failure{
			Node: sc.pathOf(node.Key), Code: CodeNoChoice, Attempts: 1,
			Message: "no case holds, and there is neither a default action nor a default edge",
		}
	}
	s.finishVisit(sc, frame, finishOf(done, frame.Input))
	return done
}

func (s *step) choiceAction(sc *scope, node *flow.PlanNode, frame *NodeFrame) string {
	reads := sc.reads(frame)
	for i := range node.Choice.Cases {
		if c := &node.Choice.Cases[i]; c.When.Holds(reads) {
			return c.Action
		}
	}
	for _, subject := range [][]byte{frame.Input, *sc.shared} {
		value, _ := node.Post.ActionKey.Select(reads, subject)
		if action := flow.ActionText(value); action != "" {
			return action
		}
	}
	return node.Choice.Default
}

// tooLarge reports whether what the node would have written was refused.
func (o *outcome) tooLarge() bool { return o.failure != nil && o.failure.Code == CodeTooLarge }
