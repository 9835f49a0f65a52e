package enginetest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pocketflowgo/pocketflow/shared/flow"
)

// author draws definitions of all kinds, nested to any depth. Most of what it
// writes is sound; some settings find something unfit when a node starts.
type author struct {
	Options
	t     *rapid.T
	depth int // of the flow being drawn
	most  int // items of the longest list
	steps int // the most that a task may make

	// What it likes, it writes over and over: what only two nodes of a kind
	// bring about, comes about then.
	kinds []flow.Kind
	key   string
}

// newAuthor sees to it that no task is long in both ways.
func newAuthor(t *rapid.T, options Options) *author {
	a := &author{Options: options, t: t, most: 30, steps: 30}
	a.kinds = []flow.Kind{pick(a, "liked", flow.Kinds...), pick(a, "liked", flow.Kinds...)}
	a.key = pick(a, "liked key", SignalKeys...)
	switch {
	case a.oneIn(20, "wide"):
		a.most, a.steps = 2*options.VisitsPerStep, 5
	case a.oneIn(20, "long"):
		a.most, a.steps = 3, 2*options.VisitsPerStep
	}
	return a
}

// object is a JSON object in the making.
type object map[string]any

const (
	deepest  = 5 // levels of embedded subflows that are drawn
	mostKeys = 4 // nodes of one flow
)

// params is what references of a definition find, fit and unfit.
func (a *author) params() json.RawMessage {
	list := make([]int, a.upTo(a.most, "items"))
	for i := range list {
		list[i] = i
	}
	return a.text(object{
		"list": list, "few": []any{"a", nil}, "none": []any{}, "word": "word",
		"names": []string{"s0", "s1", "s2"}, "soon": a.ms(500), "big": strings.Repeat("b", 200),
	})
}

func (a *author) text(body any) json.RawMessage {
	text, err := json.Marshal(body)
	require.NoError(a.t, err)
	return text
}

// ms is a time as definitions write it, in milliseconds.
func (a *author) ms(ofTheFlow int) int {
	return max(1, int(time.Duration(ofTheFlow)*a.Second/time.Second))
}

func (a *author) upTo(n int, label string) int { return rapid.IntRange(0, n).Draw(a.t, label) }

// oneIn is true once in n times.
func (a *author) oneIn(n int, label string) bool { return a.upTo(n-1, label) == n-1 }

func pick[V any](a *author, label string, values ...V) V {
	return rapid.SampledFrom(values).Draw(a.t, label)
}

// set gives the object the value, unless it is nil: then the author left the
// field out.
func (o object) set(field string, value any) {
	if value != nil {
		o[field] = value
	}
}

func (a *author) definition() string {
	text := string(a.text(a.flow()))
	a.t.Log("flow", text)
	return text
}

// flow draws a graph: chains, loops, ways on after a failure.
func (a *author) flow() object {
	n := 1 + a.upTo(mostKeys-1, "nodes")
	nodes, edges := object{}, []any{}
	for i := range n {
		key := fmt.Sprintf("n%d", i)
		node := a.node()
		nodes[key] = node
		for _, action := range a.actions(node) {
			to := ""
			if next := a.upTo(n, "to"); next < n {
				to = fmt.Sprintf("n%d", next)
			}
			edges = append(edges, object{"from": key, "action": action, "to": to})
		}
	}
	out := object{"start": "n0", "nodes": nodes, "edges": edges, "max_steps": a.steps}
	out.set("timeout_ms", pick[any](a, "deadline", nil, nil, nil, a.ms(20000)))
	return out
}

// actions draws those that edges out of the node take.
func (a *author) actions(node object) []string {
	actions := []string{}
	for _, action := range []string{"x", flow.ActionDefault, flow.ActionError, flow.ActionTimeout, flow.ActionRejected} {
		if a.oneIn(2, action) {
			actions = append(actions, action)
		}
	}
	if node["kind"] == string(flow.KindChoice) && !slices.Contains(actions, flow.ActionDefault) && !a.oneIn(4, "no choice") {
		actions = append(actions, flow.ActionDefault)
	}
	return actions
}

