package queuegateway_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
)

// runJob is a job that is found by its run.
func runJob(id, service string) queueapi.NewJob {
	job := newJob(id, service)
	job.ID, job.RunNo = queueapi.JobID(job.RunID), 7
	return job
}

func TestUpdateRun_TellsTheScheduler(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.put(t, runJob("1", "upper"))
	job := f.claim(t, "upper")
	require.Equal(t, "job-1", job.ID)

	// As workers of old do it.
	status, body := f.post(t, "/api/queue/update_run", `{"run_id":"run-1","status":"running"}`)
	require.Equal(t, http.StatusOK, status, body)
	require.JSONEq(t, `{"ok":"1"}`, body)
	want := schedulerapi.RunProgress{TaskID: "task-1", RunID: "run-1", RunNo: 7, Status: schedulerapi.ProgressRunning, WorkerID: "w1"}
	require.Equal(t, want, <-f.scheduler.reported)

	require.NoError(t, f.UpdateRun(t.Context(), queueapi.UpdateRunRequest{
		RunID: "run-1", Status: queueapi.StatusRunning, Log: "begun\n", LogID: "1", QueueID: job.ID, WorkerID: "w1", Token: job.Token,
	}))
	want.Log, want.LogID = "begun\n", job.Token+"/1"
	require.Equal(t, want, <-f.scheduler.reported)

	status, body = f.post(t, "/queue/update_run", `{"status":"ok"}`)
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, body, `"path":"run_id"`)
	require.Contains(t, body, `"path":"status"`)
}

func TestLogs_ReachTheScheduler(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.put(t, runJob("1", "upper"))
	job := f.claim(t, "upper")
	require.NoError(t, f.AddLogs(t.Context(), queueapi.LogsRequest{QueueID: job.ID, Lines: []string{"one", "two\n"}, Text: "three"}))
	require.Equal(t, schedulerapi.RunProgress{
		TaskID: "task-1", RunID: "run-1", RunNo: 7, WorkerID: "w1", Log: "one\ntwo\nthree",
	}, <-f.scheduler.reported)
	require.NoError(t, f.AddLogs(t.Context(), queueapi.LogsRequest{RunID: "run-1", Text: "more\n", WorkerID: "w1"}))
	require.Equal(t, "more\n", (<-f.scheduler.reported).Log)

	requireCode(t, errs.InvalidArgument, f.AddLogs(t.Context(), queueapi.LogsRequest{RunID: "run-2", QueueID: job.ID, Text: "x"}))
	status, body := f.post(t, "/queue/logs", `{}`)
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, body, `"path":"run_id"`)
	require.Contains(t, body, `"path":"lines"`)
}

func TestReports_AreOfTheClaimantAlone(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.put(t, runJob("1", "upper"), runJob("2", "upper"), runJob("3", "other"))
	one, two := f.claim(t, "upper"), f.claim(t, "upper")
	update := func(run string, change func(*queueapi.UpdateRunRequest)) error {
		req := queueapi.UpdateRunRequest{RunID: run, Status: queueapi.StatusRunning}
		change(&req)
		return f.UpdateRun(t.Context(), req)
	}
	nothing := func(*queueapi.UpdateRunRequest) {}
	requireCode(t, errs.NotFound, update("run-none", nothing))
	requireCode(t, errs.ClaimLost, update("run-3", nothing)) // nobody has it
	requireCode(t, errs.ClaimLost, update("run-1", func(r *queueapi.UpdateRunRequest) { r.Token = two.Token }))
	requireCode(t, errs.ClaimLost, update("run-1", func(r *queueapi.UpdateRunRequest) { r.WorkerID = "w2" }))
	require.Empty(t, f.scheduler.reported)

	require.NoError(t, f.Complete(t.Context(), queueapi.CompleteRequest{QueueID: one.ID, Token: one.Token}))
	requireCode(t, errs.ClaimLost, update("run-1", func(r *queueapi.UpdateRunRequest) { r.Token = one.Token }))
	require.NoError(t, f.WithdrawJobs(t.Context(), []string{two.ID, "job-4"}))
	requireCode(t, errs.TaskEnded, update("run-2", func(r *queueapi.UpdateRunRequest) { r.Token = two.Token }))
	requireCode(t, errs.TaskEnded, update("run-4", nothing)) // withdrawn before it came
	require.Empty(t, f.scheduler.reported)
}

func TestReports_AreTheWorkersToRepeatWhileTheSchedulerIsAway(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.put(t, runJob("1", "upper"))
	f.claim(t, "upper")
	for _, err := range []error{errs.New(errs.Unavailable, "away"), errs.New(errs.NotFound, "no such route"), errs.New(errs.Internal, "ill")} {
		f.scheduler.setAway(err)
		resp, err := http.Post(f.url+"/queue/logs", "application/json", strings.NewReader(`{"run_id":"run-1","text":"x"}`)) //nolint:noctx // bounded by the test
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
		require.Equal(t, "1", resp.Header.Get("Retry-After"))
	}
	f.scheduler.setAway(nil)
	require.NoError(t, f.AddLogs(t.Context(), queueapi.LogsRequest{RunID: "run-1", Text: "x"}))
}
