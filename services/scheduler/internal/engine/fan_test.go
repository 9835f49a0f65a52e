package engine

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// one makes a flow of one node, whose result ends up under "out".
func one(node string) string {
	return `{"start":"n","nodes":{"n":` + strings.Replace(node, "{", `{"post":{"output_key":"out"},`, 1) + `}}`
}

func (p *player) failWith(path, code string) {
	p.t.Helper()
	p.fail(p.find(path), RunError{Code: code, Message: path + " went wrong"})
}

func TestParallel_RunsBranchesOneAfterTheOther(t *testing.T) {
	t.Parallel()
	p := play(t, one(`{"kind":"parallel","parallel_services":["a","b","a"]}`), `{"k":1}`)
	for i, service := range []string{"a", "b", "a"} {
		x := p.take()
		require.Equal(t, fmt.Sprintf("n/%d", i), x.Path)
		require.Equal(t, service, x.Exec.Service)
		require.Equal(t, `{"k":1}`, string(x.Params))
		p.answer(x, fmt.Sprint(i))
	}
	require.Equal(t, storage.TaskCompleted, p.state.Status)
	require.Equal(t, `{"out":[0,1,2]}`, string(p.state.Shared))
	require.Len(t, p.runs, 4)
	node, branch := p.run("n"), p.run("n/1")
	require.Equal(t, `[0,1,2]`, string(node.Output))
	require.Empty(t, node.BranchID+node.SubStatus)
	require.Equal(t, []string{"n", "1", "branch_complete", `{}`}, []string{branch.NodeKey, branch.BranchID, branch.SubStatus, string(branch.Params)})
}

func TestParallel_KeepsTheOrderOfBranchesWhateverTheOrderOfResults(t *testing.T) {
	t.Parallel()
	p := play(t, one(`{"kind":"parallel","parallel_mode":"concurrent","parallel_services":["a","b","c"]}`), `{}`)
	require.Equal(t, []string{"n/0", "n/1", "n/2"}, p.paths())
	first := p.find("n/0")
	p.answer(p.find("n/2"), `"c"`)
	p.answer(first, `"a"`)
	p.answer(first, `"repeated"`)
	require.Equal(t, storage.TaskRunning, p.state.Status)
	p.answer(p.find("n/1"), `"b"`)
	require.Equal(t, `{"out":["a","b","c"]}`, string(p.state.Shared))
}

func TestParallel_SlidesItsWindow(t *testing.T) {
	t.Parallel()
	p := play(t, one(`{"kind":"parallel","parallel_mode":"concurrent","max_parallel":2,"parallel_services":["a","b","c","d"]}`), `{}`)
	require.Equal(t, []string{"n/0", "n/1"}, p.paths())
	p.answer(p.find("n/1"), `1`)
	require.Equal(t, []string{"n/0", "n/2"}, p.paths())
	p.answer(p.find("n/2"), `1`)
	require.Equal(t, []string{"n/0", "n/3"}, p.paths())
}

func TestParallel_NeverOpensMoreThanTheOperatorAllows(t *testing.T) {
	t.Parallel()
	services := `["s"` + strings.Repeat(`,"s"`, 149) + `]`
	for _, bound := range []string{"", `"max_parallel":1000,`} {
		p := play(t, one(`{"kind":"parallel",`+bound+`"parallel_mode":"concurrent","parallel_services":`+services+`}`), `{}`)
		require.Len(t, p.pending, testLimits.MaxParallel)
	}
}

func TestParallel_TakesServicesFromParamsAndStaysWithThem(t *testing.T) {
	t.Parallel()
	for name, node := range map[string]string{
		"params":  `{"kind":"parallel","params":{"services":"$params.list"}}`,
		"literal": `{"kind":"parallel","params":{"services":["x","y"]}}`,
		"own":     `{"kind":"parallel","services":"$params.list"}`,
	} {
		p := play(t, one(node), `{"list":["x","y"]}`)
		p.answer(p.take(), `1`)
		require.Equal(t, "y", p.take().Exec.Service, name)
	}
	p := load(t, one(`{"kind":"parallel","services":"$shared.list"}`), `{}`)
	p.signal("list", `["x","y"]`)
	p.apply(Event{Kind: storage.EventStarted})
	p.signal("list", `["other"]`)
	p.answer(p.take(), `1`)
	require.Equal(t, "y", p.take().Exec.Service, "what they were when the node started holds")

	p = play(t, one(`{"kind":"parallel","services":"$params.list"}`), `{"list":"x"}`)
	require.Equal(t, CodeBadSetting, p.state.Failure.Code)
}

