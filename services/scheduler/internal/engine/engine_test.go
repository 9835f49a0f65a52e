package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

const branching = `{
  "start": "decide",
  "nodes": {
    "decide": {"kind": "executor", "service": "route", "post": {"action_key": "action"}},
    "B": {"kind": "executor", "service": "transform", "prep": {"input_key": "text"}, "params": {"op": "upper"}, "post": {"output_key": "b"}},
    "C": {"kind": "executor", "service": "transform", "prep": {"input_map": {"n": "$params.n", "lit": "$$x"}}, "post": {"output_map": {"c": "out.value"}}}
  },
  "edges": [
    {"from": "decide", "action": "goB", "to": "B"},
    {"from": "decide", "action": "goC", "to": "C"},
    {"from": "B", "action": "default", "to": ""}
  ]
}`

func TestStep_TakesTheBranchThatTheActionNames(t *testing.T) {
	t.Parallel()
	p := play(t, branching, `{"n": 12345678901234567890.5}`)
	require.Equal(t, storage.TaskRunning, p.state.Status)

	decide := p.take()
	require.Equal(t, "decide", decide.Path)
	require.Equal(t, 30*time.Second, decide.Timeout)
	p.answer(decide, `{"action":"goC"}`)

	c := p.take()
	require.JSONEq(t, `{"n": 12345678901234567890.5, "lit": "$x"}`, string(c.Input))
	require.Contains(t, string(c.Input), "12345678901234567890.5", "numbers keep their text")
	p.answer(c, `{"out":{"value":[1,2]}}`)

	require.Equal(t, storage.TaskCompleted, p.state.Status)
	require.Equal(t, `{"c":[1,2]}`, string(p.state.Shared))
	require.Empty(t, p.state.CurrentNode())
	require.Len(t, p.runs, 2)
	require.Equal(t, "goC", p.runs[0].Action)
	require.Equal(t, storage.RunOK, p.runs[1].Status)
	require.Equal(t, "w1", p.runs[1].WorkerID)
}

func TestStep_AppliesParamsWeakestFirst(t *testing.T) {
	t.Parallel()
	p := play(t, `{"start":"a","nodes":{"a":{"kind":"executor","service":"s","params":{"set":"by author","from":"$params.caller"}}}}`,
		`{"set":"by caller","caller":"$shared.secret"}`)
	require.JSONEq(t, `{"set":"by author","caller":"$shared.secret","from":"$shared.secret"}`, string(p.take().Params),
		"the author overrides the caller, whose values are data and never references")
}

func TestStep_EndsWithNoEdgeNamingTheAction(t *testing.T) {
	t.Parallel()
	p := play(t, branching, `{}`)
	p.answer(p.take(), `{"action":"goD"}`)
	require.Equal(t, storage.TaskFailed, p.state.Status)
	require.Equal(t, CodeNoEdge, p.state.Failure.Code)
	require.Contains(t, p.state.Failure.Message, `"goD"`)
	require.Equal(t, storage.RunError, p.runs[0].Status)
	require.JSONEq(t, `{"action":"goD"}`, string(p.runs[0].Output), "what the worker answered is kept")
}

func TestLoop_IsBoundedByMaxSteps(t *testing.T) {
	t.Parallel()
	p := play(t, `{"start":"a","max_steps":7,"nodes":{"a":{"kind":"choice","choice_cases":[{"action":"again","expr":{"eq":[1,1]}}]}},
		"edges":[{"from":"a","action":"again","to":"a"}]}`, `{}`)
	require.Equal(t, storage.TaskFailed, p.state.Status)
	require.Equal(t, CodeMaxSteps, p.state.Failure.Code)
	require.Len(t, p.runs, 7)
	require.Equal(t, 7, p.runs[6].Visit)
}

func TestLimits_AreThoseThatTheTaskWasStartedWith(t *testing.T) {
	t.Parallel()
	p := load(t, `{"start":"a","nodes":{"a":{"kind":"executor","service":"s"}},"edges":[{"from":"a","to":"a"}]}`, `{}`)
	limits := testLimits
	limits.MaxSteps = 2
	p.apply(Event{Kind: storage.EventStarted, Limits: &limits})
	p.answer(p.take(), `1`)
	p.answer(p.take(), `1`)
	require.Equal(t, CodeMaxSteps, p.state.Failure.Code, "not at %d, which counts where the next task starts", testLimits.MaxSteps)
}

func TestLoop_KeepsVisitsApart(t *testing.T) {
	t.Parallel()
	p := play(t, `{"start":"a","nodes":{"a":{"kind":"executor","service":"s","post":{"action_key":"go"}}},
		"edges":[{"from":"a","action":"again","to":"a"},{"from":"a","action":"default","to":""}]}`, `{}`)
	first := p.take()
	p.answer(first, `{"go":"again"}`)
	second := p.take()
	require.Equal(t, 2, second.Visit)
	p.answer(first, `{"go":"stop"}`)
	require.Equal(t, storage.TaskRunning, p.state.Status, "a late result of visit 1 is not visit 2's")
	p.answer(second, `{}`)
	require.Equal(t, storage.TaskCompleted, p.state.Status)
}

