package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

const inner = `{"start":"a","nodes":{"a":{"kind":"executor","service":"a","prep":{"input_key":"seed"},"post":{"output_key":"a"}},
	"b":{"kind":"executor","service":"b","prep":{"input_key":"a"},"post":{"output_key":"b"}}},"edges":[{"from":"a","to":"b"}]}`

const outer = `{"start":"sf","nodes":{"sf":{"kind":"subflow","subflow":` + inner + `,"post":{"output_key":"sub"}%MORE%},
	"caught":{"kind":"executor","service":"caught"}},"edges":[{"from":"sf","action":"error","to":"caught"}%EDGE%]}`

func TestSubflow_HasItsOwnSharedStateWhichIsItsResult(t *testing.T) {
	t.Parallel()
	p := play(t, replace(outer, "%MORE%", `,"prep":{"input_map":{"seed":"$params.x"}},"params":{"p":1}`, "%EDGE%", ""), `{"x":7}`)
	a := p.take()
	require.Equal(t, []string{"sf/a", "a", `7`, `{"x":7,"p":1}`}, []string{a.Path, a.NodeKey, string(a.Input), string(a.Params)})
	p.answer(a, `8`)
	require.Equal(t, `{}`, string(p.state.Shared), "the task's own is another one")
	run := p.run("sf/a")
	require.Equal(t, []string{"a", "sub_node_complete"}, []string{run.BranchID, run.SubStatus})
	b := p.take()
	require.Equal(t, []string{"sf/b", `8`}, []string{b.Path, string(b.Input)})
	require.Equal(t, "sf", p.state.CurrentNode())
	p.answer(b, `9`)
	require.Equal(t, storage.TaskCompleted, p.state.Status)
	require.Equal(t, `{"sub":{"seed":7,"a":8,"b":9}}`, string(p.state.Shared))
	require.Equal(t, `{"seed":7,"a":8,"b":9}`, string(p.run("sf").Output))
}

func TestSubflow_StartsEmptyWithoutAnObjectForInput(t *testing.T) {
	t.Parallel()
	p := play(t, replace(outer, "%MORE%", `,"prep":{"input_key":"$params.x"}`, "%EDGE%", ""), `{"x":[1]}`)
	require.Equal(t, `null`, string(p.take().Input))
}

func TestSubflow_PicksItsActionInItsSharedState(t *testing.T) {
	t.Parallel()
	p := play(t, replace(outer, `"post":{"output_key":"sub"}`, `"post":{"action_key":"b.go"}`, "%MORE%", "", "%EDGE%", `,{"from":"sf","action":"on","to":"caught"}`), `{}`)
	p.answer(p.take(), `1`)
	p.answer(p.take(), `{"go":"on"}`)
	require.Equal(t, "caught", p.take().Path)
}

func TestSubflow_FailuresTakeTheInnermostErrorEdge(t *testing.T) {
	t.Parallel()
	own := strings.Replace(inner, `"edges":[`, `"edges":[{"from":"b","action":"error","to":""},`, 1)
	p := play(t, replace(outer, inner, own, "%MORE%", "", "%EDGE%", ""), `{}`)
	p.answer(p.take(), `1`)
	p.fail(p.take(), RunError{Code: "worker_error", Message: "boom"})
	require.Equal(t, storage.TaskCompleted, p.state.Status)
	require.JSONEq(t, `{"sub":{"a":1,"error":{"node":"sf/b","code":"worker_error","message":"boom","attempts":1}}}`, string(p.state.Shared))

	p = play(t, replace(outer, inner, own, "%MORE%", "", "%EDGE%", ""), `{}`)
	p.fail(p.take(), RunError{Code: "worker_error", Message: "boom"})
	require.Equal(t, "caught", p.take().Path, "what no edge inside catches fails the subflow")
	require.JSONEq(t, `{"error":{"node":"sf/a","code":"worker_error","message":"boom","attempts":1}}`, string(p.state.Shared))
	require.Equal(t, storage.RunError, p.run("sf").Status)
}

func TestSubflow_StartsAgainUnderMaxRetries(t *testing.T) {
	t.Parallel()
	for _, strategy := range []string{"", `,"failure_strategy":"retry"`} {
		p := play(t, replace(outer, "%MORE%", `,"max_retries":1,"wait_ms":1000`+strategy, "%EDGE%", ""), `{}`)
		p.answer(p.take(), `1`)
		p.fail(p.take(), RunError{Code: "worker_error"})
		require.Equal(t, storage.TaskWaiting, p.state.Status)
		p.wait(time.Second)
		a := p.take()
		require.Equal(t, []any{"sf/a", 2, 1, `null`}, []any{a.Path, a.Visit, a.Attempt, string(a.Input)}, "from its beginning")
		p.answer(a, `1`)
		p.answer(p.take(), `2`)
		require.Equal(t, `{"sub":{"a":1,"b":2}}`, string(p.state.Shared))
		require.Equal(t, 2, p.run("sf").Attempt)
	}
}

