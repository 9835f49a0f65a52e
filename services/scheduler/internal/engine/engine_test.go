package engine

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// player feeds events to a program as a scheduler would, on a clock of its
// own, and keeps what was asked for.
type player struct {
	t       *testing.T
	program Program
	state   State
	now     time.Time
	events  []Event
	runs    []storage.NodeRun
	pending []Execution
	aborted []Abort
}

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func play(t *testing.T, definition, params string) *player {
	t.Helper()
	p := load(t, definition, params)
	p.apply(Event{Kind: storage.EventStarted})
	return p
}

func load(t *testing.T, definition, params string) *player {
	t.Helper()
	def, faults := flow.Parse([]byte(definition))
	require.Empty(t, faults)
	plan, err := flow.Compile(def)
	require.NoError(t, err)
	return &player{
		t: t, now: epoch, state: NewState(),
		program: Program{
			Plan: plan, TaskID: "task-1", Params: json.RawMessage(params),
			Limits: Limits{MaxSteps: 1000, AttemptTimeout: 30 * time.Second, MaxValue: 1 << 20},
		},
	}
}

func (p *player) apply(e Event) {
	p.t.Helper()
	e.At = p.now
	p.events = append(p.events, e)
	var effects Effects
	p.state, effects = p.program.Step(p.state, e)
	p.runs = append(p.runs, effects.Started...)
	for _, f := range effects.Finished {
		run := &p.runs[f.No-1]
		require.Contains(p.t, []storage.RunStatus{storage.RunRunning, storage.RunQueued}, run.Status, "run %d is finished once", f.No)
		f.Close(run)
	}
	p.pending = append(p.pending, effects.Execute...)
	p.aborted = append(p.aborted, effects.Abort...)
	for i, run := range p.runs {
		require.Equal(p.t, i+1, run.No)
	}
}

// take removes and returns the one execution that is pending.
func (p *player) take() Execution {
	p.t.Helper()
	require.Len(p.t, p.pending, 1)
	x := p.pending[0]
	p.pending = nil
	return x
}

func (p *player) answer(x Execution, result string) {
	p.t.Helper()
	p.apply(Event{Kind: storage.EventRunFinished, Result: &RunResult{RunID: x.RunID, Result: json.RawMessage(result), WorkerID: "w1"}})
}

func (p *player) fail(x Execution, e RunError) {
	p.t.Helper()
	p.apply(Event{Kind: storage.EventRunFinished, Result: &RunResult{RunID: x.RunID, Error: &e}})
}

func (p *player) wait(d time.Duration) {
	p.t.Helper()
	p.now = p.now.Add(d)
	p.apply(Event{Kind: storage.EventTimerFired})
}

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

const retrying = `{
  "start": "a",
  "nodes": {
    "a": {"kind": "executor", "service": "s", "max_retries": 2, "wait_ms": 1000, "backoff": {"factor": 3}},
    "rescue": {"kind": "executor", "service": "r", "prep": {"input_key": "error"}}
  },
  "edges": [{"from": "a", "action": "error", "to": "rescue"}, {"from": "a", "action": "default", "to": ""}]
}`

func TestRetry_WaitsOnADurableTimerBetweenAttempts(t *testing.T) {
	t.Parallel()
	p := play(t, retrying, `{}`)
	first := p.take()
	p.fail(first, RunError{Code: "worker_error", Message: "boom"})
	require.Equal(t, storage.TaskWaiting, p.state.Status)
	require.Equal(t, epoch.Add(time.Second), p.state.NextDue())

	p.wait(999 * time.Millisecond)
	require.Empty(t, p.pending, "never early")
	p.wait(time.Millisecond)
	second := p.take()
	require.Equal(t, 2, second.Attempt)
	require.NotEqual(t, first.RunID, second.RunID)

	p.fail(second, RunError{Code: "worker_error", Message: "boom"})
	require.Equal(t, p.now.Add(3*time.Second), p.state.NextDue(), "the wait grows by the factor")
	p.wait(3 * time.Second)
	p.answer(p.take(), `1`)
	require.Equal(t, storage.TaskCompleted, p.state.Status)
	require.Len(t, p.runs, 3)
	require.Equal(t, []storage.RunStatus{storage.RunError, storage.RunError, storage.RunOK},
		[]storage.RunStatus{p.runs[0].Status, p.runs[1].Status, p.runs[2].Status})
}

