package queuegateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	queuegateway "github.com/pocketflowgo/pocketflow/services/queue-gateway"
	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
)

func TestResults_WaitForASchedulerThatIsAway(t *testing.T) {
	t.Parallel()
	f := setup(t)
	tried := make(chan struct{}, 1000)
	f.scheduler.set(func([]schedulerapi.JobResult) error {
		tried <- struct{}{}
		return errs.New(errs.Unavailable, "away")
	})
	for i := range 20 {
		f.put(t, newJob(fmt.Sprint(i), "upper"))
		job := f.claim(t, "upper")
		require.NoError(t, f.Complete(t.Context(), queueapi.CompleteRequest{QueueID: job.ID, Token: job.Token}))
	}
	for range 3 {
		<-tried
	}
	f.scheduler.set(nil)
	seen := map[string]bool{}
	for range 20 {
		seen[f.scheduler.next(t).RunID] = true
	}
	require.Len(t, seen, 20)
}

func TestResults_OneThatIsRefusedDoesNotHoldUpOthers(t *testing.T) {
	t.Parallel()
	f := setup(t)
	open := make(chan struct{})
	f.scheduler.set(func(results []schedulerapi.JobResult) error {
		select {
		case <-open:
		default:
			return errs.New(errs.Unavailable, "away")
		}
		for _, r := range results {
			if r.RunID == "run-3" {
				return errs.New(errs.InvalidArgument, "not this one")
			}
		}
		return nil
	})
	for i := range 6 {
		f.put(t, newJob(fmt.Sprint(i), "upper"))
		job := f.claim(t, "upper")
		require.NoError(t, f.Complete(t.Context(), queueapi.CompleteRequest{QueueID: job.ID, Token: job.Token}))
	}
	close(open)
	seen := map[string]bool{}
	for range 5 {
		seen[f.scheduler.next(t).RunID] = true
	}
	require.Len(t, seen, 5)
	require.NotContains(t, seen, "run-3")
}

func TestResults_SurviveARestart(t *testing.T) {
	t.Parallel()
	path := "sqlite://" + filepath.Join(t.TempDir(), "queue.db")
	sched := newScheduler(t)
	cfg := queuegateway.Config{DB: path, AutoMigrate: true, SchedulerURL: sched.url, MaxDeliveries: 5, Visibility: time.Minute}
	deps := queuegateway.Deps{Log: zap.NewNop(), HTTP: httpx.NewHTTPClient()}

	// The first process answers requests and dies before it has delivered.
	first, err := queuegateway.New(t.Context(), cfg, deps)
	require.NoError(t, err)
	call := func(path string, body any) {
		data, err := json.Marshal(body)
		require.NoError(t, err)
		w := httptest.NewRecorder()
		first.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, bytes.NewReader(data)))
		require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	}
	call("/internal/jobs", queueapi.PutJobsRequest{Jobs: []queueapi.NewJob{newJob("1", "upper")}})
	call("/queue/poll", queueapi.PollRequest{WorkerID: "w1", Services: []string{"upper"}})
	call("/queue/complete", queueapi.CompleteRequest{QueueID: "1", WorkerID: "w1"})
	require.NoError(t, first.Close())

	second, err := queuegateway.New(t.Context(), cfg, deps)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- second.Run(ctx) }()
	require.Equal(t, "run-1", sched.next(t).RunID)
	cancel()
	require.NoError(t, <-ended)
	require.NoError(t, second.Close())
}
