package engine

import (
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// choose decides at once; its run starts and finishes in the same step.
func (v *visit) choose() *outcome {
	v.frame.Attempt = 1
	v.startRun(storage.RunRunning)

	done := v.success(v.choiceAction(), v.written(&v.node.Post, v.reads(), v.frame.Input))
	if !done.tooLarge() && done.action == "" && !v.sc.plan.HasDefaultEdge(v.node.Key) {
		// To end the flow here would hide that no case fitted.
		done.failure = v.failure(CodeNoChoice, "no case holds, and there is neither a default action nor a default edge")
	}
	v.finishVisit(finishOf(done, v.frame.Input))
	return done
}

func (v *visit) choiceAction() string {
	reads := v.reads()
	for i := range v.node.Choice.Cases {
		if c := &v.node.Choice.Cases[i]; c.When.Holds(reads) {
			return c.Action
		}
	}
	for _, subject := range [][]byte{v.frame.Input, *v.sc.shared} {
		value, _ := v.node.Post.ActionKey.Select(reads, subject)
		if action := flow.ActionText(value); action != "" {
			return action
		}
	}
	return v.node.Choice.Default
}

// tooLarge reports whether what the node would have written was refused.
func (o *outcome) tooLarge() bool { return o.failure != nil && o.failure.Code == CodeTooLarge }