func TestSubflow_ContinuesWithWhatThereIs(t *testing.T) {
	t.Parallel()
	for _, strategy := range []string{"continue", "ignore_errors"} {
		p := play(t, replace(outer, "%MORE%", `,"failure_strategy":"`+strategy+`"`, "%EDGE%", ""), `{}`)
		p.answer(p.take(), `1`)
		p.fail(p.take(), RunError{Code: "worker_error", Message: "boom"})
		require.Equal(t, storage.TaskCompleted, p.state.Status)
		require.Equal(t, `{"sub":{"a":1}}`, string(p.state.Shared))
		require.Equal(t, []string{"ok", "worker_error"}, []string{string(p.run("sf").Status), p.run("sf").ErrorCode})
	}
}

func TestSubflow_TimesOutWithWhatIsInside(t *testing.T) {
	t.Parallel()
	for name, timeout := range map[string][2]string{
		"the node's":       {`,"timeout_ms":1000`, inner},
		"the definition's": {``, strings.Replace(inner, `{"start"`, `{"timeout_ms":1000,"start"`, 1)},
	} {
		p := play(t, replace(outer, inner, timeout[1], "%MORE%", timeout[0], "%EDGE%", `,{"from":"sf","action":"timeout","to":"caught"}`), `{}`)
		x := p.take()
		p.wait(time.Second)
		require.Equal(t, []Abort{{RunID: x.RunID}}, p.aborted, name)
		require.Equal(t, storage.RunCanceled, p.run("sf/a").Status)
		require.Equal(t, storage.RunTimeout, p.run("sf").Status)
		require.Equal(t, "caught", p.take().Path)
	}
}

func TestSubflow_ExecsOverrideItsNodes(t *testing.T) {
	t.Parallel()
	p := play(t, replace(outer, "%MORE%", `,"subflow_execs":[{"node":"a","service":"other","params":{"k":1}}]`, "%EDGE%", ""), `{}`)
	x := p.take()
	require.Equal(t, []string{"other", `{"k":1}`}, []string{x.Exec.Service, string(x.Params)})
}

func TestSubflow_NestsWithFansInside(t *testing.T) {
	t.Parallel()
	p := play(t, `{"start":"x","nodes":{"x":{"kind":"subflow","post":{"output_key":"x"},"subflow":{"start":"y","nodes":{"y":{"kind":"subflow","post":{"output_key":"y"},
		"prep":{"input_map":{"list":"$params.items"}},
		"subflow":{"start":"f","nodes":{"f":{"kind":"foreach","parallel_mode":"concurrent","service":"s","prep":{"input_key":"list"},"post":{"output_key":"f"}}}}}}}}}}`, `{"items":[1,2]}`)
	require.Equal(t, []string{"x/y/f/0", "x/y/f/1"}, p.paths())
	p.answer(p.find("x/y/f/1"), `"b"`)
	p.answer(p.find("x/y/f/0"), `"a"`)
	require.Equal(t, `{"x":{"y":{"list":[1,2],"f":["a","b"]}}}`, string(p.state.Shared))
	require.Equal(t, []string{"f", "sub_node_complete"}, []string{p.run("x/y/f").BranchID, p.run("x/y/f").SubStatus})
}

func TestSubflow_VisitedAgainHasRunsOfItsOwn(t *testing.T) {
	t.Parallel()
	p := play(t, replace(outer, "%MORE%", "", "%EDGE%", `,{"from":"sf","to":"sf"}`), `{}`)
	first := p.take()
	p.answer(first, `1`)
	p.answer(p.take(), `2`)
	second := p.take()
	require.Equal(t, []any{"sf/a", 2}, []any{second.Path, second.Visit})
	require.NotEqual(t, first.RunID, second.RunID, "though it began in the same millisecond")
	p.answer(first, `"late"`)
	require.Equal(t, storage.RunRunning, p.run("sf/a").Status)
}

func TestSubflow_WaitsInsideAreToldBySignalsToTheTask(t *testing.T) {
	t.Parallel()
	def := `{"start":"sf","nodes":{"sf":{"kind":"subflow","post":{"output_key":"sub"},"subflow":{"start":"w","nodes":{
		"w":{"kind":"wait_event","signal_key":"go"},"v":{"kind":"wait_event","signal_key":"$shared.order.paid","post":{"output_key":"v"}}},"edges":[{"from":"w","to":"v"}]}}}}`
	p := load(t, def, `{}`)
	p.signal("go", `1`)
	p.apply(Event{Kind: storage.EventStarted})
	require.Equal(t, storage.TaskWaiting, p.state.Status)
	require.Equal(t, storage.WaitEvent, p.program.WaitsFor(p.state))
	p.signal("order", `{"id":1}`)
	require.Equal(t, storage.TaskWaiting, p.state.Status)
	p.signal("order", `{"paid":2}`)
	require.Equal(t, storage.TaskCompleted, p.state.Status)
	require.Equal(t, `{"go":1,"order":{"paid":2},"sub":{"go":1,"order":{"paid":2},"v":2}}`, string(p.state.Shared),
		"a subflow gets the signal that it took")
}

