package engine

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

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
	require.Equal(t, []Abort{{RunID: x.RunID}}, p.aborted)
}

func TestTimeout_ReadFromAReferenceThatIsUnfitFailsTheNode(t *testing.T) {
	t.Parallel()
	p := play(t, `{"start":"a","nodes":{"a":{"kind":"executor","service":"s","timeout_ms":"$params.t"}}}`, `{"t":"soon"}`)
	require.Equal(t, storage.TaskFailed, p.state.Status)
	require.Equal(t, &Failure{Node: "a", Code: CodeBadSetting, Message: p.state.Failure.Message, Attempts: 1}, p.state.Failure)
	require.Equal(t, storage.RunError, p.runs[0].Status)
}

func TestTimeout_OfZeroOrNothingIsTheDefault(t *testing.T) {
	t.Parallel()
	for _, timeout := range []string{`0`, `null`, `"$params.none"`} {
		p := play(t, replace(`{"start":"a","nodes":{"a":{"kind":"executor","service":"s","timeout_ms":%T%}}}`, "%T%", timeout), `{}`)
		require.Equal(t, 30*time.Second, p.take().Timeout, timeout)
	}
}
