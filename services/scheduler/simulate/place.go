package simulate

import (
	"strings"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/shared/flow"
)

// active is a node that is active, from the task's own flow inwards.
type active struct {
	path  string
	frame *engine.NodeFrame
	plan  *flow.Plan // of the flow that the node is in
}

// chain are the active nodes, the outermost first.
func (s *simulation) chain() []active {
	var chain []active
	within, plan := "", s.program.Plan
	for node := s.state.Flow.Node; node != nil && plan != nil; {
		at := active{path: within + node.Key, frame: node, plan: plan}
		chain = append(chain, at)
		if node.Sub == nil {
			break
		}
		within, plan, node = at.path+"/", s.planOf(at.path, plan.Node(node.Key)), node.Sub.Flow.Node
	}
	return chain
}

func (r *recording) activeAt(path string) *active {
	for i := range r.chain {
		if r.chain[i].path == path {
			return &r.chain[i]
		}
	}
	return nil
}

// place is where a run belongs.
type place struct {
	plan   *flow.Plan
	node   *flow.PlanNode // nil: nowhere
	within string         // path of what the run is in, with a "/"; "" for the task's own flow
	part   bool           // a branch of the node, or an item
}

// locate finds the node that a path names, whether it is active or not.
func (s *simulation) locate(path string) place {
	at := place{plan: s.program.Plan}
	for {
		key, rest, more := strings.Cut(path[len(at.within):], "/")
		at.node = at.plan.Node(key)
		switch {
		case at.node == nil || !more:
			return at
		case at.node.Kind != flow.KindSubflow:
			at.within, at.part = strings.TrimSuffix(path, rest), true
			return at
		}
		at.within += key + "/"
		if at.plan = s.planOf(strings.TrimSuffix(at.within, "/"), at.node); at.plan == nil {
			return place{}
		}
	}
}

// planOf is the flow inside a subflow node; nil when it is not known.
func (s *simulation) planOf(path string, node *flow.PlanNode) *flow.Plan {
	if node.Subflow.Plan != nil {
		return node.Subflow.Plan
	}
	key := boundFlow{path, s.versions[path]}
	if s.bound[key] == nil {
		plan := s.program.Flows[key.version]
		if plan == nil {
			return nil
		}
		bound, err := node.Subflow.Bind(plan)
		if err != nil {
			return nil // the engine has said so, as the failure of the node
		}
		s.bound[key] = bound
	}
	return s.bound[key]
}

// boundFlow is a version, and the subflow node whose overrides are laid over it.
type boundFlow struct{ path, version string }
