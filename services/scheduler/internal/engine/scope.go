package engine

import (
	"encoding/json"

	"github.com/pocketflowgo/pocketflow/shared/flow"
)

// scope is a flow being executed and what its nodes read and write.
type scope struct {
	owner *visit // of the subflow node whose flow it is; nil for the task's own

	plan   *flow.Plan
	frame  *FlowFrame
	shared *json.RawMessage
	params json.RawMessage // what a node's own params are laid over
	path   string          // of the flow; "" for the task's own
	depth  int             // 0 for the task's own
	again  bool            // the flow can start more than once
}

func (s *step) root() *scope {
	return &scope{plan: s.program.Plan, frame: &s.state.Flow, shared: &s.state.Shared, params: s.program.Params}
}

// inside is the scope of a subflow node's flow.
func (v *visit) inside() *scope {
	sub := v.frame.Sub
	return &scope{
		owner: v, again: v.sc.again || v.sc.plan.Loops(v.node.Key) || v.node.Retry.Max > 0,
		plan: sub.plan, frame: &sub.Flow, shared: &sub.Shared, params: v.frame.Params,
		path: v.path(), depth: v.sc.depth + 1,
	}
}

// innermost is the active visit that has none inside; nil when there is none.
func (s *step) innermost() *visit {
	v := s.at(s.root())
	for v != nil && v.frame.Sub != nil {
		v = s.at(v.inside())
	}
	return v
}

// write makes what post wrote the shared state. What is a node's by now is no
// signal's any more.
func (sc *scope) write(post *flow.PostPlan, shared json.RawMessage) {
	*sc.shared = shared
	for key := range post.Keys() {
		sc.frame.forget(key)
	}
}

// visitOf counts a visit of the node; those of a node that is visited only once
// need no count.
func (s *step) visitOf(sc *scope, key string) int {
	if !sc.again && !sc.plan.Loops(key) {
		return 1
	}
	return s.state.visit(sc.pathOf(key))
}

func (sc *scope) pathOf(key string) string {
	if sc.path == "" {
		return key
	}
	return sc.path + "/" + key
}
