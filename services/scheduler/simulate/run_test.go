package simulate

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

const twoSteps = `
start: a
nodes:
  a: {kind: executor, service: s, prep: {input_key: $params.n}, post: {output_key: a, action_key: way}, max_retries: 2, wait_ms: 100}
  b: {kind: executor, service: t, params: {by: 2}, prep: {input_key: a.n}, post: {output_key: b}}
edges:
  - {from: a, action: on, to: b}
  - {from: a, action: error, to: b}
`

func TestRun_TellsEveryStep(t *testing.T) {
	t.Parallel()
	trace := simulated(t, twoSteps, `
params: {n: 7}
answers:
  a:
    - {error: {code: busy, message: not now}, after_ms: 20}
    - {result: {way: on, n: $input}, after_ms: 30}
  b: {result: [$input, $params.by]}
`)
	again := ms(120)
	a := Step{Path: "a", Visit: 1, Attempt: 1, Kind: flow.KindExecutor}
	began := func(step Step, at Offset) Step {
		step.At, step.What, step.ExecType, step.Target = at, Began, flow.ExecHTTP, "s"
		step.Input, step.Params = raw(`7`), raw(`{"n":7}`)
		return step
	}
	failed := a
	failed.At, failed.What, failed.Status, failed.Code, failed.Message = ms(20), Ended, storage.RunError, "busy", "not now"
	failed.Then, failed.AgainAt = ThenAgain, &again
	second := a
	second.Attempt = 2
	ok := second
	ok.At, ok.What, ok.Status, ok.Result, ok.Action = ms(150), Ended, storage.RunOK, raw(`{"way":"on","n":7}`), "on"
	ok.Then, ok.To = ThenGoes, "b"
	b := Step{
		At: ms(150), What: Began, Path: "b", Visit: 1, Attempt: 1, Kind: flow.KindExecutor,
		ExecType: flow.ExecHTTP, Target: "t", Input: raw(`7`), Params: raw(`{"n":7,"by":2}`),
	}
	end := Step{
		At: ms(150), What: Ended, Path: "b", Visit: 1, Attempt: 1, Kind: flow.KindExecutor,
		Status: storage.RunOK, Result: raw(`[7,2]`), Then: ThenEnds,
	}
	require.Equal(t, []Step{began(a, 0), failed, began(second, ms(120)), ok, b, end}, trace.Steps)
	require.Equal(t, storage.TaskCompleted, trace.Status)
	require.Equal(t, ms(150), trace.Took)
	require.JSONEq(t, `{"a":{"way":"on","n":7},"b":[7,2]}`, string(trace.Shared))
	require.Equal(t, []string{"a", "a", "b"}, trace.Path())
	require.Nil(t, trace.Stopped)
	require.Empty(t, trace.Unused)
}

func TestRun_SameScriptSameTrace(t *testing.T) {
	t.Parallel()
	run := func() string {
		trace := simulated(t, everything, everythingScript)
		require.Nil(t, trace.Stopped)
		text, err := json.Marshal([]any{trace, trace.Runs, trace.Events})
		require.NoError(t, err)
		return string(text)
	}
	first := run()
	require.Equal(t, first, run())
}

func TestRun_EventsReplayToTheSameEnd(t *testing.T) {
	t.Parallel()
	def := defined(t, everything)
	trace, err := Run(t.Context(), Config{Definition: def, Script: read(t, everythingScript)})
	require.NoError(t, err)
	plan, err := flow.Compile(def)
	require.NoError(t, err)
	program := engine.Program{Plan: plan, TaskID: taskID, Params: trace.Params, Limits: Limits{}.engine()}
	state := engine.NewState()
	var runs []storage.NodeRun
	for i, logged := range trace.Events {
		require.EqualValues(t, i+1, logged.Seq)
		event, err := engine.ReadEvent(logged)
		require.NoError(t, err)
		var effects engine.Effects
		state, effects = program.Step(state, event)
		runs = append(runs, effects.Started...)
		for _, finish := range effects.Finished {
			finish.Close(&runs[finish.No-1])
		}
	}
	require.Equal(t, trace.Status, state.Status)
	require.Equal(t, trace.Shared, state.Shared)
	require.Equal(t, trace.Runs, runs)
}

func TestRun_StopsAtAnExecutionWithoutAnswer(t *testing.T) {
	t.Parallel()
	trace := simulated(t, twoSteps, "params: {n: 1}\nanswers: {a: {result: {way: on}, times: 1}, x: {result: 1}}")
	require.Equal(t, &Stopped{
		Reason: NoAnswer, Node: "b", Message: "the script has no answer for b (http t, input null)",
		Unanswered: []Call{{
			Path: "b", Visit: 1, Attempt: 1, ExecType: flow.ExecHTTP, Target: "t", Input: raw(`null`), Params: raw(`{"n":1,"by":2}`),
		}},
	}, trace.Stopped)
	require.Equal(t, storage.TaskRunning, trace.Status)
	require.Equal(t, []string{"answers.x: nothing asked for it"}, trace.Unused)
}