const byName = `{"start":"sf","nodes":{"sf":{"kind":"subflow","flow":{"name":"charge"},"post":{"output_key":"sub"}%MORE%}}}`

func (p *player) resolve(version, definition string) {
	p.t.Helper()
	require.Len(p.t, p.asked, 1)
	if p.program.Flows == nil {
		p.program.Flows = map[string]*flow.Plan{}
	}
	p.program.Flows[version] = compile(p.t, definition)
	runID := p.asked[0].RunID
	p.asked = nil
	p.apply(Event{Kind: storage.EventFlowResolved, Resolved: &FlowResolved{RunID: runID, VersionID: version}})
}

func TestSubflow_ByReferenceIsResolvedOnceAndPinned(t *testing.T) {
	t.Parallel()
	p := play(t, replace(byName, "%MORE%", `,"max_retries":1,"subflow_execs":[{"node":"b","service":"own"}]`), `{}`)
	require.Equal(t, storage.TaskRunning, p.state.Status)
	require.Equal(t, flow.Ref{Name: "charge"}, p.asked[0].Ref)
	require.Equal(t, p.asked, p.program.Resume(p.state).Resolve, "whoever takes the task over asks again")
	p.resolve("ver-1", inner)
	require.Equal(t, []string{"ver-1"}, p.state.Versions())
	p.answer(p.take(), `1`)
	b := p.take()
	require.Equal(t, "own", b.Exec.Service)
	p.fail(b, RunError{Code: "worker_error"})
	require.Empty(t, p.asked, "a restart executes the same version")
	require.Equal(t, "sf/a", p.take().Path)
}

func TestSubflow_ByReferenceThatIsNotThereFails(t *testing.T) {
	t.Parallel()
	missing := func(p *player) {
		p.apply(Event{Kind: storage.EventFlowResolved, Resolved: &FlowResolved{
			RunID: p.asked[0].RunID, Error: &RunError{Code: CodeFlowNotFound, Message: "no such flow"},
		}})
	}
	p := play(t, replace(byName, "%MORE%", ""), `{}`)
	missing(p)
	require.Equal(t, &Failure{Node: "sf", Code: CodeFlowNotFound, Message: "no such flow", Attempts: 1}, p.state.Failure)

	p = play(t, replace(byName, "%MORE%", `,"failure_strategy":"continue"`), `{}`)
	missing(p)
	require.Equal(t, `{"sub":{}}`, string(p.state.Shared))
}

func TestSubflow_ByReferenceKeepsSignalsThatItMayWaitFor(t *testing.T) {
	t.Parallel()
	p := play(t, replace(byName, "%MORE%", ""), `{}`)
	p.signal("go", `1`)
	p.resolve("ver-1", `{"start":"w","nodes":{"w":{"kind":"wait_event","signal_key":"go"}}}`)
	require.Equal(t, storage.TaskCompleted, p.state.Status)
}

// What tells the wait outside nothing may be meant for one inside.
func TestSubflow_ByReferenceKeepsSignalsThatAnotherWaitHasNoUseFor(t *testing.T) {
	t.Parallel()
	p := play(t, `{"start":"paid","nodes":{"paid":{"kind":"wait_event","signal_key":"$shared.order.paid"},"sf":{"kind":"subflow","flow":{"name":"charge"}}},
		"edges":[{"from":"paid","to":"sf"}]}`, `{}`)
	p.signal("order", `{"state":"new"}`)
	p.signal("order", `{"paid":7}`)
	p.resolve("ver-2", `{"start":"w","nodes":{"w":{"kind":"wait_event","signal_key":"$shared.order.state","post":{"output_key":"was"}}}}`)
	require.Equal(t, storage.TaskCompleted, p.state.Status)
	require.Contains(t, string(p.run("sf").Output), `"was":"new"`)
}

func TestSubflow_CannotCallItselfForEver(t *testing.T) {
	t.Parallel()
	p := play(t, replace(byName, "%MORE%", ""), `{}`)
	for depth := 1; p.state.Status == storage.TaskRunning; depth++ {
		require.LessOrEqual(t, depth, testLimits.MaxNesting)
		p.resolve("ver-1", replace(byName, "%MORE%", ""))
	}
	require.Equal(t, CodeTooDeep, p.state.Failure.Code)
}
