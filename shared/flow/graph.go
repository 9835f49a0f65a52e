package flow

import (
	"maps"
	"slices"
	"strings"
)

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
	if n.Kind != KindSubflow {
		return n.Kind.waits()
	}
	if n.Flow != nil {
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
// node that waits, each sorted.
func (g *graph) busyLoops() [][]string {
	return g.loops(func(key string) bool { return g.waits[key] })
}

// loops are the strongly connected components (Tarjan) of the graph without the
// nodes that are passed over.
func (g *graph) loops(without func(key string) bool) [][]string {
	t := tarjan{graph: g, without: without, order: make(map[string]int), low: make(map[string]int), onStack: make(map[string]bool)}
	for _, key := range g.keys {
		if t.order[key] == 0 && !without(key) {
			t.visit(key)
		}
	}
	slices.SortFunc(t.loops, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	return t.loops
}

type tarjan struct {
	*graph
	without    func(key string) bool
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
		case t.without(to):
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
