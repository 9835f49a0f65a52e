package flow

import (
	"time"

	"github.com/pocketflowgo/pocketflow/shared/flow/expr"
	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
)

// Plan is a definition made ready to execute: references and expressions are
// compiled, enums have their defaults, edges are indexed. It never changes
// after Compile, so any number of goroutines may read one; the pointers and
// slices that it hands out are for reading only.
type Plan struct {
	start    string
	nodes    map[string]*PlanNode
	exits    map[string]exits
	loops    map[string]bool  // nodes that can be visited again
	waits    map[awaited]bool // what nodes wait for
	signals  map[string]int   // how many places nodes wait for, by the signal's key
	open     bool             // a subflow by reference may wait for any
	timeout  time.Duration
	maxSteps int
}

// exits are the edges out of one node.
type exits struct {
	byAction map[string]string
	ways     int // edges but those for error and timeout
}

// PlanNode is a compiled node. Exactly the part of its kind is set besides
// Exec, which holds prep, post, params, retries and time-out for all kinds.
type PlanNode struct {
	Key  string
	Kind Kind
	Exec

	Choice   *Choice   // choice
	Parallel *Parallel // parallel
	Foreach  *Foreach  // foreach
	Subflow  *Subflow  // subflow
	Timer    *Timer    // timer
	Wait     *Wait     // wait_event, approval
}

// Choice is what a choice node decides by, in this order: the first true case,
// Post.ActionKey in the input and then in the shared state, Default.
type Choice struct {
	Cases   []Case
	Default string // "" when there is none
}

// Case selects Action when When holds.
type Case struct {
	Action string
	When   expr.Condition
}

// Group is how the parts of a parallel or foreach node run and fail.
type Group struct {
	Mode        ParallelMode
	MaxParallel int // 0: no bound of its own
	Strategy    FailureStrategy
}

// Parallel is a node of several branches; see PlanNode.Branches.
type Parallel struct {
	Group
	entries  []override
	names    []string   // used when entries is empty
	services expr.Value // used when names is empty as well
}

// Foreach is a node that runs once per item of its input; see PlanNode.Item.
type Foreach struct {
	Group
	byIndex map[int]override
}

// Subflow is a flow inside the flow. Either Plan is set, with the overrides
// laid over it, or Flow names what to resolve, compile and Bind when the node
// starts.
type Subflow struct {
	Plan      *Plan
	Flow      *Ref
	Strategy  FailureStrategy // CollectErrors, which here only fails, unless the author said otherwise
	overrides map[string]override
}

// Timer waits for Delay or, when Until is set, for that time.
type Timer struct {
	Delay DurationSetting
	Until TimeSetting
}

// Wait suspends the node until a signal or a value arrives.
type Wait struct {
	Signal   string       // key of the signal that lets the node pass; "" when no key can be named
	Inside   rawjson.Path // where in the signal's value to look; empty: the value itself, whatever it is
	Value    expr.Value   // what passes it without a signal, when it is not null, "" or false
	Strategy FailureStrategy
}

// Start is the key of the first node.
func (p *Plan) Start() string { return p.start }

// Node returns the node of that key, nil when there is none.
func (p *Plan) Node(key string) *PlanNode { return p.nodes[key] }

// Len is the number of nodes, those of embedded subflows not counted.
func (p *Plan) Len() int { return len(p.nodes) }

// Timeout bounds the whole task; 0 when the definition sets none.
func (p *Plan) Timeout() time.Duration { return p.timeout }

// MaxSteps bounds the steps of the task; 0 when the definition sets none.
func (p *Plan) MaxSteps() int { return p.maxSteps }

// Loops reports whether edges lead from the node back to it.
func (p *Plan) Loops(key string) bool { return p.loops[key] }

// awaited is a signal and the place in its value that a node waits for.
type awaited struct {
	signal string
	inside string
}

// await notes what a node, or the nodes of an embedded subflow, wait for.
func (p *Plan) await(what ...awaited) {
	for _, w := range what {
		if !p.waits[w] {
			p.waits[w] = true
			p.signals[w.signal]++
		}
	}
}

// WaitsFor reports whether a node of the flow, or of a subflow embedded in it,
// waits for the signal.
func (p *Plan) WaitsFor(signal string) bool { return p.signals[signal] > 0 }

// MayWaitFor reports whether a node of the flow, or of any subflow in it, may
// wait for the signal: of a subflow by reference nothing is known before it
// starts.
func (p *Plan) MayWaitFor(signal string) bool { return p.open || p.WaitsFor(signal) }

// WaitsElsewhere reports whether nodes wait, or may wait, for different places
// in the signal's value: one that tells the first of them nothing may be meant
// for another.
func (p *Plan) WaitsElsewhere(signal string) bool { return p.open || p.signals[signal] > 1 }

// Exit is where an edge leads.
type Exit string

const (
	ExitTo   Exit = "to"      // to the node of that key
	ExitEnd  Exit = "end"     // the flow ends
	ExitNone Exit = "no_edge" // the node has edges, and none takes the action
)

// Exits lists every kind of exit.
var Exits = []Exit{ExitTo, ExitEnd, ExitNone}

// Next says where the flow goes when a node succeeded with the action: along
// the edge of that action, else along the default edge. A node without any
// edge, error and timeout edges aside, ends the flow. The key is "" unless the
// exit is ExitTo.
func (p *Plan) Next(from, action string) (key string, exit Exit) {
	edges := p.exits[from]
	to, ok := edges.byAction[action]
	if !ok {
		to, ok = edges.byAction[ActionDefault]
	}
	switch {
	case ok && to != "":
		return to, ExitTo
	case ok || edges.ways == 0:
		return "", ExitEnd
	default:
		return "", ExitNone
	}
}

// HasDefaultEdge reports whether the node has an edge for actions that no
// other edge takes.
func (p *Plan) HasDefaultEdge(from string) bool {
	_, ok := p.exits[from].byAction[ActionDefault]
	return ok
}

// ErrorEdge is the node's way on after a failure; false when it has none. The
// key is "" when the edge ends the flow.
func (p *Plan) ErrorEdge(from string) (key string, ok bool) {
	key, ok = p.exits[from].byAction[ActionError]
	return key, ok
}

// TimeoutEdge is the node's way on after a time-out, to be asked before
// ErrorEdge; false when it has none.
func (p *Plan) TimeoutEdge(from string) (key string, ok bool) {
	key, ok = p.exits[from].byAction[ActionTimeout]
	return key, ok
}
