package engine

import (
	"fmt"

	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// choose decides at once; its run starts and finishes in the same step.
func (s *step) choose(sc scope, node *flow.PlanNode, frame *NodeFrame) *outcome {
	frame.Attempt = 1
	s.startRun(sc, frame, storage.RunRunning)

	action := s.choiceAction(sc, node, frame)
	*sc.shared = node.Post.Write(sc.reads(frame), frame.Input)

	finish := storage.RunFinish{Status: storage.RunOK, Output: frame.Input, Action: action}
	done := &outcome{node: node, action: action}
	if failure := s.choiceFault(sc, node, action); failure != nil {
		done.failure = failure
		finish.Status, finish.ErrorCode, finish.ErrorText = storage.RunError, failure.Code, failure.Message
	}
	s.finishRun(frame, finish)
	return done
}

func (s *step) choiceAction(sc scope, node *flow.PlanNode, frame *NodeFrame) string {
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

// choiceFault is nil when the action leads on. A choice that selected nothing
// needs a default edge: to end the flow there would hide that no case fitted.
func (s *step) choiceFault(sc scope, node *flow.PlanNode, action string) *Failure {
	_, exit := sc.plan.Next(node.Key, action)
	path := sc.pathOf(node.Key)
	switch {
	case action == "" && !sc.plan.HasDefaultEdge(node.Key):
		return &Failure{Node: path, Code: CodeNoChoice, Attempts: 1, Message: "no case holds, and there is neither a default action nor a default edge"}
	case exit == flow.ExitNone:
		return &Failure{Node: path, Code: CodeNoEdge, Attempts: 1, Message: fmt.Sprintf("the choice selected the action %q, which no edge takes", action)}
	}
	return nil
}