func TestParallel_BranchesHaveTheirOwnExecPrepParamsAndPost(t *testing.T) {
	t.Parallel()
	p := play(t, `{"start":"n","nodes":{"n":{"kind":"parallel","parallel_mode":"concurrent","service":"base","prep":{"input_map":{"v":7}},"params":{"p":1},
		"parallel_execs":[
			{"params":{"q":2},"post":{"output_key":"first"}},
			{"exec_type":"queue","service":"own","prep":{"input_key":"$input.v"},"post":{"output_map":{"second":"x","from":"$input"}}},
			{"exec_type":"local_func","func":"echo","params":{"p":"$params.p2"}}]}}}`, `{"p2":9}`)
	a, b, c := p.find("n/0"), p.find("n/1"), p.find("n/2")
	require.Equal(t, []string{"base", `{"v":7}`, `{"p2":9,"p":1,"q":2}`}, []string{a.Exec.Service, string(a.Input), string(a.Params)})
	require.Equal(t, []string{"own", `7`, `{"p2":9,"p":1}`}, []string{b.Exec.Service, string(b.Input), string(b.Params)})
	require.Equal(t, []string{"echo", `{"p2":9,"p":9}`}, []string{c.Exec.Func, string(c.Params)})
	require.Equal(t, storage.RunQueued, p.run("n/1").Status)
	require.Equal(t, `{"p":1,"q":2}`, string(p.run("n/0").Params), "a branch's row has what is its own")

	p.answer(a, `"A"`)
	p.answer(c, `"C"`)
	require.Equal(t, storage.TaskWaitingQueue, p.state.Status, "only a pull worker is awaited")
	p.answer(b, `{"x":"B"}`)
	require.Equal(t, `{"first":"A","from":7,"second":"B"}`, string(p.state.Shared))
	require.Equal(t, `["A",{"x":"B"},"C"]`, string(p.run("n").Output))
}

func TestParallel_PicksItsActionInTheResults(t *testing.T) {
	t.Parallel()
	p := play(t, `{"start":"n","nodes":{"n":{"kind":"parallel","parallel_services":["a"],"post":{"action_key":"result[0].go"}},"x":{"kind":"executor","service":"x"}},
		"edges":[{"from":"n","action":"right","to":"x"}]}`, `{}`)
	p.answer(p.take(), `{"go":"right"}`)
	require.Equal(t, "x", p.take().Path)
}

const strategies = `{"start":"n","nodes":{"n":{"kind":"parallel","parallel_mode":"concurrent","parallel_services":["a","b","c"],"post":{"output_key":"out"}%MORE%},
	"caught":{"kind":"executor","service":"caught"}},"edges":[{"from":"n","action":"error","to":"caught"}]}`

func TestStrategy_CollectErrorsRunsAllAndListsEach(t *testing.T) {
	t.Parallel()
	for _, strategy := range []string{"", `,"failure_strategy":"collect_errors"`} {
		p := play(t, replace(strategies, "%MORE%", strategy), `{}`)
		p.failWith("n/2", "broken")
		p.failWith("n/0", "worker_error")
		require.Equal(t, storage.TaskRunning, p.state.Status)
		p.answer(p.find("n/1"), `1`)
		require.Equal(t, "caught", p.take().Path)
		require.JSONEq(t, `{"error":{"node":"n","code":"branches_failed","attempts":1,
			"message":"2 of 3 branches failed: 0: n/0 went wrong; 2: n/2 went wrong",
			"branches":[{"index":0,"code":"worker_error","message":"n/0 went wrong","attempts":1},{"index":2,"code":"broken","message":"n/2 went wrong","attempts":1}]}}`,
			string(p.state.Shared))
		require.Equal(t, storage.RunError, p.run("n").Status)
	}
}

func TestStrategy_FailuresOfOneKindKeepTheirCode(t *testing.T) {
	t.Parallel()
	p := play(t, replace(strategies, `"action":"error"`, `"action":"timeout"`, "%MORE%", ""), `{}`)
	p.failWith("n/0", CodeTimeout)
	p.answer(p.find("n/1"), `1`)
	p.failWith("n/2", CodeTimeout)
	require.Equal(t, "caught", p.take().Path, "the cause is a time-out")
	require.Equal(t, storage.RunTimeout, p.run("n").Status)
}

