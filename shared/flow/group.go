package flow

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/pocketflowgo/pocketflow/shared/flow/expr"
	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
)

// override is an exec spec that is laid over another: of a branch or an item
// over its node, of subflow_execs over a node of the subflow. The spec says
// which fields the author set, the exec holds them compiled.
type override struct {
	spec ExecSpec
	exec Exec
}

// overlaid gives the exec with what the override sets. Params are added as a
// stronger layer.
func (e Exec) overlaid(o override) Exec {
	if o.spec.ExecType != "" {
		e.Type = o.exec.Type
	}
	if o.spec.Service != "" {
		e.Service = o.exec.Service
	}
	if o.spec.Func != "" {
		e.Func = o.exec.Func
	}
	if o.spec.Script != nil {
		e.Script = o.exec.Script
	}
	e.Params = slices.Concat(e.Params, o.exec.Params)
	if o.spec.Prep != nil {
		e.Prep = o.exec.Prep
	}
	if o.spec.Post != nil {
		e.Post = o.exec.Post
	}
	if o.exec.Timeout.IsSet() {
		e.Timeout = o.exec.Timeout
	}
	e.Retry = e.Retry.overlaid(o)
	e.Routing = e.Routing.overlaid(o)
	return e
}

func (r Retry) overlaid(o override) Retry {
	if o.spec.MaxRetries != nil {
		r.Max = o.exec.Retry.Max
	}
	if o.spec.WaitMS != nil {
		r.Wait = o.exec.Retry.Wait
	}
	if o.spec.Backoff != nil {
		r.Factor, r.MaxWait, r.Jitter = o.exec.Retry.Factor, o.exec.Retry.MaxWait, o.exec.Retry.Jitter
	}
	return r
}

func (r Routing) overlaid(o override) Routing {
	if o.spec.WeightedByLoad != nil {
		r.WeightedByLoad = o.exec.Routing.WeightedByLoad
	}
	if o.spec.MaxAttempts != nil {
		r.MaxAttempts = o.exec.Routing.MaxAttempts
	}
	if o.spec.AttemptDelayMS != nil {
		r.Delay = o.exec.Routing.Delay
	}
	return r
}

// part is what a branch or an item inherits from its node: all but prep and
// post, which are about the node's own input and result. Under the strategy
// retry the node spends max_retries itself.
func (n *PlanNode) part(strategy FailureStrategy) Exec {
	exec := n.Exec
	exec.Prep, exec.Post = PrepPlan{}, PostPlan{}
	if strategy == RetryFailed {
		exec.Retry.Max = 0
	}
	return exec
}

// Services is what the node's services setting resolves to; nil when its
// branches are in the definition.
func (p *Parallel) Services(scope expr.Scope) json.RawMessage {
	if len(p.entries) > 0 || len(p.names) > 0 {
		return nil
	}
	return p.services.Resolve(scope)
}

// Branches are the executions of a parallel node, in order; the index is a
// branch's identity. A branch whose Prep is empty takes the node's input. The
// error is for services, which count when the definition has no branches, that
// are no array of service names.
func (n *PlanNode) Branches(services json.RawMessage) ([]Exec, error) {
	base := n.part(n.Parallel.Strategy)
	if len(n.Parallel.entries) > 0 {
		branches := make([]Exec, len(n.Parallel.entries))
		for i, entry := range n.Parallel.entries {
			branches[i] = base.overlaid(entry)
		}
		return branches, nil
	}
	names := n.Parallel.names
	if len(names) == 0 {
		var err error
		if names, err = serviceNames(services); err != nil {
			return nil, err
		}
	}
	branches := make([]Exec, len(names))
	for i, name := range names {
		branches[i] = base
		branches[i].Service = name
	}
	return branches, nil
}

func serviceNames(raw json.RawMessage) ([]string, error) {
	if rawjson.TypeOf(raw) != rawjson.Array {
		return nil, fmt.Errorf("services: %s is not an array of service names", brief(raw))
	}
	var names []string
	for item := range rawjson.Items(raw) {
		name := rawjson.Text(item)
		if name == "" || nameFault(name) != "" {
			return nil, fmt.Errorf("services: %s is not a service name", brief(item))
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return nil, errors.New("services: the array is empty")
	}
	return names, nil
}

// Item is what a foreach node executes for the item of that index; false when
// neither the node nor its foreach_execs say. An item whose Prep is empty is
// itself the input.
func (n *PlanNode) Item(index int) (Exec, bool) {
	exec := n.part(n.Foreach.Strategy)
	if entry, ok := n.Foreach.byIndex[index]; ok {
		exec = exec.overlaid(entry)
	}
	return exec, exec.hasTarget()
}

// Bind lays the node's subflow_execs over a plan, which stays as it is. The
// error names an entry for a node that the plan does not have.
func (s *Subflow) Bind(plan *Plan) (*Plan, error) {
	if len(s.overrides) == 0 {
		return plan, nil
	}
	bound := *plan
	bound.nodes = maps.Clone(plan.nodes)
	for _, key := range slices.Sorted(maps.Keys(s.overrides)) {
		node := plan.nodes[key]
		if node == nil {
			return nil, fmt.Errorf("subflow_execs: the flow has no node %q", key)
		}
		changed := *node
		changed.Exec = node.overlaid(s.overrides[key])
		bound.nodes[key] = &changed
	}
	return &bound, nil
}
