package flow

import (
	"encoding/json"

	"github.com/pocketflowgo/pocketflow/shared/flow/expr"
	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
)

func (c *compiler) choice(n *Node, out *PlanNode, path string) *Choice {
	c.name(n.DefaultAction, expr.JoinPath(path, "default_action"))
	choice := &Choice{Default: n.DefaultAction}
	for i, cs := range n.ChoiceCases {
		at := indexPath(expr.JoinPath(path, "choice_cases"), i)
		if cs.Action == "" {
			c.faults.add(expr.JoinPath(at, "action"), CodeMissing, "the action is missing")
		}
		c.name(cs.Action, expr.JoinPath(at, "action"))
		at = expr.JoinPath(at, "expr")
		if cs.Expr == nil {
			c.faults.add(at, CodeMissing, "the expression is missing")
			continue
		}
		when, faults := expr.CompileCondition(cs.Expr)
		c.faults.under(at, faults)
		choice.Cases = append(choice.Cases, Case{Action: cs.Action, When: when})
	}
	if n.ChoiceKey != "" && out.Post.ActionKey.IsZero() {
		out.Post.ActionKey = c.selector(n.ChoiceKey, expr.JoinPath(path, "choice_key"))
	}
	if len(n.ChoiceCases) == 0 && n.DefaultAction == "" && out.Post.ActionKey.IsZero() {
		c.faults.add(path, CodeMissing, "a choice needs choice_cases, post.action_key or default_action")
	}
	return choice
}

func (c *compiler) parallel(n *Node, out *PlanNode, path string) *Parallel {
	parallel := &Parallel{names: n.ParallelServices}
	for i, spec := range n.ParallelExecs {
		at := indexPath(expr.JoinPath(path, "parallel_execs"), i)
		entry := c.override(spec, at)
		c.target(out.overlaid(entry), at)
		parallel.entries = append(parallel.entries, entry)
	}
	for i, name := range n.ParallelServices {
		at := indexPath(expr.JoinPath(path, "parallel_services"), i)
		if name == "" {
			c.faults.add(at, CodeMissing, "the service name is empty")
		}
		c.name(name, at)
	}
	parallel.services = c.setting(setting{"services", n.Services, n.Params}, path, func(raw json.RawMessage, at string) {
		if _, err := serviceNames(raw); err != nil {
			c.faults.add(at, CodeWrongType, "%s", err)
		}
	})
	switch {
	case len(parallel.entries) > 0:
	case len(parallel.names) == 0 && parallel.services.IsZero():
		c.faults.add(path, CodeMissing, "a parallel node needs parallel_execs, parallel_services or services")
	case out.Type != ExecHTTP && out.Type != ExecQueue:
		c.target(out.Exec, path) // every branch executes the node's own func or script
	}
	return parallel
}

func (c *compiler) foreach(n *Node, out *PlanNode, path string) *Foreach {
	foreach := &Foreach{byIndex: make(map[int]override, len(n.ForeachExecs))}
	for i, spec := range n.ForeachExecs {
		at := indexPath(expr.JoinPath(path, "foreach_execs"), i)
		index := expr.JoinPath(at, "index")
		if _, ok := foreach.byIndex[spec.Index]; ok {
			c.faults.add(index, CodeDuplicateKey, "another entry has the index %d", spec.Index)
		}
		c.count(spec.Index, index)
		entry := c.override(spec.ExecSpec, at)
		c.target(out.overlaid(entry), at)
		foreach.byIndex[spec.Index] = entry
	}
	if len(n.ForeachExecs) == 0 {
		c.target(out.Exec, path)
	}
	return foreach
}

