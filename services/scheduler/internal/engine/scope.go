package engine

import (
	"encoding/json"

	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/flow/expr"
)

// scope is a flow being executed and what its nodes read and write.
type scope struct {
	up    *scope     // of the flow around it; nil for the task's own
	owner *NodeFrame // the subflow node there

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
func (sc *scope) inside(node *NodeFrame) *scope {
	owner := sc.plan.Node(node.Key)
	return &scope{
		up: sc, owner: node, again: sc.again || sc.plan.Loops(node.Key) || owner.Retry.Max > 0,
		plan: node.Sub.plan, frame: &node.Sub.Flow, shared: &node.Sub.Shared, params: node.Params,
		path: sc.pathOf(node.Key), depth: sc.depth + 1,
	}
}

// innermost is the scope of the flow in which something is active.
func (s *step) innermost() *scope {
	sc := s.root()
	for sc.frame.Node != nil && sc.frame.Node.Sub != nil {
		sc = sc.inside(sc.frame.Node)
	}
	return sc
}

// reads is what the references of a node see.
func (sc *scope) reads(node *NodeFrame) expr.Scope {
	return expr.Scope{Params: node.Params, Shared: *sc.shared, Input: node.Input}
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
