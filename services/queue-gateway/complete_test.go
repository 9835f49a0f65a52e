package queuegateway_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
)

func TestComplete_DeliversTheResultOnce(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.put(t, newJob("1", "upper"))
	job := f.claim(t, "upper")
	answer := queueapi.CompleteRequest{
		QueueID: job.ID, WorkerID: "w1", Token: job.Token, RunID: job.RunID, LogPath: "/var/log/x",
		Result: json.RawMessage(`{"n": 12345678901234567890.10, "text": "<&>"}`),
	}
	require.NoError(t, f.Complete(t.Context(), answer))
	got := f.scheduler.next(t)
	require.NotZero(t, got.FinishedAt)
	got.FinishedAt = 0
	require.Equal(t, schedulerapi.JobResult{
		TaskID: "task-1", RunID: "run-1", Result: json.RawMessage(`{"n":12345678901234567890.10,"text":"<&>"}`), WorkerID: "w1", LogPath: "/var/log/x",
	}, got)

	require.NoError(t, f.Complete(t.Context(), answer), "the same again is fine")
	answer.Result = json.RawMessage(`{"n":12345678901234567890.10,"text":"<&>"}`)
	require.NoError(t, f.Complete(t.Context(), answer), "white space is no difference")
	answer.Result = json.RawMessage(`{"n":2}`)
	requireCode(t, errs.ClaimLost, f.Complete(t.Context(), answer))

	// A second message would arrive before this one.
	f.put(t, newJob("2", "upper"))
	second := f.claim(t, "upper")
	require.NoError(t, f.Complete(t.Context(), queueapi.CompleteRequest{QueueID: second.ID, Token: second.Token, Error: "no luck", Retryable: new(bool)}))
	got = f.scheduler.next(t)
	require.Equal(t, "run-2", got.RunID)
	require.Equal(t, "worker_error", got.ErrorCode)
	require.Equal(t, "no luck", got.Error)
	require.NotNil(t, got.Retryable)
	require.False(t, *got.Retryable)
}

func TestComplete_RepeatIsTheClaimantsOwn(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.put(t, newJob("1", "upper"))
	job := f.claim(t, "upper")
	answer := queueapi.CompleteRequest{QueueID: job.ID, Token: job.Token, Result: json.RawMessage(`null`)}
	require.NoError(t, f.Complete(t.Context(), answer))
	answer.Result = nil
	require.NoError(t, f.Complete(t.Context(), answer), "no result is null")
	answer.Token = ""
	require.NoError(t, f.Complete(t.Context(), answer), "who names no claim is known by the answer")
	answer.WorkerID = "w2"
	requireCode(t, errs.ClaimLost, f.Complete(t.Context(), answer))
	answer.WorkerID, answer.Token = "", "another"
	requireCode(t, errs.ClaimLost, f.Complete(t.Context(), answer))
}

func TestComplete_TakesOldWorkersAtTheirWord(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.put(t, newJob("1", "upper"))
	f.claim(t, "upper")
	status, _ := f.post(t, "/api/queue/complete", `{"queue_id":"1","result":{"x":1},"error":null,"log_path":"","run_id":"run-1"}`)
	require.Equal(t, http.StatusOK, status)
	require.Empty(t, f.scheduler.next(t).ErrorCode)
}

func TestComplete_SaysWhyAnAnswerHasNoEffect(t *testing.T) {
	t.Parallel()
	f := setup(t)
	requireCode(t, errs.NotFound, f.Complete(t.Context(), queueapi.CompleteRequest{QueueID: "none"}))

	f.put(t, newJob("1", "upper"), newJob("2", "lower"))
	job := f.claim(t, "upper")
	requireCode(t, errs.InvalidArgument, f.Complete(t.Context(), queueapi.CompleteRequest{QueueID: "1", Token: job.Token, RunID: "run-2"}))
	requireCode(t, errs.ClaimLost, f.Complete(t.Context(), queueapi.CompleteRequest{QueueID: "1", Token: "another"}))
	requireCode(t, errs.ClaimLost, f.Complete(t.Context(), queueapi.CompleteRequest{QueueID: "1", WorkerID: "w2"}))
	requireCode(t, errs.ClaimLost, f.Complete(t.Context(), queueapi.CompleteRequest{QueueID: "2"})) // nobody's claim
	requireCode(t, errs.ClaimLost, f.Heartbeat(t.Context(), queueapi.HeartbeatRequest{QueueID: "1", Token: "another"}))
	require.NoError(t, f.Heartbeat(t.Context(), queueapi.HeartbeatRequest{QueueID: "1", Token: job.Token}))

	require.NoError(t, f.WithdrawJobs(t.Context(), []string{"1", "none"}))
	require.NoError(t, f.WithdrawJobs(t.Context(), []string{"1"}))
	requireCode(t, errs.TaskEnded, f.Complete(t.Context(), queueapi.CompleteRequest{QueueID: "1", Token: job.Token}))
	requireCode(t, errs.TaskEnded, f.Heartbeat(t.Context(), queueapi.HeartbeatRequest{QueueID: "1", Token: job.Token}))
	require.Empty(t, f.scheduler.received)
}

func TestComplete_WhatIsTakenReachesTheScheduler(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.put(t, newJob("1", "upper"))
	job := f.claim(t, "upper")
	// Within the limit of a public body as sent, over it when encoded again.
	text := strings.Repeat("<", 1<<20)
	status, body := f.post(t, "/queue/complete", `{"queue_id":"1","token":"`+job.Token+`","result":"`+text+`"}`)
	require.Equal(t, http.StatusOK, status, body)
	var result string
	require.NoError(t, json.Unmarshal(f.scheduler.next(t).Result, &result))
	require.Len(t, result, len(text))
}