func TestStrategy_FailFastCancelsTheRest(t *testing.T) {
	t.Parallel()
	p := play(t, replace(strategies, "%MORE%", `,"failure_strategy":"fail_fast","max_parallel":2`), `{}`)
	first := p.find("n/0")
	p.failWith("n/1", "worker_error")
	require.Equal(t, []Abort{{RunID: first.RunID}}, p.aborted)
	require.Equal(t, storage.RunCanceled, p.run("n/0").Status)
	require.Contains(t, string(p.state.Shared), `"code":"worker_error","message":"1 of 3 branches failed: 1: n/1 went wrong"`)
	require.Equal(t, "caught", p.take().Path, "the third branch never starts")
	p.answer(first, `"late"`)
	require.NotContains(t, string(p.state.Shared), "late")
}

func TestStrategy_IgnoreErrorsPutsNullInTheirPlace(t *testing.T) {
	t.Parallel()
	for _, strategy := range []string{"ignore_errors", "continue"} {
		p := play(t, replace(strategies, "%MORE%", `,"failure_strategy":"`+strategy+`"`), `{}`)
		p.failWith("n/1", "worker_error")
		p.answer(p.find("n/2"), `2`)
		p.answer(p.find("n/0"), `0`)
		require.Equal(t, storage.TaskCompleted, p.state.Status)
		require.Equal(t, `{"out":[0,null,2]}`, string(p.state.Shared))
		run := p.run("n")
		require.Equal(t, []string{"ok", "worker_error"}, []string{string(run.Status), run.ErrorCode}, "the errors are kept in the run")
	}
}

func TestStrategy_RetryRunsWhatFailedAgain(t *testing.T) {
	t.Parallel()
	p := play(t, replace(strategies, "%MORE%", `,"failure_strategy":"retry","max_retries":2,"wait_ms":1000`), `{}`)
	p.answer(p.find("n/0"), `0`)
	p.failWith("n/2", "worker_error")
	require.Equal(t, storage.TaskRunning, p.state.Status, "the round is not over")
	p.failWith("n/1", "worker_error")
	require.Equal(t, storage.TaskWaiting, p.state.Status)
	require.Equal(t, storage.WaitRetry, p.program.WaitsFor(p.state))
	require.Equal(t, storage.RunError, p.run("n").Status)

	p.wait(time.Second)
	require.Equal(t, []string{"n/1", "n/2"}, p.paths())
	again := p.find("n/1")
	require.Equal(t, 2, again.Attempt)
	p.answer(again, `1`)
	p.failWith("n/2", "worker_error")
	p.wait(time.Second)
	third := p.take()
	require.Equal(t, []any{"n/2", 3}, []any{third.Path, third.Attempt})
	p.answer(third, `2`)
	require.Equal(t, `{"out":[0,1,2]}`, string(p.state.Shared))
	require.Equal(t, 3, p.run("n").Attempt)
}

func TestStrategy_RetryIsBoundedAndHeedsFinalFailures(t *testing.T) {
	t.Parallel()
	p := play(t, replace(strategies, "%MORE%", `,"failure_strategy":"retry","max_retries":1`), `{}`)
	for range 2 {
		p.failWith("n/0", "worker_error")
		if len(p.pending) > 1 {
			p.answer(p.find("n/1"), `1`)
			p.answer(p.find("n/2"), `1`)
		}
	}
	require.Equal(t, "caught", p.take().Path)
	require.Contains(t, string(p.state.Shared), `"attempts":2`)

	p = play(t, replace(strategies, "%MORE%", `,"failure_strategy":"retry","max_retries":5`), `{}`)
	p.answer(p.find("n/1"), `1`)
	p.answer(p.find("n/2"), `1`)
	p.fail(p.find("n/0"), RunError{Code: "worker_error", Final: true})
	require.Equal(t, "caught", p.take().Path)
}

