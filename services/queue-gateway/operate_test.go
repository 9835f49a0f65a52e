package queuegateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	queuegateway "github.com/pocketflowgo/pocketflow/services/queue-gateway"
	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
)

func onlyOneDelivery(cfg *queuegateway.Config) { cfg.MaxDeliveries = 1 }

// bury puts a job and has a worker fetch it that hangs up: with one delivery
// that is the job's death. It returns its result message.
func (f *fixture) bury(t *testing.T, job queueapi.NewJob) {
	t.Helper()
	f.put(t, job)
	ctx, gone := context.WithCancel(t.Context())
	body := strings.NewReader(fmt.Sprintf(`{"worker_id":"gone","services":[%q]}`, job.Service))
	req := httptest.NewRequestWithContext(ctx, http.MethodPost, "/queue/poll", body)
	f.handler.ServeHTTP(hangUp{httptest.NewRecorder(), gone}, req)
	got := f.scheduler.next(t)
	require.Equal(t, job.RunID, got.RunID)
	require.Equal(t, "delivery_exhausted", got.ErrorCode)
}

// deadJob has an id as the scheduler gives it, which cursors are made of.
func deadJob(i int, service string) queueapi.NewJob {
	run := fmt.Sprintf("run-019a0000-0000-7000-8000-00000000000%d", i)
	job := newJob(run, service)
	job.ID, job.RunID = queueapi.JobID(run), run
	return job
}

func TestDead_PagesOfLargeJobsAreShorter(t *testing.T) {
	t.Parallel()
	f := setup(t, onlyOneDelivery)
	for i := range 3 {
		large := deadJob(i, "upper")
		large.Input = json.RawMessage(`{"input":"` + strings.Repeat("x", 3<<20) + `"}`)
		f.bury(t, large)
	}
	page, err := f.ListDead(t.Context(), queueapi.DeadQuery{PageSize: 100})
	require.NoError(t, err)
	require.Equal(t, 3, page.Total)
	require.Len(t, page.Data, 2)
	page, err = f.ListDead(t.Context(), queueapi.DeadQuery{PageSize: 100, Cursor: page.NextCursor})
	require.NoError(t, err)
	require.Len(t, page.Data, 1)
	require.Greater(t, len(page.Data[0].InputJSON), 3<<20)
	require.Empty(t, page.NextCursor)
}

func TestDead_AreListedRequeuedAndDiscarded(t *testing.T) {
	t.Parallel()
	f := setup(t, onlyOneDelivery)
	for i := range 3 {
		f.bury(t, deadJob(i, "upper"))
	}
	f.bury(t, deadJob(3, "lower"))

	page, err := f.ListDead(t.Context(), queueapi.DeadQuery{Service: "upper", PageSize: 2})
	require.NoError(t, err)
	require.Equal(t, 3, page.Total)
	require.Len(t, page.Data, 2)
	newest := page.Data[0]
	require.Equal(t, deadJob(2, "upper").ID, newest.ID)
	require.NotZero(t, newest.CreatedAt)
	require.GreaterOrEqual(t, newest.DeadAt, newest.CreatedAt)
	newest.CreatedAt, newest.DeadAt = 0, 0
	require.Equal(t, queueapi.DeadJob{
		ID: newest.ID, TaskID: deadJob(2, "upper").TaskID, RunID: deadJob(2, "upper").RunID, NodeKey: "B", Path: "B", Service: "upper",
		InputJSON: string(deadJob(2, "upper").Input), Deliveries: 1, WorkerID: "gone",
	}, newest)
	page, err = f.ListDead(t.Context(), queueapi.DeadQuery{Service: "upper", PageSize: 2, Cursor: page.NextCursor})
	require.NoError(t, err)
	require.Len(t, page.Data, 1)
	require.Empty(t, page.NextCursor)

	first, second, third := deadJob(0, "upper").ID, deadJob(1, "upper").ID, deadJob(2, "upper").ID
	f.put(t, newJob("fresh", "other"))
	outcomes, err := f.Discard(t.Context(), []string{first, "none", "fresh", first})
	require.NoError(t, err)
	require.Equal(t, []errs.Code{"", errs.NotFound, errs.NotDead, ""}, codes(outcomes))

	// A poll that waits gets what is requeued, as if it had never been delivered.
	got := make(chan queueapi.Job, 1)
	go func() {
		jobs, err := f.Poll(t.Context(), queueapi.PollParams{WorkerID: "w1", Services: []string{"upper"}, Wait: patience})
		if err == nil && len(jobs) == 1 {
			got <- jobs[0]
		}
		close(got)
	}()
	f.awaitWaiting(t)
	outcomes, err = f.Requeue(t.Context(), []string{second, second, first, "none"})
	require.NoError(t, err)
	require.Equal(t, []errs.Code{"", "", errs.NotDead, errs.NotFound}, codes(outcomes))
	job := <-got
	require.Equal(t, second, job.ID)
	require.Equal(t, 1, job.Attempt)
	require.NoError(t, f.Complete(t.Context(), queueapi.CompleteRequest{QueueID: second, Token: job.Token}))
	require.Empty(t, f.scheduler.next(t).ErrorCode)
	outcomes, err = f.Requeue(t.Context(), []string{second})
	require.NoError(t, err)
	require.Equal(t, []errs.Code{errs.NotDead}, codes(outcomes))

	page, err = f.ListDead(t.Context(), queueapi.DeadQuery{})
	require.NoError(t, err)
	require.Equal(t, 2, page.Total)
	require.Equal(t, deadJob(3, "lower").ID, page.Data[0].ID)
	require.Equal(t, third, page.Data[1].ID)

	for path, body := range map[string]string{"/queue/requeue": `{}`, "/queue/discard": `{"ids":["1",""]}`} {
		status, answer := f.post(t, path, body)
		require.Equal(t, http.StatusBadRequest, status)
		require.Contains(t, answer, `"path":"ids`)
	}
}