func TestRetry_GivesTheErrorEdgeTheFailureWhenAttemptsAreUsedUp(t *testing.T) {
	t.Parallel()
	p := play(t, retrying, `{}`)
	for range 3 {
		p.fail(p.take(), RunError{Code: "worker_error", Message: "boom"})
		p.wait(time.Minute)
	}
	rescue := p.take()
	require.Equal(t, "rescue", rescue.Path)
	require.JSONEq(t, `{"node":"a","code":"worker_error","message":"boom","attempts":3}`, string(rescue.Input))
	require.Equal(t, flow.ActionError, p.state.Action)
}

func TestRetry_EndsAtOnceWhenTheFailureIsFinal(t *testing.T) {
	t.Parallel()
	p := play(t, retrying, `{}`)
	p.fail(p.take(), RunError{Code: "worker_error", Message: "bad input", Final: true})
	require.Equal(t, "rescue", p.take().Path)
}

func TestRetry_WithoutWaitStartsAtOnce(t *testing.T) {
	t.Parallel()
	p := play(t, `{"start":"a","nodes":{"a":{"kind":"executor","service":"s","max_retries":1}}}`, `{}`)
	p.fail(p.take(), RunError{Code: "worker_error", Message: "boom"})
	require.Equal(t, 2, p.take().Attempt)
	require.Equal(t, storage.TaskRunning, p.state.Status)
}

func TestFailure_WithoutAnErrorEdgeFailsTheTask(t *testing.T) {
	t.Parallel()
	p := play(t, `{"start":"a","nodes":{"a":{"kind":"executor","service":"s"},"b":{"kind":"executor","service":"s"}},
		"edges":[{"from":"a","action":"default","to":"b"}]}`, `{}`)
	p.fail(p.take(), RunError{Code: "worker_error", Message: "boom"})
	require.Equal(t, storage.TaskFailed, p.state.Status, "the default edge is never taken on failure")
	require.Equal(t, &Failure{Node: "a", Code: "worker_error", Message: "boom", Attempts: 1}, p.state.Failure)
	require.Equal(t, `{}`, string(p.state.Shared))
}

func TestFailure_TakesTheTimeoutEdgeBeforeTheErrorEdge(t *testing.T) {
	t.Parallel()
	p := play(t, `{"start":"a","nodes":{"a":{"kind":"executor","service":"s"},"late":{"kind":"executor","service":"s"},"broken":{"kind":"executor","service":"s"}},
		"edges":[{"from":"a","action":"error","to":"broken"},{"from":"a","action":"timeout","to":"late"}]}`, `{}`)
	p.fail(p.take(), RunError{Code: CodeTimeout, Message: "too slow"})
	require.Equal(t, "late", p.take().Path)
	require.Equal(t, storage.RunTimeout, p.runs[0].Status)
}