func TestBranch_HasItsOwnRetries(t *testing.T) {
	t.Parallel()
	p := play(t, one(`{"kind":"parallel","parallel_mode":"concurrent","max_parallel":2,"max_retries":1,"wait_ms":500,
		"parallel_execs":[{"service":"a"},{"service":"b","max_retries":0},{"service":"c"}]}`), `{}`)
	input := p.find("n/0")
	p.fail(input, RunError{Code: "worker_error"})
	require.Equal(t, []string{"n/1"}, p.paths(), "a branch that waits keeps its place")
	p.failWith("n/1", "worker_error")
	p.wait(500 * time.Millisecond)
	require.Equal(t, []string{"n/2", "n/0"}, p.paths())
	require.Equal(t, 2, p.find("n/0").Attempt)
	run := p.runs[1]
	require.Equal(t, []string{"n/0", "error", ""}, []string{run.Path, string(run.Status), run.SubStatus}, "it has not ended the branch")
}

func TestBranch_WaitsAsTheTaskDoes(t *testing.T) {
	t.Parallel()
	p := play(t, one(`{"kind":"parallel","parallel_services":["a"],"max_retries":1,"wait_ms":500}`), `{}`)
	p.fail(p.take(), RunError{Code: "worker_error"})
	require.Equal(t, storage.TaskWaiting, p.state.Status)
	require.Equal(t, epoch.Add(500*time.Millisecond), p.state.NextDue())
}

func TestBranch_OfAQueueTimesOut(t *testing.T) {
	t.Parallel()
	p := play(t, one(`{"kind":"parallel","parallel_mode":"concurrent","exec_type":"queue","timeout_ms":1000,"parallel_services":["a","b"],"failure_strategy":"ignore_errors"}`), `{}`)
	first, second := p.find("n/0"), p.find("n/1")
	p.answer(second, `1`)
	p.wait(time.Second)
	require.Equal(t, []Abort{{RunID: first.RunID, Queued: true}}, p.aborted)
	require.Equal(t, storage.RunTimeout, p.run("n/0").Status)
	require.Equal(t, `{"out":[null,1]}`, string(p.state.Shared))
}

func TestFan_BoundsItsResults(t *testing.T) {
	t.Parallel()
	p := play(t, one(`{"kind":"parallel","parallel_mode":"concurrent","failure_strategy":"ignore_errors","parallel_services":["a","b","c","d"]}`), `{}`)
	big := `"` + strings.Repeat("x", 600<<10) + `"`
	p.answer(p.find("n/0"), big)
	p.answer(p.find("n/1"), big)
	require.Equal(t, CodeTooLarge, p.state.Failure.Code)
	require.Len(t, p.aborted, 2)
}

const each = `{"kind":"foreach","service":"s","prep":{"input_key":"$params.items"}%MORE%}`

func TestForeach_RunsEachItem(t *testing.T) {
	t.Parallel()
	p := play(t, one(replace(each, "%MORE%", `,"params":{"at":"$params.index"}`)), `{"items":[{"a":1},"two",null]}`)
	for i, item := range []string{`{"a":1}`, `"two"`, `null`} {
		x := p.take()
		require.Equal(t, item, string(x.Input))
		require.Equal(t, fmt.Sprintf(`{"items":[{"a":1},"two",null],"index":%d,"at":%d}`, i, i), string(x.Params))
		run := p.run(x.Path)
		require.Equal(t, []string{fmt.Sprint(i), fmt.Sprintf(`{"index":%d,"at":%d}`, i, i)}, []string{run.BranchID, string(run.Params)})
		p.answer(x, item)
		require.Equal(t, "item_complete", p.run(x.Path).SubStatus)
	}
	require.Equal(t, `{"out":[{"a":1},"two",null]}`, string(p.state.Shared))
}

func TestForeach_OfNothingIsDone(t *testing.T) {
	t.Parallel()
	p := play(t, one(replace(each, "%MORE%", "")), `{"items":[]}`)
	require.Equal(t, storage.TaskCompleted, p.state.Status)
	require.Equal(t, `{"out":[]}`, string(p.state.Shared))
	require.Len(t, p.runs, 1)
}

func TestForeach_NeedsAnArray(t *testing.T) {
	t.Parallel()
	for _, items := range []string{`null`, `{}`, `"x"`, `7`} {
		p := play(t, one(replace(each, "%MORE%", "")), `{"items":`+items+`}`)
		require.Equal(t, CodeBadInput, p.state.Failure.Code, items)
		require.Equal(t, storage.RunError, p.run("n").Status)
	}
}