func TestComplete_ErrorReachesTheSchedulerWhateverResultComesWithIt(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.put(t, newJob("1", "upper"))
	job := f.claim(t, "upper")
	// As deep as a request can bring it, and deeper than the message to the
	// scheduler could.
	deep := strings.Repeat("[", 9998) + strings.Repeat("]", 9998)
	status, body := f.post(t, "/queue/complete", `{"queue_id":"1","token":"`+job.Token+`","error":"boom","result":`+deep+`}`)
	require.Equal(t, http.StatusOK, status, body)
	got := f.scheduler.next(t)
	require.Equal(t, "worker_error", got.ErrorCode)
	require.Equal(t, "boom", got.Error)
	require.Contains(t, []string{"", "null"}, string(got.Result))
}

func TestComplete_BatchHasAnOutcomeForEach(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.put(t, newJob("1", "upper"), newJob("2", "upper"), newJob("3", "upper"))
	one, two, three := f.claim(t, "upper"), f.claim(t, "upper"), f.claim(t, "upper")
	require.NoError(t, f.WithdrawJobs(t.Context(), []string{"3"}))
	result := json.RawMessage(`1`)
	batch := queueapi.CompleteBatch{WorkerID: "w1", Completions: []queueapi.CompleteRequest{
		{QueueID: one.ID, Token: one.Token, Result: result},
		{QueueID: "none", Result: result},
		{QueueID: two.ID, Token: "another", Result: result},
		{QueueID: three.ID, Token: three.Token, Result: result},
		{QueueID: one.ID, Token: one.Token, Result: json.RawMessage(` 1 `)},
		{QueueID: two.ID, Token: two.Token, RunID: "run-1"},
	}}
	outcomes, err := f.CompleteAll(t.Context(), batch)
	require.NoError(t, err)
	require.Equal(t, []string{"1", "none", "2", "3", "1", "2"}, queueIDs(outcomes))
	require.Equal(t, []errs.Code{"", errs.NotFound, errs.ClaimLost, errs.TaskEnded, "", errs.InvalidArgument}, codes(outcomes))
	require.Equal(t, "1", outcomes[0].OK)
	require.Equal(t, "run-1", f.scheduler.next(t).RunID)

	// The worker's id serves where there is no token.
	outcomes, err = f.CompleteAll(t.Context(), queueapi.CompleteBatch{
		WorkerID: "w2", Completions: []queueapi.CompleteRequest{{QueueID: two.ID}, {QueueID: two.ID, WorkerID: "w1"}},
	})
	require.NoError(t, err)
	require.Equal(t, []errs.Code{errs.ClaimLost, ""}, codes(outcomes))
	require.Equal(t, "run-2", f.scheduler.next(t).RunID)
}

func TestComplete_BatchIsHeldToItsForm(t *testing.T) {
	t.Parallel()
	f := setup(t)
	status, body := f.post(t, "/queue/complete", `{"completions":[]}`)
	require.Equal(t, http.StatusOK, status)
	require.JSONEq(t, `{"results":[]}`, body)
	status, body = f.post(t, "/api/queue/complete", `{"queue_id":"1","Completions":[{"queue_id":"1"},{"result":1}]}`)
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, body, `"path":"queue_id"`)
	require.Contains(t, body, `"path":"completions[1].queue_id"`)
	status, body = f.post(t, "/queue/heartbeat", `{"claims":[{"token":"t"}],"visibility_ms":5}`)
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, body, `"path":"claims[0].queue_id"`)
	require.Contains(t, body, `"path":"visibility_ms"`)
	status, body = f.post(t, "/queue/heartbeat", `{"claims":[`+strings.Repeat(`{"queue_id":"1"},`, queueapi.MaxBatch)+`{"queue_id":"1"}]}`)
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, body, "at most 1000")
}

func TestHeartbeat_BatchTellsWhatIsNotWantedAnyMore(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.put(t, newJob("1", "upper"), newJob("2", "upper"))
	one, two := f.claim(t, "upper"), f.claim(t, "upper")
	require.NoError(t, f.WithdrawJobs(t.Context(), []string{"2"}))
	outcomes, err := f.HeartbeatAll(t.Context(), queueapi.HeartbeatBatch{WorkerID: "w1", Claims: []queueapi.Claim{
		{QueueID: one.ID, Token: one.Token}, {QueueID: two.ID, Token: two.Token}, {QueueID: one.ID, Token: "another"}, {QueueID: "none"}, {QueueID: one.ID},
	}})
	require.NoError(t, err)
	require.Equal(t, []errs.Code{"", errs.TaskEnded, errs.ClaimLost, errs.NotFound, ""}, codes(outcomes))
}

func queueIDs(outcomes []queueapi.Outcome) []string {
	ids := make([]string, len(outcomes))
	for i, o := range outcomes {
		ids[i] = o.QueueID
	}
	return ids
}

func codes(outcomes []queueapi.Outcome) []errs.Code {
	all := make([]errs.Code, len(outcomes))
	for i, o := range outcomes {
		all[i] = o.Code
	}
	return all
}

func TestWithdraw_CountsBeforeItsJobAsWell(t *testing.T) {
	t.Parallel()
	f := setup(t)
	require.NoError(t, f.WithdrawJobs(t.Context(), []string{"1"}))
	f.put(t, newJob("1", "upper"), newJob("2", "upper"))
	require.Equal(t, "2", f.claim(t, "upper").ID)
	requireCode(t, errs.TaskEnded, f.Heartbeat(t.Context(), queueapi.HeartbeatRequest{QueueID: "1"}))
}
