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
func (v *visit) startWait() *outcome {
	v.frame.Attempt++
	timeout, err := v.node.Timeout.Resolve(v.reads())
	if err != nil {
		return v.refuse(CodeBadSetting, badTimeout(err))
	}
	v.startRun(storage.RunRunning)
	if signal, ok := v.take(); ok {
		return v.pass(signal)
	}
	if value := v.node.Wait.Value.Resolve(v.reads()); lets(value) && !v.sc.signalLeft(v.node) {
		return v.goWith(heard{&Signal{}, value})
	}
	v.frame.Phase, v.frame.Due = PhaseWaiting, 0
	if timeout > 0 {
		v.frame.Due = micros(v.now.Add(timeout))
	}
	return nil
}

// told is what a signal says to the node: its value, whatever that is, or what
// stands at the place inside it that the node waits for. A decision is about
// that place already.
func (v *visit) told(signal *Signal) (json.RawMessage, bool) {
	if v.node.Wait.Inside.Len() == 0 || signal.RunID != "" {
		return signal.Value, true
	}
	found, ok := v.node.Wait.Inside.Lookup(signal.Value)
	if v.node.Kind == flow.KindApproval && rawjson.TypeOf(found) == rawjson.Bool {
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
func (v *visit) pass(by heard) *outcome {
	key := v.node.Wait.Signal
	if v.sc.owner != nil && key != "" {
		shared := v.write(by.signal, *v.sc.shared)
		if fault := v.sharedTooLarge(*v.sc.shared, shared); fault != "" {
			return v.failed(CodeTooLarge, fault)
		}
		*v.sc.shared = shared
	}
	done := v.goWith(by)
	v.sc.frame.leave(key, *v.sc.shared)
	return done
}

// goWith ends the visit with the value that it waited for.
func (v *visit) goWith(by heard) *outcome {
	reads := v.reads()
	end := waitEnd{shared: v.written(&v.node.Post, reads, by.said), output: by.said, by: by.signal}
	if v.node.Kind == flow.KindApproval {
		end.action = decision(by.said)
		picked, _ := v.node.Post.ActionKey.Select(reads, rawjson.Set(nil, "approval", by.said))
		if action := flow.ActionText(picked); action != "" {
			end.action = action
		}
	} else {
		end.action = v.node.Post.Action(reads, rawjson.Set(nil, "signal", by.said))
	}
	return v.endWait(end)
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

func (v *visit) endWait(end waitEnd) *outcome {
	done := v.success(end.action, end.shared)
	finish := finishOf(done, end.output)
	if end.by != nil {
		finish.DecidedBy, finish.Comment = end.by.DecidedBy, end.by.Comment
	}
	v.finishVisit(finish)
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
func (v *visit) waitTimedOut() *outcome {
	failure := v.failure(CodeTimeout, fmt.Sprintf("no signal %q came in time", v.node.Wait.Signal))
	if v.node.Kind == flow.KindApproval {
		failure.Message = "nobody decided in time"
	}
	_, caught := v.sc.plan.TimeoutEdge(v.node.Key)
	goesOn := v.node.Wait.Strategy == flow.Continue || v.node.Wait.Strategy == flow.IgnoreErrors
	switch {
	case v.node.Wait.Strategy == flow.RetryFailed && v.frame.Attempt <= v.node.Retry.Max:
		v.finishRun(v.frame.Run, failure.finish())
		return v.startWait()
	case goesOn || !caught && hasWay(v.sc.plan, v.node.Key, v.node.Post.ActionStatic):
		reads, null := v.reads(), json.RawMessage("null")
		return v.endWait(waitEnd{action: v.node.Post.ActionStatic, shared: v.written(&v.node.Post, reads, null), output: null})
	}
	v.finishVisit(failure.finish())
	return v.ended(failure)
}
