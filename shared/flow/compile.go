package flow

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/flow/expr"
	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
)

// Compile makes the plan of a definition. The error is an *errs.Error with every
// fault.
func Compile(def *Definition) (*Plan, error) {
	var c compiler
	plan := c.definition(def, "")
	if err := errs.Invalid(errs.InvalidFlow, c.faults.faults); err != nil {
		return nil, err
	}
	return plan, nil
}

// compiler goes on after a fault, to find them all; what it returns is of use
// only when there was none.
type compiler struct {
	faults faultList
}

func (c *compiler) definition(def *Definition, path string) *Plan {
	plan := &Plan{
		start:    def.Start,
		nodes:    make(map[string]*PlanNode, len(def.Nodes)),
		loops:    make(map[string]bool),
		waits:    make(map[awaited]bool),
		signals:  make(map[string]int),
		timeout:  c.millis(def.TimeoutMS, expr.JoinPath(path, "timeout_ms")),
		maxSteps: c.count(def.MaxSteps, expr.JoinPath(path, "max_steps")),
	}
	nodes := expr.JoinPath(path, "nodes")
	if len(def.Nodes) == 0 {
		c.faults.add(nodes, CodeMissing, "a flow needs at least one node")
	}
	start := expr.JoinPath(path, "start")
	if def.Start == "" {
		c.faults.add(start, CodeMissing, "the key of the first node is missing")
	} else {
		c.knownNode(def, def.Start, start)
	}
	for _, key := range slices.Sorted(maps.Keys(def.Nodes)) {
		at := expr.JoinPath(nodes, key)
		// A run is addressed as node, node/2 or sub/node; a slash inside a key
		// would make two runs share an address.
		if key == "" || strings.Contains(key, "/") {
			c.faults.add(at, CodeBadKey, "a node's key is not empty and has no \"/\"")
		}
		c.name(key, at)
		node := def.Nodes[key]
		compiled := c.node(key, &node, at)
		plan.nodes[key] = compiled
		if compiled.Wait != nil {
			plan.await(awaited{compiled.Wait.Signal, compiled.Wait.Inside.String()})
		}
		if sub := compiled.Subflow; sub != nil && sub.Plan != nil {
			plan.await(slices.Collect(maps.Keys(sub.Plan.waits))...)
			plan.open = plan.open || sub.Plan.open
		} else if sub != nil {
			plan.open = true
		}
	}
	plan.exits = c.edges(def, expr.JoinPath(path, "edges"))
	for _, loop := range newGraph(def).loops(func(string) bool { return false }) {
		for _, key := range loop {
			plan.loops[key] = true
		}
	}
	return plan
}

// knownNode says nothing when there are no nodes at all: that is one fault.
func (c *compiler) knownNode(def *Definition, key, path string) {
	if _, ok := def.Nodes[key]; ok || len(def.Nodes) == 0 {
		return
	}
	var known []string
	if len(def.Nodes) <= mostNames {
		known = slices.Sorted(maps.Keys(def.Nodes))
	}
	c.faults.add(path, CodeUnknownNode, "unknown node %q%s", key, hint(&c.faults, key, known))
}

func (c *compiler) edges(def *Definition, path string) map[string]exits {
	out := make(map[string]exits)
	for i, edge := range def.Edges {
		at := indexPath(path, i)
		if edge.From == "" {
			c.faults.add(expr.JoinPath(at, "from"), CodeMissing, "the key of the node is missing")
		} else {
			c.knownNode(def, edge.From, expr.JoinPath(at, "from"))
		}
		if edge.To != "" {
			c.knownNode(def, edge.To, expr.JoinPath(at, "to"))
		}
		c.name(edge.Action, expr.JoinPath(at, "action"))
		action := edge.action()
		from := out[edge.From]
		if from.byAction == nil {
			from.byAction = make(map[string]string)
		}
		if _, ok := from.byAction[action]; ok && edge.From != "" {
			c.faults.add(at, CodeDuplicateEdge, "node %q already has an edge for the action %q", edge.From, action)
		}
		from.byAction[action] = edge.To
		if action != ActionError && action != ActionTimeout {
			from.ways++
		}
		out[edge.From] = from
	}
	return out
}

// action is the edge's action, with the old spelling of default.
func (e Edge) action() string {
	if e.Action == "" {
		return ActionDefault
	}
	return e.Action
}