func TestDeadline_FailsTheTaskAndAbortsWhatRuns(t *testing.T) {
	t.Parallel()
	p := play(t, `{"start":"a","timeout_ms":5000,"nodes":{"a":{"kind":"executor","service":"s"}},"edges":[{"from":"a","action":"error","to":""}]}`, `{}`)
	x := p.take()
	require.Equal(t, epoch.Add(5*time.Second), p.state.NextDue())
	p.wait(5 * time.Second)
	require.Equal(t, storage.TaskFailed, p.state.Status, "no edge catches the task's own time-out")
	require.Equal(t, CodeTaskTimeout, p.state.Failure.Code)
	require.Equal(t, storage.RunTimeout, p.runs[0].Status)
	require.Equal(t, []Abort{{RunID: x.RunID, ExecType: flow.ExecHTTP}}, p.aborted)
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

func TestChoice(t *testing.T) {
	t.Parallel()
	const flowOf = `{"start":"c","nodes":{"c":%NODE%,"x":{"kind":"executor","service":"x"},"y":{"kind":"executor","service":"y"},"z":{"kind":"executor","service":"z"}},
		"edges":[{"from":"c","action":"x","to":"x"},{"from":"c","action":"y","to":"y"}%MORE%]}`
	cases := []struct {
		name, node, more, params string
		path, code               string
	}{
		{name: "the first true case wins", node: `{"kind":"choice","choice_cases":[{"action":"x","expr":{"gt":["$params.n",1]}},{"action":"y","expr":{"gt":["$params.n",0]}}]}`, params: `{"n":2}`, path: "x"},
		{name: "a later case", node: `{"kind":"choice","choice_cases":[{"action":"x","expr":{"gt":["$params.n",1]}},{"action":"y","expr":{"gt":["$params.n",0]}}]}`, params: `{"n":0.5}`, path: "y"},
		{name: "action_key in the input", node: `{"kind":"choice","prep":{"input_map":{"go":"$params.go"}},"post":{"action_key":"go"},"default_action":"y"}`, params: `{"go":"x"}`, path: "x"},
		{name: "choice_key is the old spelling", node: `{"kind":"choice","prep":{"input_map":{"go":"$params.go"}},"choice_key":"go"}`, params: `{"go":"x"}`, path: "x"},
		{name: "the default action", node: `{"kind":"choice","choice_cases":[{"action":"x","expr":{"exists":"$params.n"}}],"default_action":"y"}`, params: `{}`, path: "y"},
		{name: "the default edge when nothing is selected", node: `{"kind":"choice","choice_cases":[{"action":"x","expr":{"exists":"$params.n"}}]}`, more: `,{"from":"c","action":"default","to":"z"}`, params: `{}`, path: "z"},
		{name: "nothing selected and no default edge", node: `{"kind":"choice","choice_cases":[{"action":"x","expr":{"exists":"$params.n"}}]}`, params: `{}`, code: CodeNoChoice},
		{name: "an action without an edge", node: `{"kind":"choice","choice_cases":[{"action":"q","expr":{"eq":[1,1.0]}}]}`, params: `{}`, code: CodeNoEdge},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := play(t, replace(flowOf, "%NODE%", c.node, "%MORE%", c.more), c.params)
			if c.code != "" {
				require.Equal(t, storage.TaskFailed, p.state.Status)
				require.Equal(t, c.code, p.state.Failure.Code)
				return
			}
			require.Equal(t, c.path, p.take().Path)
			require.Equal(t, storage.RunOK, p.runs[0].Status)
			require.Equal(t, p.now, p.runs[0].FinishedAt)
		})
	}
}

func TestCancel_EndsTheTaskAndItsRun(t *testing.T) {
	t.Parallel()
	p := play(t, branching, `{}`)
	x := p.take()
	p.apply(Event{Kind: storage.EventCancel})
	require.Equal(t, storage.TaskCanceled, p.state.Status)
	require.Equal(t, storage.RunCanceled, p.runs[0].Status)
	require.Equal(t, []Abort{{RunID: x.RunID, ExecType: flow.ExecHTTP}}, p.aborted)

	before := p.state
	p.answer(x, `{"action":"goB"}`)
	p.wait(time.Hour)
	p.apply(Event{Kind: storage.EventSignal, Signal: &Signal{Key: "k", Value: json.RawMessage("1")}})
	require.Equal(t, before, p.state, "terminal is final")
}

func TestCancel_BeforeTheStartRunsNothing(t *testing.T) {
	t.Parallel()
	p := load(t, branching, `{}`)
	p.apply(Event{Kind: storage.EventCancel})
	p.apply(Event{Kind: storage.EventStarted})
	require.Equal(t, storage.TaskCanceled, p.state.Status)
	require.Empty(t, p.runs)
}

func TestCancel_DuringBackoffLeavesTheFinishedRunAlone(t *testing.T) {
	t.Parallel()
	p := play(t, retrying, `{}`)
	p.fail(p.take(), RunError{Code: "worker_error", Message: "boom"})
	p.apply(Event{Kind: storage.EventCancel})
	require.Equal(t, storage.TaskCanceled, p.state.Status)
	require.Equal(t, storage.RunError, p.runs[0].Status)
	require.Empty(t, p.aborted)
}

func TestSignal_WritesItsKeyOnly(t *testing.T) {
	t.Parallel()
	p := play(t, branching, `{}`)
	p.apply(Event{Kind: storage.EventSignal, Signal: &Signal{Key: "a", Value: json.RawMessage(`{"n": 1.50}`)}})
	p.apply(Event{Kind: storage.EventSignal, Signal: &Signal{Key: "b", Value: json.RawMessage(`null`)}})
	require.Equal(t, `{"a":{"n": 1.50},"b":null}`, string(p.state.Shared))
	require.Equal(t, storage.TaskRunning, p.state.Status)
	require.Len(t, p.pending, 1)
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
	require.Equal(t, []Abort{{RunID: first.RunID, ExecType: flow.ExecQueue}}, p.aborted)
	require.Equal(t, storage.RunTimeout, p.runs[0].Status)
	second := p.take()
	require.Equal(t, 2, second.Attempt)
	p.answer(first, `"late"`)
	require.Equal(t, storage.TaskWaitingQueue, p.state.Status)
	p.answer(second, `"ok"`)
	require.Equal(t, storage.TaskCompleted, p.state.Status)
}

