package flow

import (
	"maps"
	"slices"
	"strings"

	"github.com/pocketflowgo/pocketflow/shared/flow/expr"
)

// linter finds what a definition may have but its author hardly meant.
type linter struct {
	warnings faultList
}

func (l *linter) definition(def *Definition, path string) {
	g := newGraph(def)
	reached := g.reachable(def.Start)
	for _, key := range g.keys {
		node := def.Nodes[key]
		at := expr.JoinPath(expr.JoinPath(path, "nodes"), key)
		if !reached[key] && reached[def.Start] {
			l.warnings.add(at, CodeUnreachable, "no way leads from the start to this node")
		}
		l.ways(&node, g.actions[key], at)
		l.keys(&node, at)
		if node.Subflow != nil {
			l.definition(node.Subflow, expr.JoinPath(at, "subflow"))
		}
	}
	for _, loop := range g.busyLoops() {
		at := expr.JoinPath(expr.JoinPath(path, "nodes"), loop[0])
		l.warnings.add(at, CodeBusyLoop, "a loop with no wait in it: %s", strings.Join(loop, ", "))
	}
}

// ways looks for actions that have no edge, at a node that has edges: without
// any it simply ends the flow.
func (l *linter) ways(n *Node, edges map[string]bool, path string) {
	ways := slices.Sorted(maps.Keys(edges))
	ways = slices.DeleteFunc(ways, func(a string) bool { return a == ActionError || a == ActionTimeout })
	if len(ways) == 0 || edges[ActionDefault] {
		return
	}
	noEdge := func(at, action string) {
		if !edges[action] {
			l.warnings.add(at, CodeUnusedAction, "no edge takes the action %q: the task fails there", action)
		}
	}
	post := Post{}
	if n.Post != nil {
		post = *n.Post
	}
	switch {
	case n.Kind == KindChoice:
		for i, c := range n.ChoiceCases {
			noEdge(expr.JoinPath(indexPath(expr.JoinPath(path, "choice_cases"), i), "action"), c.Action)
		}
		if n.DefaultAction != "" {
			noEdge(expr.JoinPath(path, "default_action"), n.DefaultAction)
		}
	case post.ActionStatic != "":
		noEdge(expr.JoinPath(expr.JoinPath(path, "post"), "action_static"), post.ActionStatic)
	case post.ActionKey == "" && n.Kind != KindApproval:
		l.warnings.add(path, CodeDeadEnd, "the node gives no action, and its edges take only %s: the task fails there", strings.Join(ways, ", "))
	}
}

func (l *linter) keys(n *Node, path string) {
	if n.Post != nil {
		at := expr.JoinPath(path, "post")
		for _, to := range slices.Sorted(maps.Keys(n.Post.OutputMap)) {
			l.dotted(to, expr.JoinPath(expr.JoinPath(at, "output_map"), to))
		}
		l.dotted(n.Post.OutputKey, expr.JoinPath(at, "output_key"))
	}
	if n.Prep == nil {
		return
	}
	at := expr.JoinPath(path, "prep")
	if strings.HasPrefix(n.Prep.InputKey, "$input") {
		l.inputInPrep(expr.JoinPath(at, "input_key"))
	}
	for _, name := range slices.Sorted(maps.Keys(n.Prep.InputMap)) {
		if value, _ := expr.CompileValue(n.Prep.InputMap[name]); value.Uses(expr.RootInput) {
			l.inputInPrep(expr.JoinPath(expr.JoinPath(at, "input_map"), name))
		}
	}
}

func (l *linter) dotted(key, path string) {
	if strings.ContainsAny(key, ".[") {
		l.warnings.add(path, CodeDottedKey, "writes one key with this very name; it is read as $shared[%q]", key)
	}
}

func (l *linter) inputInPrep(path string) {
	l.warnings.add(path, CodeInputInPrep, "prep makes the node's input, so $input is null here")
}

// graph is the shape of a definition.
type graph struct {
	keys    []string
	next    map[string][]string
	actions map[string]map[string]bool // of the edges out of a node
	waits   map[string]bool
}

func newGraph(def *Definition) *graph {
	g := &graph{
		keys:    slices.Sorted(maps.Keys(def.Nodes)),
		next:    make(map[string][]string),
		actions: make(map[string]map[string]bool),
		waits:   make(map[string]bool),
	}
	for _, edge := range def.Edges {
		if g.actions[edge.From] == nil {
			g.actions[edge.From] = make(map[string]bool)
		}
		g.actions[edge.From][edge.action()] = true
		if _, ok := def.Nodes[edge.To]; ok {
			g.next[edge.From] = append(g.next[edge.From], edge.To)
		}
	}
	for _, key := range g.keys {
		g.waits[key] = waits(def.Nodes[key])
	}
	return g
}

// waits reports whether the node, or one inside it, suspends the task. A flow
// that is only named may hold anything and gets the benefit of the doubt.
func waits(n Node) bool {
	if n.Kind.waits() || n.Flow != nil {
		return true
	}
	if n.Subflow != nil {
		for _, sub := range n.Subflow.Nodes {
			if waits(sub) {
				return true
			}
		}
	}
	return false
}

func (g *graph) reachable(start string) map[string]bool {
	reached := make(map[string]bool)
	if !slices.Contains(g.keys, start) {
		return reached
	}
	reached[start] = true
	for queue := []string{start}; len(queue) > 0; queue = queue[1:] {
		for _, to := range g.next[queue[0]] {
			if !reached[to] {
				reached[to] = true
				queue = append(queue, to)
			}
		}
	}
	return reached
}

// busyLoops are the groups of nodes that lead to each other without passing a
// node that waits: the strongly connected components (Tarjan) of the graph
// without such nodes, each sorted.
func (g *graph) busyLoops() [][]string {
	t := tarjan{graph: g, order: make(map[string]int), low: make(map[string]int), onStack: make(map[string]bool)}
	for _, key := range g.keys {
		if t.order[key] == 0 && !g.waits[key] {
			t.visit(key)
		}
	}
	slices.SortFunc(t.loops, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	return t.loops
}

type tarjan struct {
	*graph
	order, low map[string]int // order counts from 1; 0: not visited
	stack      []string
	onStack    map[string]bool
	loops      [][]string
}

// visit recurses once per node on a path, at most as deep as a definition has
// nodes.
func (t *tarjan) visit(key string) {
	t.order[key] = len(t.order) + 1
	t.low[key] = t.order[key]
	t.stack = append(t.stack, key)
	t.onStack[key] = true
	for _, to := range t.next[key] {
		switch {
		case t.waits[to]:
		case t.order[to] == 0:
			t.visit(to)
			t.low[key] = min(t.low[key], t.low[to])
		case t.onStack[to]:
			t.low[key] = min(t.low[key], t.order[to])
		}
	}
	if t.low[key] != t.order[key] {
		return
	}
	var component []string
	for t.onStack[key] {
		last := t.stack[len(t.stack)-1]
		t.stack = t.stack[:len(t.stack)-1]
		t.onStack[last] = false
		component = append(component, last)
	}
	if len(component) > 1 || slices.Contains(t.next[key], key) {
		slices.Sort(component)
		t.loops = append(t.loops, component)
	}
}