const queued = `{"start":"q","nodes":{"q":{"kind":"executor","exec_type":"queue","service":"s","params":{"priority":7},"timeout_ms":%TIMEOUT%,"max_retries":1}}}`

func TestQueue_WaitsForAPullWorker(t *testing.T) {
	t.Parallel()
	p := play(t, `{"start":"q","nodes":{"q":{"kind":"executor","exec_type":"queue","service":"s","post":{"output_key":"r"}}}}`, `{}`)
	require.Equal(t, storage.TaskWaitingQueue, p.state.Status)
	require.Equal(t, storage.RunQueued, p.runs[0].Status)
	require.True(t, p.state.NextDue().IsZero(), "without a time-out of its own it waits as long as it takes")
	require.Empty(t, p.program.Resume(p.state), "the queue has it")
	p.answer(p.take(), `"done"`)
	require.Equal(t, storage.TaskCompleted, p.state.Status)
	require.Equal(t, `{"r":"done"}`, string(p.state.Shared))
}

func TestQueue_TimesOutWithdrawsAndRetries(t *testing.T) {
	t.Parallel()
	p := play(t, replace(queued, "%TIMEOUT%", "1000"), `{}`)
	first := p.take()
	p.wait(time.Second)
	require.Equal(t, []Abort{{RunID: first.RunID, Queued: true}}, p.aborted)
	require.Equal(t, storage.RunTimeout, p.runs[0].Status)
	second := p.take()
	require.Equal(t, 2, second.Attempt)
	p.answer(first, `"late"`)
	require.Equal(t, storage.TaskWaitingQueue, p.state.Status)
	p.answer(second, `"ok"`)
	require.Equal(t, storage.TaskCompleted, p.state.Status)
}

func TestStep_MakesALongChainInSeveralSteps(t *testing.T) {
	t.Parallel()
	p := play(t, `{"start":"a","max_steps":500,"nodes":{"a":{"kind":"choice","choice_cases":[{"action":"again","expr":{"eq":[1,1]}}]}},
		"edges":[{"from":"a","action":"again","to":"a"}]}`, `{}`)
	require.Len(t, p.runs, visitsPerStep)
	require.Equal(t, storage.TaskRunning, p.state.Status)
	require.Equal(t, p.now, p.state.NextDue(), "the next step is due at once")
	require.Empty(t, p.program.Resume(p.state))
	require.True(t, p.state.NeedsToResume().None())
	p.wait(0)
	require.Len(t, p.runs, 2*visitsPerStep)
	p.wait(0)
	require.Equal(t, CodeMaxSteps, p.state.Failure.Code)
	require.Len(t, p.runs, 500)
}

func TestStep_BoundsWhatAFlowCanPileUp(t *testing.T) {
	t.Parallel()
	p := play(t, `{"start":"a","nodes":{"a":{"kind":"executor","exec_type":"local_func","func":"echo",
			"prep":{"input_map":{"l":"$shared.x","r":"$shared.x","more":"0123456789"}},"post":{"output_key":"x"}}},
		"edges":[{"from":"a","to":"a"}]}`, `{}`)
	for len(p.pending) > 0 {
		x := p.take()
		p.answer(x, string(x.Input))
		require.LessOrEqual(t, len(p.state.Shared), 1<<20)
	}
	require.Equal(t, storage.TaskFailed, p.state.Status)
	require.Equal(t, CodeTooLarge, p.state.Failure.Code)
}

func TestVisit_BoundsInputAndParamsOfEveryKind(t *testing.T) {
	t.Parallel()
	big := `"` + strings.Repeat("x", 600<<10) + `"`
	for name, node := range map[string]string{
		"executor": `{"kind":"executor","service":"s"`, "choice": `{"kind":"choice","default_action":"x"`,
		"timer": `{"kind":"timer","delay_ms":1`, "wait": `{"kind":"wait_event","signal_key":"k"`,
	} {
		for _, part := range []string{`,"prep":{"input_map":{"a":"$params.big","b":"$params.big"}}}`, `,"params":{"a":"$params.big","b":"$params.big"}}`} {
			p := play(t, `{"start":"a","nodes":{"a":`+node+part+`}}`, `{"big":`+big+`}`)
			require.Equal(t, storage.TaskFailed, p.state.Status, name)
			require.Equal(t, CodeTooLarge, p.state.Failure.Code, name)
			require.Less(t, len(p.runs[0].Input)+len(p.runs[0].Params), 1<<10, "what was too large is not stored")
		}
	}
}