func TestTimeout_ReadFromAReferenceThatIsUnfitFailsTheNode(t *testing.T) {
	t.Parallel()
	p := play(t, `{"start":"a","nodes":{"a":{"kind":"executor","service":"s","timeout_ms":"$params.t"}}}`, `{"t":"soon"}`)
	require.Equal(t, storage.TaskFailed, p.state.Status)
	require.Equal(t, &Failure{Node: "a", Code: CodeBadSetting, Message: p.state.Failure.Message, Attempts: 1}, p.state.Failure)
	require.Equal(t, storage.RunError, p.runs[0].Status)
}

func TestState_SurvivesStorage(t *testing.T) {
	t.Parallel()
	p := play(t, retrying, `{"k":[1,2]}`)
	p.fail(p.take(), RunError{Code: "worker_error", Message: "boom"})

	text, err := p.state.JSON()
	require.NoError(t, err)
	back, err := Load(storage.Task{ID: "task-1", Status: p.state.Status, Shared: p.state.Shared, State: text})
	require.NoError(t, err)
	require.Equal(t, []int{1}, back.ActiveRuns())
	require.NoError(t, back.Attach(p.runs))
	require.Equal(t, p.state, back)
	require.Error(t, back.Attach(nil), "a run that is missing is not papered over")

	p.state = back
	p.wait(time.Second)
	require.Equal(t, []Execution{p.take()}, p.program.Resume(p.state), "whoever takes the task over repeats the same execution")
}

func TestLoad_RefusesAnotherFormat(t *testing.T) {
	t.Parallel()
	_, err := Load(storage.Task{ID: "task-1", State: json.RawMessage(`{"v":2}`)})
	require.ErrorContains(t, err, "format 2")
}

func TestEvent_SurvivesTheLog(t *testing.T) {
	t.Parallel()
	p := play(t, retrying, `{}`)
	p.fail(p.take(), RunError{Code: "worker_error", Message: "boom"})
	p.apply(Event{Kind: storage.EventSignal, Signal: &Signal{Key: "k", Value: json.RawMessage(`12345678901234567890`)}})
	p.wait(time.Second)
	p.apply(Event{Kind: storage.EventCancel})

	replayed := NewState()
	for i, e := range p.events {
		data, err := e.Data()
		require.NoError(t, err)
		back, err := ReadEvent(storage.TaskEvent{TaskID: "task-1", Seq: int64(i + 1), Kind: e.Kind, Data: data, At: e.At})
		require.NoError(t, err)
		replayed, _ = p.program.Step(replayed, back)
	}
	require.Equal(t, p.state, replayed)
}