func TestLimits_AreSetListedAndTakenAway(t *testing.T) {
	t.Parallel()
	f := setup(t)
	limits, err := f.Limits(t.Context())
	require.NoError(t, err)
	require.NotNil(t, limits)
	require.Empty(t, limits)
	require.NoError(t, f.SetLimits(t.Context(), queueapi.ServiceLimits{Service: "b", MaxClaimed: 3}))
	require.NoError(t, f.SetLimits(t.Context(), queueapi.ServiceLimits{Service: "a", RatePerSecond: 2.5}))
	limits, err = f.Limits(t.Context())
	require.NoError(t, err)
	require.Equal(t, []queueapi.ServiceLimits{{Service: "a", RatePerSecond: 2.5, Burst: 3}, {Service: "b", MaxClaimed: 3}}, limits)
	require.NoError(t, f.SetLimits(t.Context(), queueapi.ServiceLimits{Service: "b"}))
	limits, err = f.Limits(t.Context())
	require.NoError(t, err)
	require.Len(t, limits, 1)

	status, body := f.post(t, "/queue/limits", `{"max_claimed":-1,"rate_per_second":1e-9,"burst":-1}`)
	require.Equal(t, http.StatusBadRequest, status)
	for _, path := range []string{"service", "max_claimed", "rate_per_second"} {
		require.Contains(t, body, `"path":"`+path+`"`)
	}
	status, body = f.post(t, "/queue/limits", `{"service":"a","burst":2}`)
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, body, "goes with rate_per_second only")
}

// await polls and hands over what came.
func (f *fixture) await(t *testing.T, service string) <-chan queueapi.Job {
	t.Helper()
	got := make(chan queueapi.Job, 1)
	go func() {
		defer close(got)
		jobs, err := f.Poll(t.Context(), queueapi.PollParams{WorkerID: "w2", Services: []string{service}, Wait: patience})
		if err == nil && len(jobs) == 1 {
			got <- jobs[0]
		}
	}()
	f.awaitWaiting(t)
	return got
}

func TestLimits_PollGoesOnWhenAClaimEnds(t *testing.T) {
	t.Parallel()
	f := setup(t)
	require.NoError(t, f.SetLimits(t.Context(), queueapi.ServiceLimits{Service: "upper", MaxClaimed: 1}))
	f.put(t, newJob("1", "upper"), newJob("2", "upper"))
	first := f.claim(t, "upper")
	waiting := f.await(t, "upper")
	require.Empty(t, waiting)
	ended := time.Now()
	require.NoError(t, f.Complete(t.Context(), queueapi.CompleteRequest{QueueID: first.ID, Token: first.Token}))
	require.Equal(t, "2", (<-waiting).ID)
	t.Logf("went on %v after the completion", time.Since(ended))
}

func TestLimits_PollGoesOnWhenTheRateLetsIt(t *testing.T) {
	t.Parallel()
	f := setup(t)
	require.NoError(t, f.SetLimits(t.Context(), queueapi.ServiceLimits{Service: "upper", RatePerSecond: 20, Burst: 1}))
	const jobs = 6
	for i := range jobs {
		f.put(t, newJob(fmt.Sprint(i), "upper"))
	}
	start := time.Now()
	for range jobs {
		f.claim(t, "upper")
	}
	took := time.Since(start)
	require.GreaterOrEqual(t, took, (jobs-1)*50*time.Millisecond)
	t.Logf("%d jobs at 20 a second took %v", jobs, took)
	require.Less(t, took, (jobs-1)*time.Second, "found by the time of the rate, not by the floor")
}

func TestLimits_PollGoesOnWhenTheyAreTakenAway(t *testing.T) {
	t.Parallel()
	f := setup(t)
	require.NoError(t, f.SetLimits(t.Context(), queueapi.ServiceLimits{Service: "upper", MaxClaimed: 1}))
	f.put(t, newJob("1", "upper"), newJob("2", "upper"))
	f.claim(t, "upper")
	waiting := f.await(t, "upper")
	require.NoError(t, f.SetLimits(t.Context(), queueapi.ServiceLimits{Service: "upper"}))
	require.Equal(t, "2", (<-waiting).ID)
}