func (c *compiler) subflow(n *Node, path string) *Subflow {
	sub := &Subflow{overrides: make(map[string]override, len(n.SubflowExecs))}
	switch {
	case n.Subflow != nil && n.Flow != nil:
		c.faults.add(path, CodeConflict, "a subflow node has either subflow or flow")
	case n.Subflow != nil:
		sub.Plan = c.definition(n.Subflow, expr.JoinPath(path, "subflow"))
	case n.Flow != nil:
		sub.Flow = c.flowRef(*n.Flow, expr.JoinPath(path, "flow"))
	default:
		c.faults.add(path, CodeMissing, "a subflow node needs subflow or flow")
	}
	for i, spec := range n.SubflowExecs {
		c.subflowExec(sub, n.Subflow, spec, indexPath(expr.JoinPath(path, "subflow_execs"), i))
	}
	if sub.Plan != nil {
		if bound, err := sub.Bind(sub.Plan); err == nil { // an unknown node is reported above
			sub.Plan = bound
		}
	}
	return sub
}

func (c *compiler) flowRef(ref Ref, path string) *Ref {
	switch {
	case ref.Name == "" && ref.ID == "":
		c.faults.add(path, CodeMissing, "a flow is named by name or id")
	case ref.Name != "" && ref.ID != "":
		c.faults.add(path, CodeConflict, "a flow is named by name or by id, not both")
	}
	c.name(ref.Name, expr.JoinPath(path, "name"))
	c.name(ref.ID, expr.JoinPath(path, "id"))
	c.count(ref.Version, expr.JoinPath(path, "version"))
	return &ref
}

func (c *compiler) subflowExec(sub *Subflow, embedded *Definition, spec SubflowExec, path string) {
	node := expr.JoinPath(path, "node")
	entry := c.override(spec.ExecSpec, path)
	if _, ok := sub.overrides[spec.Node]; ok {
		c.faults.add(node, CodeDuplicateKey, "another entry is for the node %q", spec.Node)
	}
	sub.overrides[spec.Node] = entry
	switch {
	case spec.Node == "":
		c.faults.add(node, CodeMissing, "the key of the subflow's node is missing")
	case embedded != nil:
		c.knownNode(embedded, spec.Node, node)
		if target := sub.Plan.node(spec.Node); target != nil && target.Kind == KindExecutor && target.hasTarget() {
			c.target(target.overlaid(entry), path)
		}
	}
}

// node is Node for a plan that may be nil.
func (p *Plan) node(key string) *PlanNode {
	if p == nil {
		return nil
	}
	return p.nodes[key]
}

func (c *compiler) timer(n *Node, path string) *Timer {
	timer := &Timer{
		Delay: newDurationSetting(c.setting(setting{"delay_ms", n.DelayMS, n.Params}, path, c.literalMillis)),
		Until: TimeSetting{c.setting(setting{"until", n.Until, n.Params}, path, func(raw json.RawMessage, at string) {
			if _, err := timeOf(raw); err != nil {
				c.faults.add(at, CodeWrongType, "%s", err)
			}
		})},
	}
	switch {
	case timer.Delay.IsSet() && timer.Until.IsSet():
		c.faults.add(path, CodeConflict, "a timer has either delay_ms or until")
	case !timer.Delay.IsSet() && !timer.Until.IsSet():
		c.faults.add(path, CodeMissing, "a timer needs delay_ms or until")
	}
	return timer
}

// wait reads the key as a reference, whose first key is the signal's; a plain
// text is the signal's key and means the shared state's key of that name.
func (c *compiler) wait(s setting, path string) *Wait {
	wait := &Wait{}
	wait.Value = c.setting(s, path, func(raw json.RawMessage, at string) {
		wait.Signal = rawjson.Text(raw)
		if wait.Signal == "" {
			c.faults.add(at, CodeWrongType, "must be a key or a reference such as \"$shared.flag\"")
		}
	})
	if wait.Value.IsZero() {
		c.faults.add(expr.JoinPath(path, s.name), CodeMissing, "the key to wait for is missing")
	}
	if ref, ok := wait.Value.Ref(); ok {
		wait.Signal = ref.Path.First()
		wait.Inside = ref.Path.Rest()
	} else if wait.Signal != "" {
		wait.Value = expr.RefValue(expr.Ref{Root: expr.RootShared, Path: rawjson.KeyPath(wait.Signal)})
	}
	c.name(wait.Signal, expr.JoinPath(path, s.name))
	return wait
}