func (a *author) node() object {
	kind := pick(a, "kind", slices.Concat(flow.Kinds, a.kinds, a.kinds, []flow.Kind{flow.KindSubflow})...)
	if kind == flow.KindSubflow && a.depth == deepest {
		kind = flow.KindForeach
	}
	node := object{"kind": string(kind)}
	switch kind {
	case flow.KindExecutor:
		a.exec(node)
		node["post"] = a.post()
	case flow.KindChoice:
		node["choice_cases"] = []any{object{"action": "x", "expr": object{"eq": []any{"$shared.r.go", "x"}}}}
		node.set("default_action", pick[any](a, "otherwise", nil, "default", "y"))
		node.set("post", a.maybePost())
		node.set("prep", a.prep())
	case flow.KindParallel:
		a.parallel(node)
	case flow.KindForeach:
		a.foreach(node)
	case flow.KindSubflow:
		a.subflow(node)
	case flow.KindTimer:
		if a.oneIn(4, "until") {
			node["until"] = pick[any](a, "when", a.Now.Add(3*a.Second).Format(time.RFC3339Nano), a.Now.UnixMilli(), "$params.word")
		} else {
			node["delay_ms"] = pick[any](a, "delay", 0, a.ms(1000), a.ms(30000), "$params.soon", "$params.word")
		}
	case flow.KindWaitEvent:
		a.wait(node, "signal_key")
	case flow.KindApproval:
		a.wait(node, "approval_key")
	}
	return node
}

func (a *author) wait(node object, setting string) {
	key := pick(a, setting, slices.Concat(SignalKeys, []string{a.key, a.key, a.key})...)
	if key == KeyInside {
		key = pick(a, "place", key, "$shared."+key+".ok", "$shared."+key+".n")
	}
	node[setting] = key
	node.set("timeout_ms", pick[any](a, "patience", nil, nil, a.ms(2000), "$params.soon", "$params.word"))
	node.set("failure_strategy", pick[any](a, "strategy", nil, "retry", "continue"))
	node.set("max_retries", pick[any](a, "retries", nil, 1))
	node.set("post", a.maybePost())
	node.set("prep", a.prep())
}

// exec draws what is executed, and how often and how long.
func (a *author) exec(spec object) {
	switch execType := pick(a, "type", flow.ExecTypes...); execType {
	case flow.ExecHTTP, flow.ExecQueue:
		spec["exec_type"], spec["service"] = string(execType), pick(a, "service", "s0", "s1")
	case flow.ExecLocalFunc:
		spec["exec_type"], spec["func"] = string(execType), "echo"
	case flow.ExecLocalScript:
		spec["exec_type"], spec["script"] = string(execType), object{"cmd": "true"}
	}
	a.attempts(spec)
	spec.set("timeout_ms", pick[any](a, "timeout", nil, 0, a.ms(3000), a.ms(3000), "$params.soon", "$params.word", "$shared."+KeyWritten))
	spec.set("prep", a.prep())
	spec.set("params", a.ownParams())
}

func (a *author) attempts(spec object) {
	spec.set("max_retries", pick[any](a, "retries", nil, 0, 1, 2))
	spec.set("wait_ms", pick[any](a, "wait", nil, 0, a.ms(1000), 1))
	spec.set("backoff", pick[any](a, "backoff", nil, nil, object{"factor": 2, "max_ms": a.ms(1500), "jitter": 1}))
}

func (a *author) ownParams() any {
	return pick[any](a, "params", nil, nil,
		object{"a": "$params.index", "soon": a.ms(700)},
		object{"big": "$shared.r", "more": "$params.big"},
		object{"big": []any{"$params.big", "$params.big", "$params.big"}},
		object{"index": "own", "word": []any{"$input", 1}})
}