func TestRun_AsksTheWorkerForWhatTheScriptDoesNotAnswer(t *testing.T) {
	t.Parallel()
	var calls []Call
	trace, err := Run(t.Context(), Config{
		Definition: defined(t, twoSteps), Params: raw(`{"n": 5}`), Script: read(t, "params: {n: 1}\nanswers: {a: {result: {way: on}}}"),
		Worker: func(call Call) (Answer, bool) {
			calls = append(calls, call)
			return Answer{Result: raw(`"$input is data"`)}, true
		},
	})
	require.NoError(t, err)
	require.Len(t, calls, 1)
	require.Equal(t, "b", calls[0].Path)
	require.JSONEq(t, `{"a": {"way": "on"}, "b": "$input is data"}`, string(trace.Shared))
	require.JSONEq(t, `{"n": 5}`, string(trace.Params), "the caller's go before the script's")
}

const paid = `
start: paid
nodes:
  paid: {kind: wait_event, signal_key: payment, post: {output_key: got}}
  ship: {kind: executor, service: ship}
edges: [{from: paid, to: ship}]
`

func TestRun_StopsAtASignalThatNeverComes(t *testing.T) {
	t.Parallel()
	trace := simulated(t, paid, "signals: [{when: ship, key: payment, value: 1}]")
	require.Equal(t, &Stopped{
		Reason: NoSignal, Node: "paid", Signal: "payment", Message: `paid waits for the signal "payment", which the script does not send`,
	}, trace.Stopped)
	require.Equal(t, storage.TaskWaiting, trace.Status)
	require.Equal(t, []string{"signals[0], payment when ship begins: never sent"}, trace.Unused)
}

func TestRun_SendsSignalsAtTheirMoment(t *testing.T) {
	t.Parallel()
	trace := simulated(t, paid, `
signals: [{when: paid, after_ms: 60000, key: payment, value: {amount: 12.50}}]
answers: {ship: {result: true, after_ms: 5}}
`)
	require.Equal(t, storage.TaskCompleted, trace.Status)
	require.Equal(t, ms(60005), trace.Took)
	require.JSONEq(t, `{"payment": {"amount": 12.50}, "got": {"amount": 12.50}}`, string(trace.Shared))
	require.Equal(t, "payment", trace.find(Began, "paid")[0].WaitsFor)

	early := simulated(t, paid, "signals: [{at_ms: 0, key: payment, value: 1}]\nanswers: {ship: {}}")
	require.Equal(t, ms(0), early.Took)
}

// A loop that waits twice: each signal of its own lets one visit pass.
func TestRun_WhenCountsForEachVisit(t *testing.T) {
	t.Parallel()
	trace := simulated(t, `
start: w
nodes:
  w: {kind: wait_event, signal_key: go, post: {output_key: last}}
  c: {kind: choice, choice_cases: [{action: again, expr: {lt: [$shared.last, 3]}}], default_action: done}
edges: [{from: w, to: c}, {from: c, action: again, to: w}, {from: c, action: done, to: ""}]
`, `
signals:
  - {when: w, key: go, value: 1}
  - {when: w, key: unheard, value: 0}
  - {when: w, after_ms: 10, key: go, value: 2}
  - {when: w, after_ms: 30, key: go, value: 3}
`)
	require.Equal(t, storage.TaskCompleted, trace.Status)
	require.Equal(t, []string{"w", "c", "w", "c", "w", "c"}, trace.Path())
	require.Equal(t, ms(40), trace.Took)
	require.JSONEq(t, `{"go": 3, "last": 3, "unheard": 0}`, string(trace.Shared))
	require.Equal(t, 3, trace.find(Ended, "w")[2].Visit)
}

func TestRun_CancelsAtItsMoment(t *testing.T) {
	t.Parallel()
	trace := simulated(t, twoSteps, "answers: {a: {result: {way: on}}, b: {result: 1, after_ms: 100}}\ncancel: {when: b, after_ms: 40}")
	require.Equal(t, storage.TaskCanceled, trace.Status)
	require.Equal(t, ms(40), trace.Took)
	require.Equal(t, storage.RunCanceled, trace.Runs[1].Status)
	require.Empty(t, trace.find(Ended, "b")[0].Then)

	same := simulated(t, twoSteps, "answers: {a: {result: {way: on}}}\ncancel: {when: a}")
	require.Equal(t, storage.TaskCanceled, same.Status, "what comes from outside comes before an end in the same instant")
	unused := simulated(t, twoSteps, "answers: {a: {result: {way: on}}, b: {}}\ncancel: {at_ms: 1}")
	require.Equal(t, []string{"cancel at 1ms: never sent"}, unused.Unused)
}