func (c *compiler) node(key string, n *Node, path string) *PlanNode {
	out := &PlanNode{Key: key, Kind: n.Kind, Exec: c.exec(&n.ExecSpec, path)}
	group := c.group(n, path)
	switch n.Kind {
	case KindExecutor:
		c.target(out.Exec, path)
	case KindChoice:
		out.Choice = c.choice(n, out, path)
	case KindParallel:
		out.Parallel = c.parallel(n, out, path)
		out.Parallel.Group = group
	case KindForeach:
		out.Foreach = c.foreach(n, out, path)
		out.Foreach.Group = group
	case KindSubflow:
		out.Subflow = c.subflow(n, path)
		out.Subflow.Strategy = group.Strategy
	case KindTimer:
		out.Timer = c.timer(n, path)
	case KindWaitEvent:
		out.Wait = c.wait(setting{"signal_key", n.SignalKey, n.Params}, path)
		out.Wait.Strategy = group.Strategy
	case KindApproval:
		out.Wait = c.wait(setting{"approval_key", n.ApprovalKey, n.Params}, path)
		out.Wait.Strategy = group.Strategy
	case "":
		c.faults.add(expr.JoinPath(path, "kind"), CodeMissing, "the kind is missing")
	default:
		c.faults.add(expr.JoinPath(path, "kind"), CodeUnknownKind, "unknown kind %q%s", n.Kind, hint(&c.faults, string(n.Kind), Kinds))
	}
	return out
}

func (c *compiler) group(n *Node, path string) Group {
	return Group{
		Mode:        enum(c, n.ParallelMode, choices[ParallelMode]{ParallelModes, CodeUnknownMode, "parallel_mode"}, path),
		MaxParallel: c.count(n.MaxParallel, expr.JoinPath(path, "max_parallel")),
		Strategy:    enum(c, n.FailureStrategy, choices[FailureStrategy]{FailureStrategies, CodeUnknownStrategy, "failure_strategy"}, path),
	}
}

// choices are the values of an enum field, the default first.
type choices[S ~string] struct {
	known []S
	code  string
	field string
}

func enum[S ~string](c *compiler, value S, of choices[S], path string) S {
	switch {
	case value == "":
		return of.known[0]
	case !slices.Contains(of.known, value):
		c.faults.add(expr.JoinPath(path, of.field), of.code, "unknown %s %q%s", of.field, value, hint(&c.faults, string(value), of.known))
	}
	return value
}

func (c *compiler) count(n int, path string) int {
	if n < 0 {
		c.faults.add(path, CodeNegative, "%d is negative", n)
	}
	return n
}

func (c *compiler) millis(ms int64, path string) time.Duration {
	switch {
	case ms < 0:
		c.faults.add(path, CodeNegative, "%d is negative", ms)
	case ms > maxMillis:
		c.faults.add(path, CodeOutOfRange, "%d milliseconds are more than can be counted", ms)
	}
	return time.Duration(ms) * time.Millisecond
}

func (c *compiler) value(raw json.RawMessage, path string) expr.Value {
	value, faults := expr.CompileValue(raw)
	c.faults.under(path, faults)
	return value
}

func (c *compiler) selector(text, path string) expr.Selector {
	selector, err := expr.ParseSelector(text)
	if err != nil {
		c.faults.add(path, CodeBadReference, "%s", err)
	}
	return selector
}

// setting is one of a node's own settings: its field, or the entry of the same
// name in the node's params.
type setting struct {
	name   string
	own    json.RawMessage
	params json.RawMessage
}

// setting compiles the setting and hands a literal to check. Where it may hold
// a reference it holds nothing but one: a setting is no template.
func (c *compiler) setting(s setting, path string, check func(literal json.RawMessage, path string)) expr.Value {
	at := expr.JoinPath(path, s.name)
	raw := s.own
	inParams := false
	if raw == nil {
		found, _ := rawjson.Field(s.params, s.name)
		if rawjson.IsNull(found) {
			return expr.Value{}
		}
		raw, inParams = found, true
		at = expr.JoinPath(expr.JoinPath(path, "params"), s.name)
	}
	value, faults := expr.CompileValue(raw)
	if len(faults) > 0 {
		if !inParams { // the params report their own
			c.faults.under(at, faults)
		}
		return expr.RefValue(expr.Ref{}) // it is there, so it is not missing as well
	}
	if literal, ok := value.Literal(); ok {
		check(literal, at)
	} else if _, ok := value.Ref(); !ok {
		c.faults.add(at, CodeWrongType, "must be a literal or one reference")
	}
	return value
}