func (a *author) prep() any {
	return pick[any](a, "prep", nil, nil,
		object{"input_key": "r"},
		object{"input_key": "$params.index"},
		object{"input_map": object{"of": "$params.index", "r": "$shared.r", KeyWritten: "$shared." + KeyWritten}})
}

func (a *author) post() object {
	keys := []string{"r", "r", "q", KeyWritten}
	if a.key == KeyWritten {
		keys = keys[2:]
	}
	post := object{"output_key": pick(a, "output", keys...)}
	post.set("action_key", pick[any](a, "action", nil, "go"))
	post.set("output_map", pick[any](a, "outputs", nil, nil, object{"q": "id", KeyWritten: "flag"}))
	return post
}

func (a *author) maybePost() any {
	if a.oneIn(2, "post") {
		return a.post()
	}
	return pick[any](a, "static", nil, object{"action_static": "x"})
}

// group draws how branches run and fail.
func (a *author) group(node object) {
	node.set("parallel_mode", pick[any](a, "mode", nil, "concurrent", "concurrent"))
	node.set("max_parallel", pick[any](a, "window", nil, 1, 2, 5, 200))
	node.set("failure_strategy", pick[any](a, "strategy", nil, "fail_fast", "ignore_errors", "continue", "retry", "retry"))
	node.set("post", a.maybePost())
	if node["failure_strategy"] == string(flow.RetryFailed) {
		node["max_retries"] = 2 // it does nothing without
	}
}

func (a *author) branch(spec object) object {
	if spec["index"] != nil || !a.oneIn(3, "as is") {
		a.exec(spec)
	}
	spec.set("post", a.maybePost())
	return spec
}

func (a *author) parallel(node object) {
	a.exec(node)
	a.group(node)
	switch a.upTo(3, "branches") {
	case 0:
		node["parallel_services"] = pick(a, "services", []string{"s0"}, []string{"s0", "s0", "s1"})
	case 1:
		node["services"] = pick[any](a, "services", "$params.names", "$shared.r.list", "$params.word", []string{"s0", "s1"})
	default:
		var execs []any
		for range 1 + a.upTo(4, "execs") {
			execs = append(execs, a.branch(object{}))
		}
		node["parallel_execs"] = execs
	}
}

func (a *author) foreach(node object) {
	prep := object{"input_key": pick(a, "items", "$params.list", "$params.list", "$params.few", "$params.none", "$params.word", "r.list")}
	node["prep"] = prep
	var execs []any
	for index := range 3 {
		if a.oneIn(4, "own exec") {
			execs = append(execs, a.branch(object{"index": index}))
		}
	}
	if execs != nil {
		node["foreach_execs"] = execs
	}
	if execs == nil || !a.oneIn(4, "no exec") { // else only those items have one
		a.exec(node)
		node["prep"] = prep
	}
	a.group(node)
}

func (a *author) subflow(node object) {
	a.attempts(node)
	node.set("timeout_ms", pick[any](a, "timeout", nil, nil, nil, a.ms(5000), "$params.soon", "$params.word"))
	node.set("failure_strategy", pick[any](a, "strategy", nil, "retry", "continue", "ignore_errors"))
	node.set("prep", a.prep())
	node.set("params", a.ownParams())
	node.set("post", a.maybePost())
	if a.oneIn(3, "by reference") {
		node["flow"] = object{"name": pick(a, "flow", a.names()...)}
		if a.oneIn(5, "override") {
			node["subflow_execs"] = []any{a.override("n1")} // which the flow may not have
		}
		return
	}
	a.depth++
	node["subflow"] = a.flow()
	a.depth--
	if a.oneIn(4, "override") {
		node["subflow_execs"] = []any{a.override("n0")}
	}
}

// override lays over a node whatever its kind is, so it names no target.
func (a *author) override(key string) object {
	spec := object{"node": key}
	a.attempts(spec)
	spec.set("params", a.ownParams())
	spec.set("timeout_ms", pick[any](a, "timeout", nil, a.ms(1500)))
	return spec
}
