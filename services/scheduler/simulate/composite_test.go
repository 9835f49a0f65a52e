package simulate

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

func replaceAll(text, old, with string) string { return strings.ReplaceAll(text, old, with) }

func replace(definition, exec string) string { return replaceAll(definition, "%TYPE%", exec) }

// everything is a flow of every kind, and of every way in which one of them
// may hold a task up.
const everything = `
start: first
nodes:
  first: {kind: executor, service: s, max_retries: 1, wait_ms: 10, post: {output_key: first}}
  pause: {kind: timer, delay_ms: 1000}
  fan:
    kind: parallel
    parallel_mode: concurrent
    parallel_execs:
      - {service: x}
      - {exec_type: queue, service: y}
      - {exec_type: local_func, func: upper, params: {text: z}}
    post: {output_key: fan}
  each:
    kind: foreach
    service: s
    parallel_mode: concurrent
    max_parallel: 2
    prep: {input_key: fan}
    post: {output_key: each}
  sub:
    kind: subflow
    post: {output_key: sub}
    subflow:
      start: ask
      nodes:
        ask: {kind: approval, approval_key: ok}
        in: {kind: executor, service: s, prep: {input_key: ok}, post: {output_key: in}}
      edges: [{from: ask, action: approved, to: in}]
  wait: {kind: wait_event, signal_key: go, timeout_ms: 500}
  last: {kind: choice, default_action: out}
edges:
  - {from: first, to: pause}
  - {from: pause, to: fan}
  - {from: fan, to: each}
  - {from: each, to: sub}
  - {from: sub, to: wait}
  - {from: wait, action: timeout, to: last}
`

const everythingScript = `
answers:
  first: [{error: busy, after_ms: 5}, {result: 1}]
  fan/0: {result: x, after_ms: 30}
  fan/1: {result: y, after_ms: 20}
  each/*: {result: {item: $input, index: $params.index}, after_ms: 10}
  each/1: {result: other, after_ms: 15}
  sub/in: {result: done}
signals:
  - {when: sub/ask, after_ms: 100, key: ok, value: true, decided_by: ann, comment: fine}
`

func TestRun_GoesThroughEveryKind(t *testing.T) {
	t.Parallel()
	trace := simulated(t, everything, everythingScript)
	require.Nil(t, trace.Stopped)
	require.Equal(t, storage.TaskCompleted, trace.Status, "%v", trace.Error)
	require.JSONEq(t, `{"first": 1, "fan": ["x", "y", "Z"], "ok": true,
		"each": [{"item": "x", "index": 0}, "other", {"item": "Z", "index": 2}],
		"sub": {"ok": true, "in": "done"},
		"error": {"node": "wait", "code": "timeout", "message": "no signal \"go\" came in time", "attempts": 1}}`, string(trace.Shared))
	require.Equal(t, []string{
		"first", "first", "pause", "fan", "fan/0", "fan/1", "fan/2", "each", "each/0", "each/1", "each/2",
		"sub", "sub/ask", "sub/in", "wait", "last",
	}, trace.Path())
	require.Equal(t, ms(5+10+1000+30+20+100+500), trace.Took)
	require.Empty(t, trace.Unused)

	item := trace.find(Began, "each/2")[0]
	require.Equal(t, flow.ExecHTTP, item.ExecType)
	require.Equal(t, `{"index":2}`, string(item.Params))
	require.Equal(t, "fan/2", trace.find(Ended, "fan/2")[0].Path)
	require.Equal(t, "sub/in", trace.find(Ended, "sub/ask")[0].To)
	require.Equal(t, ThenEnds, trace.find(Ended, "sub/in")[0].Then)
	require.Equal(t, "wait", trace.find(Ended, "sub")[0].To)
	require.Equal(t, flow.KindApproval, trace.find(Began, "sub/ask")[0].Kind)
	require.Equal(t, "ann", trace.Runs[12].DecidedBy)
}