func TestForeach_ItemsMayHaveTheirOwnExec(t *testing.T) {
	t.Parallel()
	p := play(t, one(`{"kind":"foreach","parallel_mode":"concurrent","failure_strategy":"ignore_errors","prep":{"input_key":"$params.items"},
		"foreach_execs":[{"index":1,"service":"one","prep":{"input_map":{"item":"$input"}},"post":{"output_key":"own"}}]}`), `{"items":["a","b","c"]}`)
	x := p.take()
	require.Equal(t, []string{"n/1", "one", `{"item":"b"}`}, []string{x.Path, x.Exec.Service, string(x.Input)})
	require.Equal(t, CodeBadSetting, p.run("n/0").ErrorCode, "nothing says what the others execute")
	p.answer(x, `1`)
	require.Equal(t, `{"own":1,"out":[null,1,null]}`, string(p.state.Shared))
}

func TestForeach_WhoseItemsCannotStartFails(t *testing.T) {
	t.Parallel()
	items := `["a"` + strings.Repeat(`,"a"`, 3*visitsPerStep) + `]`
	p := play(t, one(replace(each, "%MORE%", `,"timeout_ms":"$params.bad"`)), `{"bad":"soon","items":`+items+`}`)
	for p.state.Status == storage.TaskRunning {
		require.Equal(t, p.now, p.state.NextDue(), "the next step goes on at once")
		p.wait(0)
	}
	require.Equal(t, CodeBadSetting, p.state.Failure.Code)
	require.Len(t, p.state.Failure.Branches, maxListed)
	require.Contains(t, p.state.Failure.Message, "601 of 601 branches failed")
}

// The state does not grow with the number of items, nor does what a step
// writes.
func TestForeach_CostsTheSameForTheLastItemAsForTheFirst(t *testing.T) {
	t.Parallel()
	const n = 10_000
	program := Program{
		Plan:   compile(t, one(replace(each, "$params.items", "$shared.items", "%MORE%", `,"parallel_mode":"concurrent"`))),
		TaskID: "task-1", Params: json.RawMessage(`{}`), Limits: testLimits,
	}
	state := NewState()
	state.Shared = json.RawMessage(`{"items":[0` + strings.Repeat(`,0`, n-1) + `]}`)
	state, effects := program.Step(state, Event{Kind: storage.EventStarted, At: epoch})
	pending, runs, largest := effects.Execute, len(effects.Started), 0
	for i := range n {
		require.NotEmpty(t, pending)
		state, effects = program.Step(state, Event{Kind: storage.EventRunFinished, At: epoch, Result: &RunResult{
			RunID: pending[0].RunID, Result: json.RawMessage(pending[0].Path[len("n/"):]),
		}})
		pending = append(pending[1:], effects.Execute...)
		runs += len(effects.Started)
		if i < n-1 {
			require.LessOrEqual(t, len(effects.Started)+len(effects.Finished), 2)
			text, err := state.JSON()
			require.NoError(t, err)
			largest = max(largest, len(text))
		}
	}
	require.Equal(t, storage.TaskCompleted, state.Status)
	require.Equal(t, n+1, runs)
	require.Less(t, largest, 20_000)
	var out struct{ Out []int }
	require.NoError(t, json.Unmarshal(state.Shared, &out))
	for i, result := range out.Out {
		require.Equal(t, i, result)
	}
}

// An event from a scheduler whose clock is ahead moves the task's time on, but
// makes nothing due for those whose clocks are behind.
func TestFan_IsGivenWhatItNeedsWhenClocksDiffer(t *testing.T) {
	t.Parallel()
	p := play(t, one(`{"kind":"parallel","parallel_mode":"concurrent","exec_type":"queue","timeout_ms":1000,"parallel_services":["a","b"],"failure_strategy":"ignore_errors"}`), `{}`)
	p.now = p.now.Add(2 * time.Second)
	p.signal("k", `1`)
	p.now = p.now.Add(-1900 * time.Millisecond)
	p.apply(Event{Kind: storage.EventTimerFired})
	require.Equal(t, storage.TaskWaitingQueue, p.state.Status)
	p.now = p.now.Add(900 * time.Millisecond)
	p.apply(Event{Kind: storage.EventTimerFired})
	require.Equal(t, `{"k":1,"out":[null,null]}`, string(p.state.Shared))
	require.Equal(t, epoch.Add(2*time.Second), p.run("n/0").FinishedAt, "time does not go back")
}
