//go:build unix

package chaos

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
)

// runAt is where a run belongs within its task.
type runAt struct {
	path           string
	visit, attempt int
}

// runEnd is how a run ended.
type runEnd struct {
	status, output, decidedBy string
}

// errandRuns are the runs of an errand, of which each is there once.
func errandRuns(n int) map[runAt]runEnd {
	runs := map[runAt]runEnd{}
	add := func(path string, attempt int, end runEnd) {
		runs[runAt{path: path, visit: 1, attempt: attempt}] = end
	}
	ok := func(path string, attempt int, output string) {
		add(path, attempt, runEnd{status: "ok", output: output})
	}
	failed := func(path string) { add(path, 1, runEnd{status: "error"}) }

	shared := errandState(n)
	ok("each", 1, text(shared["each"]))
	for i := range errandItems {
		ok(fmt.Sprintf("each/%d", i), 1, text(n*(i+1)))
	}
	ok("mixed", 1, text(shared["mixed"]))
	failed("mixed/0")
	ok("mixed/0", 2, text(n))
	failed("mixed/1")
	ok("mixed/1", 2, text(10*n))
	ok("mixed/2", 1, text(100*n))
	ok("ref", 1, text(shared["ref"]))
	failed("ref/each")
	ok("ref/each", 2, text([]int{n, 1, 2}))
	for i, item := range []int{n, 1, 2} {
		path := fmt.Sprintf("ref/each/%d", i)
		failed(path)
		ok(path, 2, text(item))
	}
	ok("ref/nap", 1, "null")
	ok("deep", 1, text(shared["deep"]))
	ok("deep/deeper", 1, text(shared["deep"].(map[string]any)["deeper"]))
	ok("deep/deeper/wait", 1, text(7*n))
	add("ask", 1, runEnd{status: "ok", output: "true", decidedBy: approver})
	ok("last", 1, text(30*n))
	return runs
}

// errandState is the shared state in which an errand ends.
func errandState(n int) map[string]any {
	each := make([]int, errandItems)
	for i := range each {
		each[i] = n * (i + 1)
	}
	return map[string]any{
		"each": each, "flaky": n, "mixed": []int{n, 10 * n, 100 * n},
		"ref": map[string]any{"n": n, "each": []int{n, 1, 2}},
		"go":  7 * n, "deep": map[string]any{"deeper": map[string]any{"go": 7 * n, "heard": 7 * n}},
		"decision": true, "last": 30 * n,
	}
}

// text is the JSON of a value, with an object's members in order.
func text(value any) string {
	data, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// verify checks that there are exactly the batch's errands, that each came to
// its end by one run for each place and attempt, with the result that belongs
// there, and that the workers were asked for each under one key alone.
func (b *errandBatch) verify(t *testing.T, base string, tasks *schedulerapi.Client) {
	t.Helper()
	all, err := tasks.ListTasks(t.Context(), schedulerapi.TasksQuery{FlowVersionID: b.version, PageSize: 1})
	require.NoError(t, err)
	require.Equal(t, b.size, all.Total)

	asked := map[string]map[string]int{} // by task and run, the attempt that the worker was told
	deliveries := 0
	for _, e := range b.journal.Executions(t) {
		if asked[e.Task] == nil {
			asked[e.Task] = map[string]int{}
		}
		asked[e.Task][e.IdempotencyKey] = e.Attempt
		deliveries++
	}
	for i, id := range b.ids {
		task, err := tasks.GetTask(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, "completed", task.Status, id)
		require.JSONEq(t, text(errandState(i+1)), task.SharedJSON, id)
		runs, err := tasks.ListRuns(t.Context(), id)
		require.NoError(t, err)
		b.verifyRuns(t, i, runs, asked[id])
		verifyHistory(t, runs, history(t, base, id))
	}
	t.Logf("%d executions, of which %d were delivered again", b.steps(), deliveries-b.steps())
}

func (b *errandBatch) verifyRuns(t *testing.T, i int, runs []schedulerapi.Run, asked map[string]int) {
	t.Helper()
	ends, pushed, pulled := map[runAt]runEnd{}, map[string]int{}, map[string]bool{}
	for _, run := range runs {
		at := runAt{path: run.Path, visit: run.Visit, attempt: run.AttemptNo}
		require.NotContains(t, ends, at, run.TaskID)
		ends[at] = runEnd{status: run.Status, output: compact(t, run.ExecOutputJSON), decidedBy: run.DecidedBy}
		require.NotZero(t, run.StartedAt, "%+v", run)
		require.GreaterOrEqual(t, run.FinishedAt, run.StartedAt, "%+v", run)
		switch {
		case run.WorkerURL != "":
			pushed[run.ID] = run.AttemptNo
		case run.Path == "mixed/1":
			pulled[run.ID] = true
		case run.Path == "ref/nap":
			require.GreaterOrEqual(t, run.FinishedAt-run.StartedAt, errandNap.Milliseconds(), "%+v", run)
		}
	}
	require.Equal(t, errandRuns(i+1), ends, b.ids[i])
	require.Equal(t, asked, pushed, "runs of %s that the worker was asked for, by its journal and by the runs", b.ids[i])
	require.Equal(t, b.reluctant.asked(b.ids[i]), pulled, "the same of the pull worker")
}

// compact writes a JSON value as text does.
func compact(t *testing.T, value string) string {
	t.Helper()
	if value == "" {
		return ""
	}
	var v any
	require.NoError(t, json.Unmarshal([]byte(value), &v))
	return text(v)
}

// verifyHistory checks that whatever was to happen to an errand has happened to
// it once: each execution's end above all.
func verifyHistory(t *testing.T, runs []schedulerapi.Run, events []schedulerapi.Event) {
	t.Helper()
	told := map[string]int{}
	for i, event := range events {
		require.Equal(t, int64(i+1), event.Seq)
		var data struct {
			RunID string `json:"run_id"`
			Key   string
		}
		require.NoError(t, json.Unmarshal(event.Data, &data))
		switch event.Kind {
		case "timer_fired": // for one time or several
		case "signal":
			told["signal "+data.Key]++
		case "run_finished":
			told["end of "+data.RunID]++
		default:
			told[event.Kind]++
		}
	}
	want := map[string]int{"started": 1, "flow_resolved": 1, "signal go": 1, "signal decision": 1}
	for _, run := range runs {
		if executed(run.Path) {
			want["end of "+run.ID] = 1
		}
	}
	require.Equal(t, want, told, "what has happened to %s", runs[0].TaskID)
}

// executed tells the runs that are executions from those of nodes around them
// and of waits.
func executed(path string) bool {
	switch path {
	case "each", "mixed", "ref", "ref/each", "ref/nap", "deep", "deep/deeper", "deep/deeper/wait", "ask":
		return false
	}
	return true
}