func TestRun_KeepsTheAttemptsTime(t *testing.T) {
	t.Parallel()
	def := `
start: a
nodes: {a: {kind: executor, exec_type: %TYPE%, timeout_ms: 50, max_retries: 1}, b: {kind: executor, exec_type: local_func, func: echo}}
edges: [{from: a, action: timeout, to: b}]
`
	for name, exec := range map[string]string{
		"push": "http, service: s", "queue": "queue, service: s", "func": "local_func, func: echo",
		"script": "local_script, script: {cmd: /bin/true, timeout_ms: 50}, params: {}",
	} {
		trace := simulated(t, replace(def, exec), "answers: {a: [{result: 1, after_ms: 51}, {result: 2, after_ms: 60000}]}")
		require.Equal(t, storage.TaskCompleted, trace.Status, name)
		require.Equal(t, []string{"a", "a", "b"}, trace.Path(), name)
		require.Equal(t, ms(100), trace.Took, name)
		require.Equal(t, ThenGoes, trace.find(Ended, "a")[1].Then, name)
		in := simulated(t, replace(def, exec), "answers: {a: {result: 1, after_ms: 50}}")
		require.Equal(t, []string{"a"}, in.Path(), name)
	}
}

func TestRun_KeepsAJobBackForItsDelay(t *testing.T) {
	t.Parallel()
	def := `
start: a
nodes: {a: {kind: executor, exec_type: %TYPE%, service: s, params: {delay_ms: 60000}, timeout_ms: 90000}}
`
	soon := "answers: {a: {result: 1, after_ms: 30000}}"
	require.Equal(t, ms(90_000), simulated(t, replace(def, "queue"), soon).Took)
	require.Equal(t, ms(30_000), simulated(t, replace(def, "http"), soon).Took)
	late := simulated(t, replace(def, "queue"), "answers: {a: {result: 1, after_ms: 30001}}")
	require.Equal(t, "timeout", late.Error.Code, "the delay is part of the attempt's time")
}

func TestRun_CallsLocalFunctionsUnlessTheyAreAnswered(t *testing.T) {
	t.Parallel()
	def := `
start: a
nodes: {a: {kind: executor, exec_type: local_func, func: mul, prep: {input_key: $params.n}, post: {output_key: n}, max_retries: 2}}
`
	require.JSONEq(t, `{"n": 6}`, string(simulated(t, def, "params: {n: [2, 3]}").Shared))
	trace := simulated(t, def, "params: {n: [2, 3]}\nanswers: {a: {error: once, times: 1}}")
	require.JSONEq(t, `{"n": 6}`, string(trace.Shared))
	require.Len(t, trace.Runs, 2)
	require.Equal(t, "worker_error", trace.Runs[0].ErrorCode)
	final := simulated(t, def, "answers: {a: {error: never, retryable: false}}")
	require.Equal(t, &Failure{Node: "a", Code: "worker_error", Message: "never", Attempts: 1}, final.Error)
	require.Equal(t, ThenFails, final.Steps[len(final.Steps)-1].Then)
	unknown := simulated(t, replaceAll(def, "mul", "nope"), "")
	require.Equal(t, "unknown_func", unknown.Error.Code)
}

func TestRun_RefusesWhatCannotBeSimulated(t *testing.T) {
	t.Parallel()
	def := defined(t, twoSteps)
	_, err := Run(t.Context(), Config{Definition: def, Params: raw(`[1]`)})
	require.Equal(t, errs.InvalidArgument, errs.CodeOf(err))
	_, err = Run(t.Context(), Config{})
	require.Equal(t, errs.InvalidArgument, errs.CodeOf(err))
	_, err = Run(t.Context(), Config{Definition: def, Script: &Script{Signals: []Signal{{}}, Answers: map[string][]Answer{"a": {{After: -1}}}}})
	var faulty *errs.Error
	require.ErrorAs(t, err, &faulty)
	require.Len(t, faulty.Faults, 2)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Run(ctx, Config{Definition: def, Script: read(t, "answers: {a: {}}")})
	require.ErrorIs(t, err, context.Canceled)
}

func TestRun_StopsWhereTimeHasNoForm(t *testing.T) {
	t.Parallel()
	trace := simulated(t, `
start: t
nodes: {t: {kind: timer, delay_ms: 9223372036854}}
edges: [{from: t, to: t}]
`, "start_at: 9900-01-01T00:00:00Z")
	require.Equal(t, TooLate, trace.Stopped.Reason)
	require.Less(t, time.Duration(trace.Took), 100*366*24*time.Hour)
}

func TestRun_LoopEndsAtItsBound(t *testing.T) {
	t.Parallel()
	trace := simulated(t, "start: c\nmax_steps: 500\nnodes: {c: {kind: choice, default_action: on}}\nedges: [{from: c, to: c}]", "")
	require.Equal(t, "max_steps", trace.Error.Code)
	require.Len(t, trace.Runs, 500)
}