func TestRunID_IsAUUIDv7OfTheStart(t *testing.T) {
	t.Parallel()
	at := address{path: "a", visit: 1, attempt: 1}
	id := runID("task-1", at, epoch)
	require.Regexp(t, `^run-[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, id)
	require.Equal(t, id, runID("task-1", at, epoch))
	require.NotEqual(t, id, runID("task-2", at, epoch))
	require.Less(t, id, runID("task-1", at, epoch.Add(time.Millisecond)))
}

func TestTimeout_OfZeroOrNothingIsTheDefault(t *testing.T) {
	t.Parallel()
	for _, timeout := range []string{`0`, `null`, `"$params.none"`} {
		p := play(t, replace(`{"start":"a","nodes":{"a":{"kind":"executor","service":"s","timeout_ms":%T%}}}`, "%T%", timeout), `{}`)
		require.Equal(t, 30*time.Second, p.take().Timeout, timeout)
	}
}

func TestStep_MakesALongChainInSeveralSteps(t *testing.T) {
	t.Parallel()
	p := play(t, `{"start":"a","max_steps":250,"nodes":{"a":{"kind":"choice","choice_cases":[{"action":"again","expr":{"eq":[1,1]}}]}},
		"edges":[{"from":"a","action":"again","to":"a"}]}`, `{}`)
	require.Len(t, p.runs, visitsPerStep)
	require.Equal(t, storage.TaskRunning, p.state.Status)
	require.Equal(t, p.now, p.state.NextDue(), "the next step is due at once")
	require.Empty(t, p.program.Resume(p.state))
	require.Empty(t, p.state.ActiveRuns())
	text, err := p.state.JSON()
	require.NoError(t, err)
	p.state, err = Load(storage.Task{Status: p.state.Status, Shared: p.state.Shared, State: text})
	require.NoError(t, err)
	p.wait(0)
	require.Len(t, p.runs, 2*visitsPerStep)
	p.wait(0)
	require.Equal(t, CodeMaxSteps, p.state.Failure.Code)
	require.Len(t, p.runs, 250)
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

func TestSignal_ThatIsTooMuchFailsTheTask(t *testing.T) {
	t.Parallel()
	p := play(t, branching, `{}`)
	p.apply(Event{Kind: storage.EventSignal, Signal: &Signal{Key: "k", Value: json.RawMessage(`"` + strings.Repeat("x", 1<<20) + `"`)}})
	require.Equal(t, CodeTooLarge, p.state.Failure.Code)
	require.Equal(t, storage.RunCanceled, p.runs[0].Status)
}

func TestTimer_FiresWhenItIsDueAndNeverBefore(t *testing.T) {
	t.Parallel()
	for name, setting := range map[string]string{
		"delay":              `"delay_ms":1500`,
		"delay in params":    `"params":{"delay_ms":1500}`,
		"delay by reference": `"delay_ms":"$params.wait"`,
		"until text":         `"until":"` + epoch.Add(1500*time.Millisecond).Format(time.RFC3339Nano) + `"`,
		"until reference":    `"until":"$params.until"`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := play(t, replace(`{"start":"t","nodes":{"t":{"kind":"timer",%S%,"post":{"action_static":"go"}},"a":{"kind":"executor","service":"s"}},
				"edges":[{"from":"t","action":"go","to":"a"}]}`, "%S%", setting),
				replace(`{"wait":1500,"until":%U%}`, "%U%", strconv.FormatInt(epoch.Add(1500*time.Millisecond).UnixMilli(), 10)))
			require.Equal(t, storage.TaskWaiting, p.state.Status)
			require.Equal(t, storage.RunRunning, p.runs[0].Status)
			require.Equal(t, epoch.Add(1500*time.Millisecond), p.state.NextDue())
			p.wait(1499 * time.Millisecond)
			require.Equal(t, storage.TaskWaiting, p.state.Status)
			p.wait(time.Millisecond)
			require.Equal(t, "a", p.take().Path)
			require.Equal(t, storage.RunOK, p.runs[0].Status)
			require.Equal(t, "go", p.runs[0].Action)
			p.wait(time.Hour)
			require.Len(t, p.runs, 2, "it fires once")
		})
	}
}

func TestTimer_ThatIsPastFiresAtOnce(t *testing.T) {
	t.Parallel()
	p := play(t, `{"start":"t","nodes":{"t":{"kind":"timer","until":"2020-01-01T00:00:00Z"},"a":{"kind":"executor","service":"s"}},"edges":[{"from":"t","to":"a"}]}`, `{}`)
	require.Equal(t, "a", p.take().Path)
	require.Equal(t, p.now, p.runs[0].FinishedAt)
}

func TestTimer_OfAnUnfitTimeFailsTheNode(t *testing.T) {
	t.Parallel()
	for _, params := range []string{`{"until":"soon"}`, `{}`} {
		p := play(t, `{"start":"t","nodes":{"t":{"kind":"timer","until":"$params.until"}}}`, params)
		require.Equal(t, storage.TaskFailed, p.state.Status)
		require.Equal(t, CodeBadSetting, p.state.Failure.Code)
		require.Equal(t, storage.RunError, p.runs[0].Status)
	}
}

func TestTimer_IsCanceledWithItsTask(t *testing.T) {
	t.Parallel()
	p := play(t, `{"start":"t","nodes":{"t":{"kind":"timer","delay_ms":1000}}}`, `{}`)
	p.apply(Event{Kind: storage.EventCancel})
	require.Equal(t, storage.TaskCanceled, p.state.Status)
	require.Equal(t, storage.RunCanceled, p.runs[0].Status)
	require.Empty(t, p.aborted, "nobody executes it")
}

func (p *player) signal(key, value string) {
	p.t.Helper()
	p.apply(Event{Kind: storage.EventSignal, Signal: &Signal{Key: key, Value: json.RawMessage(value)}})
}

// waiting is a loop: wait for go, then execute, and again until the answer says
// stop.
const waiting = `{"start":"w","nodes":{
	"w":{"kind":"wait_event","signal_key":"go","post":{"output_key":"got","action_key":"signal.way"}%MORE%},
	"a":{"kind":"executor","service":"s","post":{"action_key":"then"}},
	"late":{"kind":"executor","service":"late"},
	"left":{"kind":"executor","service":"left"}},
	"edges":[{"from":"w","action":"left","to":"left"},{"from":"w","to":"a"},{"from":"a","action":"again","to":"w"},{"from":"a","to":""}%EDGE%]}`

func TestWait_PassesBySignalOncePerVisit(t *testing.T) {
	t.Parallel()
	p := play(t, replace(waiting, "%MORE%", "", "%EDGE%", ""), `{}`)
	require.Equal(t, storage.TaskWaiting, p.state.Status)
	require.True(t, p.state.NextDue().IsZero(), "without a time-out it waits as long as it takes")
	p.signal("other", `1`)
	require.Equal(t, "w", p.state.CurrentNode())

	p.signal("go", `false`)
	require.JSONEq(t, `{"other":1,"go":false,"got":false}`, string(p.state.Shared), "any value passes")
	p.answer(p.take(), `{"then":"again"}`)
	require.Equal(t, storage.TaskWaiting, p.state.Status, "the next visit waits for a new signal")
	require.Equal(t, 2, p.runs[2].Visit)

	p.signal("go", `{"way":"left"}`)
	require.Equal(t, "left", p.take().Path, "the action is looked up in the signal")
	require.Equal(t, "left", p.runs[2].Action)
}

func TestWait_PassesBySignalsThatCameBefore(t *testing.T) {
	t.Parallel()
	p := load(t, replace(waiting, "%MORE%", "", "%EDGE%", ""), `{}`)
	p.signal("go", `1`)
	p.signal("go", `2`)
	p.apply(Event{Kind: storage.EventStarted})
	require.Contains(t, string(p.state.Shared), `"got":1`, "the oldest first")
	p.answer(p.take(), `{"then":"again"}`)
	require.Contains(t, string(p.state.Shared), `"got":2`)
	p.answer(p.take(), `{"then":"again"}`)
	require.Equal(t, storage.TaskWaiting, p.state.Status)
	require.Nil(t, p.state.Signals.Kept)
}

func TestWait_PassesByAValueThatIsThere(t *testing.T) {
	t.Parallel()
	const flowOf = `{"start":"a","nodes":{"a":{"kind":"executor","service":"s","post":{"output_key":"flag"}},"w":{"kind":"wait_event","signal_key":"$shared.flag"}},
		"edges":[{"from":"a","to":"w"},{"from":"w","to":"a"}]}`
	for value, passes := range map[string]bool{`true`: true, `"x"`: true, `0`: true, `{}`: true, `false`: false, `null`: false, `""`: false} {
		p := play(t, flowOf, `{}`)
		p.answer(p.take(), value)
		require.Equal(t, passes, p.state.Status == storage.TaskRunning, value)
		if passes {
			p.answer(p.take(), value)
			require.Equal(t, storage.TaskRunning, p.state.Status, "a value that a node wrote lets every visit pass")
		}
	}
}

func TestWait_TimesOut(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, more, edge, path string
	}{
		{name: "along the timeout edge", edge: `,{"from":"w","action":"timeout","to":"late"}`, path: "late"},
		{name: "along the action of its own", more: `,"post":{"action_static":"left"}`, path: "left"},
		{name: "and fails"},
		{name: "and goes on with null", more: `,"failure_strategy":"continue"`, path: "a"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			definition := replace(waiting, "%MORE%", `,"timeout_ms":1000`+c.more, "%EDGE%", c.edge)
			if strings.Contains(c.more, "post") {
				definition = replace(definition, `,"post":{"output_key":"got","action_key":"signal.way"}`, "")
			}
			p := play(t, definition, `{}`)
			p.wait(999 * time.Millisecond)
			require.Equal(t, storage.TaskWaiting, p.state.Status)
			p.wait(time.Millisecond)
			if c.path == "" {
				require.Equal(t, storage.TaskFailed, p.state.Status)
				require.Equal(t, CodeTimeout, p.state.Failure.Code)
				require.Equal(t, storage.RunTimeout, p.runs[0].Status)
				return
			}
			require.Equal(t, c.path, p.take().Path)
		})
	}
}

func TestWait_StartsAgainUnderRetry(t *testing.T) {
	t.Parallel()
	p := play(t, replace(waiting, "%MORE%", `,"timeout_ms":1000,"failure_strategy":"retry","max_retries":1`, "%EDGE%", ""), `{}`)
	p.wait(time.Second)
	require.Equal(t, storage.TaskWaiting, p.state.Status)
	require.Equal(t, []storage.RunStatus{storage.RunTimeout, storage.RunRunning}, []storage.RunStatus{p.runs[0].Status, p.runs[1].Status})
	require.Equal(t, 2, p.runs[1].Attempt)
	p.wait(time.Second)
	require.Equal(t, storage.TaskFailed, p.state.Status)
	require.Equal(t, 2, p.state.Failure.Attempts)
}

func TestWait_SurvivesStorage(t *testing.T) {
	t.Parallel()
	p := play(t, replace(waiting, "%MORE%", "", "%EDGE%", ""), `{}`)
	p.signal("go", `1`)
	p.signal("go", `2`)
	text, err := p.state.JSON()
	require.NoError(t, err)
	back, err := Load(storage.Task{ID: "task-1", Status: p.state.Status, Shared: p.state.Shared, State: text})
	require.NoError(t, err)
	require.NoError(t, back.Attach(p.runs))
	require.Equal(t, p.state, back)
}

func TestWait_ForPlacesInsideAValue(t *testing.T) {
	t.Parallel()
	const flowOf = `{"start":"paid","nodes":{
		"paid":{"kind":"wait_event","signal_key":"$shared.order.paid","post":{"output_key":"p"}},
		"shipped":{"kind":"wait_event","signal_key":"$shared.order.shipped","post":{"output_key":"s"}},
		"end":{"kind":"executor","service":"s"}},
		"edges":[{"from":"paid","to":"shipped"},{"from":"shipped","to":"end"}]}`

	p := play(t, flowOf, `{}`)
	p.signal("order", `{"status":"created"}`)
	require.Equal(t, "paid", p.state.CurrentNode(), "the signal left nothing there")
	p.signal("order", `{"paid":7}`)
	require.Equal(t, "shipped", p.state.CurrentNode())
	require.Contains(t, string(p.state.Shared), `"p":7`, "the value is the one at the place")
	p.signal("order", `{"paid":7,"shipped":8}`)
	require.Contains(t, string(p.state.Shared), `"s":8`)
	require.Equal(t, "end", p.take().Path)

	p = load(t, flowOf, `{}`)
	p.signal("order", `{"status":"created"}`)
	p.signal("order", `{"paid":7}`)
	p.apply(Event{Kind: storage.EventStarted})
	require.Equal(t, "shipped", p.state.CurrentNode(), "one that came before counts as well, if it left something")

	p = play(t, replace(flowOf, `"start":"paid"`, `"start":"make"`, `"nodes":{`, `"nodes":{"make":{"kind":"executor","service":"s","post":{"output_key":"order"}},`,
		`"edges":[`, `"edges":[{"from":"make","to":"paid"},`), `{}`)
	p.answer(p.take(), `{"paid":true,"shipped":true}`)
	require.Equal(t, "end", p.take().Path, "what a node wrote lets both pass")
}

func TestWait_IsNotPassedByWhatItsOwnPostMadeOfASignal(t *testing.T) {
	t.Parallel()
	p := play(t, `{"start":"w","nodes":{"w":{"kind":"wait_event","signal_key":"order","post":{"output_map":{"order":"id"}}}},"edges":[{"from":"w","to":"w"}]}`, `{}`)
	p.signal("order", `{"id":5}`)
	require.JSONEq(t, `{"order":5}`, string(p.state.Shared))
	require.Equal(t, storage.TaskWaiting, p.state.Status)
	require.Len(t, p.runs, 2)
}

func TestWait_BoundsWhatIsKept(t *testing.T) {
	t.Parallel()
	p := load(t, replace(waiting, "%MORE%", "", "%EDGE%", ""), `{}`)
	for range 5 {
		p.signal("go", `"`+strings.Repeat("x", 300<<10)+`"`)
	}
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