func TestRun_TellsOfBranchesThatAreTriedAgain(t *testing.T) {
	t.Parallel()
	trace := simulated(t, `
start: each
nodes:
  each: {kind: foreach, service: s, parallel_mode: concurrent, max_retries: 1, wait_ms: 50, prep: {input_key: $params.items}, failure_strategy: ignore_errors}
`, `
params: {items: [a, b]}
answers:
  each/*: [{error: busy}, {result: $input}]
  each/1: {error: broken, retryable: false}
`)
	require.Equal(t, storage.TaskCompleted, trace.Status)
	again := ms(50)
	ends := trace.find(Ended, "each/0")
	require.Equal(t, &again, ends[0].AgainAt)
	require.Equal(t, ThenAgain, ends[0].Then)
	require.Empty(t, ends[1].Then, "a branch takes no edge")
	require.Len(t, trace.find(Ended, "each/1"), 1)
	require.Empty(t, trace.find(Ended, "each/1")[0].Then)
	require.Equal(t, `["a",null]`, string(trace.find(Ended, "each")[0].Result))
}

func TestRun_ResolvesSubflowsByNameAndVersion(t *testing.T) {
	t.Parallel()
	def := defined(t, `
start: new
nodes:
  new: {kind: subflow, flow: {name: charge}, subflow_execs: [{node: a, params: {text: changed}}], post: {output_key: new}}
  old: {kind: subflow, flow: {name: charge, version: 1}, post: {output_key: old}}
edges: [{from: new, to: old}]
`)
	charge := `
start: a
nodes: {a: {kind: executor, exec_type: local_func, func: upper, params: {text: %TYPE%}, post: {output_key: t}}}
`
	cfg := Config{Definition: def, Flows: map[string]*flow.Definition{
		"charge": defined(t, replace(charge, "newest")), "charge@1": defined(t, replace(charge, "first")),
	}}
	trace, err := Run(t.Context(), cfg)
	require.NoError(t, err)
	require.JSONEq(t, `{"new": {"t": "CHANGED"}, "old": {"t": "FIRST"}}`, string(trace.Shared))
	require.Equal(t, []string{"new", "new/a", "old", "old/a"}, trace.Path())
	require.Equal(t, "charge@1", trace.find(Resolved, "old")[0].Flow)
	require.Equal(t, flow.KindExecutor, trace.find(Ended, "old/a")[0].Kind)
	require.Equal(t, storage.EventFlowResolved, trace.Events[1].Kind)

	delete(cfg.Flows, "charge")
	trace, err = Run(t.Context(), cfg)
	require.NoError(t, err)
	require.Equal(t, &Stopped{
		Reason: NoFlow, Node: "new", Message: "new refers to the flow charge, which the script does not name under flows",
	}, trace.Stopped)
}

func TestRun_TellsOfASubflowThatStartsAgain(t *testing.T) {
	t.Parallel()
	trace := simulated(t, `
start: sub
nodes:
  sub:
    kind: subflow
    max_retries: 1
    subflow: {start: a, nodes: {a: {kind: executor, service: s}}}
`, "answers: {sub/a: [{error: once}, {result: 1}]}")
	require.Equal(t, storage.TaskCompleted, trace.Status)
	require.Equal(t, []string{"sub", "sub/a", "sub", "sub/a"}, trace.Path())
	require.Equal(t, ThenFails, trace.find(Ended, "sub/a")[0].Then)
	require.Equal(t, ThenAgain, trace.find(Ended, "sub")[0].Then)
}

func TestRun_NamesEveryExecutionOfAStepWithoutAnswer(t *testing.T) {
	t.Parallel()
	trace := simulated(t, `
start: p
nodes: {p: {kind: parallel, parallel_services: [a, b, c], parallel_mode: concurrent}}
`, "answers: {p/1: {}}")
	require.Equal(t, "the script has no answer for p/0 (http a, input null), p/2 (http c, input null)", trace.Stopped.Message)
	require.Len(t, trace.Stopped.Unanswered, 2)
}

func TestRun_TakesTenThousandItems(t *testing.T) {
	t.Parallel()
	const n = 10_000
	trace, err := Run(t.Context(), Config{
		Definition: defined(t, `
start: list
nodes:
  list: {kind: executor, service: list, post: {output_key: items}}
  each: {kind: foreach, service: s, parallel_mode: concurrent, prep: {input_key: items}}
edges: [{from: list, to: each}]
`),
		Script: read(t, "answers: {each/*: {result: $params.index, after_ms: 10}}"),
		Worker: func(Call) (Answer, bool) { return Answer{Result: raw("[" + strings.Repeat("0,", n-1) + "0]")}, true },
	})
	require.NoError(t, err)
	require.Equal(t, storage.TaskCompleted, trace.Status)
	require.Len(t, trace.Runs, n+2)
	require.True(t, strings.HasSuffix(string(trace.find(Ended, "each")[0].Result), ",9998,9999]"))
}
