package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

const maxLog = 1000 // bytes

// queuedRun starts a task whose first run waits for a pull worker.
func (f *fixture) queuedRun() schedulerapi.RunProgress {
	f.t.Helper()
	id := f.create(`{"flow_version_id":"ver-queue"}`)
	run := f.run(id)
	require.Equal(f.t, storage.RunQueued, run.Status)
	return schedulerapi.RunProgress{TaskID: id, RunID: run.ID, RunNo: run.No}
}

func (f *fixture) run(taskID string) storage.NodeRun {
	f.t.Helper()
	runs, err := f.store.ListRuns(f.t.Context(), taskID)
	require.NoError(f.t, err)
	require.Len(f.t, runs, 1)
	return runs[0]
}

func (f *fixture) report(runs ...schedulerapi.RunProgress) {
	f.t.Helper()
	body, err := json.Marshal(schedulerapi.RunsProgress{Runs: runs})
	require.NoError(f.t, err)
	status, out := f.call(http.MethodPost, "/internal/runs/progress", string(body))
	require.Equal(f.t, http.StatusOK, status, out)
	require.Equal(f.t, map[string]any{"ok": "1"}, out)
}

func (f *fixture) log(target string) map[string]any {
	f.t.Helper()
	status, out := f.call(http.MethodGet, target, "")
	require.Equal(f.t, http.StatusOK, status, out)
	return out
}

func TestProgress_MarksRunsAndKeepsTheirLogs(t *testing.T) {
	t.Parallel()
	f := setup(t)
	first, second := f.queuedRun(), f.queuedRun()
	unknown := schedulerapi.RunProgress{TaskID: "task-none", RunID: "run-none", RunNo: 1, Status: schedulerapi.ProgressRunning, Log: "x"}
	taken := first
	taken.Status, taken.WorkerID, taken.Log, taken.LogID = schedulerapi.ProgressRunning, "w", "one\ntwo", "1"
	second.Log = "only a log"
	for range 2 {
		f.report(taken, unknown)
	}
	f.report(second)
	f.report()

	run := f.run(first.TaskID)
	require.Equal(t, storage.RunRunning, run.Status)
	require.Equal(t, "w", run.WorkerID)
	require.Equal(t, storage.RunQueued, f.run(second.TaskID).Status)
	task, err := f.store.GetTask(t.Context(), first.TaskID)
	require.NoError(t, err)
	require.Equal(t, storage.TaskWaitingQueue, task.Status)
	for _, prefix := range []string{"", "/api"} {
		require.Equal(t, map[string]any{"content": "one\ntwo\n", "task_id": first.TaskID, "status": "running"},
			f.log(prefix+"/tasks/logs?run_id="+first.RunID))
	}
	require.Equal(t, "only a log\n", f.log("/tasks/logs?run_id=" + second.RunID)["content"])
}

func TestProgress_NeverReopensARun(t *testing.T) {
	t.Parallel()
	f := setup(t)
	run := f.queuedRun()
	run.Status, run.WorkerID = schedulerapi.ProgressRunning, "w1"
	f.report(run)
	body, err := json.Marshal(schedulerapi.JobResults{Results: []schedulerapi.JobResult{
		{TaskID: run.TaskID, RunID: run.RunID, Result: json.RawMessage(`1`), WorkerID: "w1"},
	}})
	require.NoError(t, err)
	status, _ := f.call(http.MethodPost, "/internal/results", string(body))
	require.Equal(t, http.StatusOK, status)
	f.untilStatus(run.TaskID, storage.TaskCompleted)
	before := f.run(run.TaskID)
	run.WorkerID, run.Log = "w2", "last words"
	f.report(run)
	require.Equal(t, before, f.run(run.TaskID))
	require.Equal(t, map[string]any{"content": "last words\n", "task_id": run.TaskID, "status": "ok"}, f.log("/tasks/logs?run_id="+run.RunID))
}

func TestProgress_OfACanceledRunKeepsItsWorker(t *testing.T) {
	t.Parallel()
	f := setup(t)
	run := f.queuedRun()
	run.Status, run.WorkerID = schedulerapi.ProgressRunning, "w1"
	f.report(run)
	status, _ := f.call(http.MethodPost, "/tasks/cancel?id="+run.TaskID, "")
	require.Equal(t, http.StatusOK, status)
	f.untilStatus(run.TaskID, storage.TaskCanceled)
	got := f.run(run.TaskID)
	require.Equal(t, storage.RunCanceled, got.Status)
	require.Equal(t, "w1", got.WorkerID)
}

func TestProgress_NamesEveryFault(t *testing.T) {
	t.Parallel()
	f := setup(t)
	long := strings.Repeat("x", maxName+1)
	body := fmt.Sprintf(`{"runs":[{"run_id":"r"},{"status":"ok","worker_id":%q,"log_id":%q}]}`, long, long)
	require.Equal(t, []string{"runs[1].status", "runs[1].worker_id", "runs[1].log_id"},
		f.fails(400, errs.InvalidArgument, http.MethodPost, "/internal/runs/progress", body))
	many := `{"runs":[` + strings.TrimSuffix(strings.Repeat(`{},`, schedulerapi.MaxProgress+1), ",") + `]}`
	f.fails(400, errs.InvalidArgument, http.MethodPost, "/internal/runs/progress", many)
	f.fails(404, errs.NotFound, http.MethodPost, "/api/internal/runs/progress", `{}`)
}

func TestLogs_OfARunWithoutOne(t *testing.T) {
	t.Parallel()
	f := setup(t)
	queued := f.queuedRun()
	require.Equal(t, map[string]any{"content": "", "task_id": queued.TaskID, "status": "queued"}, f.log("/tasks/logs?run_id="+queued.RunID))

	task := f.create(`{"flow_id":"flow-1"}`)
	pushed := f.run(task).ID
	require.Equal(t, map[string]any{"content": "", "task_id": task, "status": "running"}, f.log("/tasks/logs?run_id="+pushed+"&task_id="+task))
	for _, query := range []string{"run_id=" + pushed, "run_id=run-none", "run_id=run-none&task_id=" + task, "run_id=" + queued.RunID + "&task_id=" + task} {
		f.fails(404, errs.NotFound, http.MethodGet, "/tasks/logs?"+query, "")
	}
	require.Equal(t, []string{"run_id"}, f.fails(400, errs.InvalidArgument, http.MethodGet, "/tasks/logs?task_id="+task, ""))
}

func TestLogs_AreBounded(t *testing.T) {
	t.Parallel()
	f := setup(t)
	run := f.queuedRun()
	run.Log = strings.Repeat("x", 2*maxLog)
	f.report(run)
	f.report(run)
	content := f.log("/tasks/logs?run_id=" + run.RunID)["content"].(string)
	require.LessOrEqual(t, len(content), maxLog+1+len(storage.LogFull))
	require.True(t, strings.HasSuffix(content, "x\n"+storage.LogFull))
	require.Equal(t, 1, strings.Count(content, storage.LogFull))
}
