package flow

import (
	"maps"
	"slices"
	"strings"

	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/flow/expr"
)

// lint finds what a definition may have but its author hardly meant. It takes
// any definition, one with faults too.
func lint(def *Definition) []errs.Fault {
	var l linter
	l.definition(def, "", nil)
	return l.warnings.faults
}

type linter struct {
	warnings faultList
}

// linted is a node as it executes: with the entry of subflow_execs for it, if
// there is one, laid over it.
type linted struct {
	Node
	at     string // path of the node
	postAt string // path of the post, which may be the entry's
}

func (l *linter) definition(def *Definition, path string, execs map[string]placedExec) {
	g := newGraph(def)
	reached := g.reachable(def.Start)
	for _, key := range g.keys {
		at := expr.JoinPath(expr.JoinPath(path, "nodes"), key)
		n := &linted{Node: def.Nodes[key], at: at, postAt: expr.JoinPath(at, "post")}
		if !reached[key] && reached[def.Start] {
			l.warnings.add(at, CodeUnreachable, "no way leads from the start to this node")
		}
		l.specs(n)
		l.settings(n)
		if exec, ok := execs[key]; ok {
			n.overlay(exec)
		}
		l.strategy(n)
		l.ways(n, g.actions[key])
		if n.Kind == KindSubflow && n.Subflow != nil {
			inside := expr.JoinPath(at, "subflow")
			if n.Subflow.MaxSteps > 0 {
				l.unused(expr.JoinPath(inside, "max_steps"), "does nothing inside a flow: the task's max_steps counts these nodes too")
			}
			l.definition(n.Subflow, inside, n.execs())
		}
	}
	for _, loop := range g.busyLoops() {
		at := expr.JoinPath(expr.JoinPath(path, "nodes"), loop[0])
		l.warnings.add(at, CodeBusyLoop, "a loop with no wait in it: %s", strings.Join(loop, ", "))
	}
}

// placedExec is an exec spec and its path.
type placedExec struct {
	ExecSpec
	at string
}

func (n *linted) execs() map[string]placedExec {
	out := make(map[string]placedExec, len(n.SubflowExecs))
	for i, exec := range n.SubflowExecs {
		out[exec.Node] = placedExec{exec.ExecSpec, indexPath(expr.JoinPath(n.at, "subflow_execs"), i)}
	}
	return out
}

func (n *linted) overlay(exec placedExec) {
	if exec.Post != nil {
		n.Post, n.postAt = exec.Post, expr.JoinPath(exec.at, "post")
	}
	if exec.MaxRetries != nil {
		n.MaxRetries = exec.MaxRetries
	}
}

func (l *linter) strategy(n *linted) {
	if n.FailureStrategy == RetryFailed && slices.Contains(strategyKinds(), n.Kind) && (n.MaxRetries == nil || *n.MaxRetries == 0) {
		l.warnings.add(expr.JoinPath(n.at, "failure_strategy"), CodeNoRetries, "retry runs nothing again without max_retries")
	}
}

// ways looks for actions that have no edge, at a node that has edges: without
// any it simply ends the flow.
func (l *linter) ways(n *linted, edges map[string]bool) {
	ways := slices.Sorted(maps.Keys(edges))
	ways = slices.DeleteFunc(ways, func(a string) bool { return a == ActionError || a == ActionTimeout })
	if len(ways) == 0 || edges[ActionDefault] {
		return
	}
	noEdge := func(at, action string) {
		if !edges[action] {
			l.warnings.add(at, CodeUnusedAction, "no edge takes the action %q: the node fails with no_edge", action)
		}
	}
	post := Post{}
	if n.Post != nil {
		post = *n.Post
	}
	switch {
	case n.Kind == KindChoice:
		for i, c := range n.ChoiceCases {
			noEdge(expr.JoinPath(indexPath(expr.JoinPath(n.at, "choice_cases"), i), "action"), c.Action)
		}
		if n.DefaultAction != "" {
			noEdge(expr.JoinPath(n.at, "default_action"), n.DefaultAction)
		}
	case post.ActionStatic != "":
		noEdge(expr.JoinPath(n.postAt, "action_static"), post.ActionStatic)
	case post.ActionKey != "":
	case n.Kind == KindApproval:
		if decidesByYesOrNo(ways) {
			noEdge(n.at, ActionApproved)
			noEdge(n.at, ActionRejected)
		}
	default:
		l.warnings.add(n.at, CodeDeadEnd, "the node gives no action, and its edges take only %s: it fails with no_edge", strings.Join(ways, ", "))
	}
}

// decidesByYesOrNo tells the edges of an approval that is decided by true or
// false, slips of the pen such as "approve" included, from those of one whose
// decisions are words of the author's own, which may be any.
func decidesByYesOrNo(ways []string) bool {
	decisions := []string{ActionApproved, ActionRejected}
	return slices.ContainsFunc(ways, func(action string) bool {
		return hint(&faultList{}, action, decisions) != ""
	})
}

// specs looks at what is written and read by the exec specs of a node: its own
// and those of its parts.
func (l *linter) specs(n *linted) {
	l.keys(n.Post, n.at)
	l.input(n.Prep, n.at)
	// A branch or an item reads the node's input, so $input has a meaning in
	// its prep.
	for i, exec := range n.ParallelExecs {
		l.part(exec.Post, indexPath(expr.JoinPath(n.at, "parallel_execs"), i))
	}
	for i, exec := range n.ForeachExecs {
		l.part(exec.Post, indexPath(expr.JoinPath(n.at, "foreach_execs"), i))
	}
	for i, exec := range n.SubflowExecs {
		at := indexPath(expr.JoinPath(n.at, "subflow_execs"), i)
		l.keys(exec.Post, at)
		l.input(exec.Prep, at)
	}
}

// part looks at the post of a branch or an item, which no edge follows.
func (l *linter) part(post *Post, path string) {
	l.keys(post, path)
	if post == nil {
		return
	}
	const why = "does nothing: the node has an action, its branches have none"
	at := expr.JoinPath(path, "post")
	if post.ActionKey != "" {
		l.unused(expr.JoinPath(at, "action_key"), why)
	}
	if post.ActionStatic != "" {
		l.unused(expr.JoinPath(at, "action_static"), why)
	}
}

func (l *linter) keys(post *Post, path string) {
	if post == nil {
		return
	}
	at := expr.JoinPath(path, "post")
	for _, to := range slices.Sorted(maps.Keys(post.OutputMap)) {
		l.dotted(to, expr.JoinPath(expr.JoinPath(at, "output_map"), to))
	}
	l.dotted(post.OutputKey, expr.JoinPath(at, "output_key"))
}

func (l *linter) dotted(key, path string) {
	if strings.ContainsAny(key, ".[") {
		l.warnings.add(path, CodeDottedKey, "writes one key with this very name; it is read as $shared[%q]", key)
	}
}

func (l *linter) input(prep *Prep, path string) {
	if prep == nil {
		return
	}
	at := expr.JoinPath(path, "prep")
	if strings.HasPrefix(prep.InputKey, "$input") {
		l.inputInPrep(expr.JoinPath(at, "input_key"))
	}
	for _, name := range slices.Sorted(maps.Keys(prep.InputMap)) {
		if value, _ := expr.CompileValue(prep.InputMap[name]); value.Uses(expr.RootInput) {
			l.inputInPrep(expr.JoinPath(expr.JoinPath(at, "input_map"), name))
		}
	}
}

func (l *linter) inputInPrep(path string) {
	l.warnings.add(path, CodeInputInPrep, "prep makes the node's input, so $input is null here")
}
