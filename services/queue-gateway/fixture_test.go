package queuegateway_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	queuegateway "github.com/pocketflowgo/pocketflow/services/queue-gateway"
	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
)

// patience bounds what a test waits for.
const patience = 20 * time.Second

// scheduler takes results as the real one does.
type scheduler struct {
	url      string
	received chan schedulerapi.JobResult
	reported chan schedulerapi.RunProgress

	mu    sync.Mutex
	fails func(results []schedulerapi.JobResult) error // nil: takes all
	calls int
	away  error // of progress
}

func newScheduler(t *testing.T) *scheduler {
	t.Helper()
	s := &scheduler{received: make(chan schedulerapi.JobResult, 10_000), reported: make(chan schedulerapi.RunProgress, 100)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /internal/results", s.takeResults)
	mux.HandleFunc("POST /internal/runs/progress", s.takeProgress)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func (s *scheduler) takeResults(w http.ResponseWriter, r *http.Request) {
	var body schedulerapi.JobResults
	r.Body = http.MaxBytesReader(w, r.Body, httpx.MaxInternalBody)
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		httpx.WriteProblem(w, r, errs.New(errs.MalformedBody, "%v", err))
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.fails != nil {
		if err := s.fails(body.Results); err != nil {
			httpx.WriteProblem(w, r, err)
			return
		}
	}
	for _, result := range body.Results {
		s.received <- result
	}
	_ = httpx.WriteJSON(w, http.StatusOK, schedulerapi.OK{OK: "1"})
}

func (s *scheduler) takeProgress(w http.ResponseWriter, r *http.Request) {
	var body schedulerapi.RunsProgress
	_ = json.NewDecoder(r.Body).Decode(&body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away != nil {
		httpx.WriteProblem(w, r, s.away)
		return
	}
	for _, run := range body.Runs {
		s.reported <- run
	}
	_ = httpx.WriteJSON(w, http.StatusOK, schedulerapi.OK{OK: "1"})
}

func (s *scheduler) setAway(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = err
}

func (s *scheduler) set(fails func([]schedulerapi.JobResult) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails = fails
}

func (s *scheduler) next(t *testing.T) schedulerapi.JobResult {
	t.Helper()
	select {
	case result := <-s.received:
		return result
	case <-time.After(patience):
		require.FailNow(t, "the scheduler got no result")
		return schedulerapi.JobResult{}
	}
}

// fixture is a queue-gateway that runs, behind real HTTP.
type fixture struct {
	*queueapi.Client
	url       string
	handler   http.Handler
	scheduler *scheduler
	metrics   *prometheus.Registry
	stop      context.CancelFunc // ends Run
	stopped   chan struct{}
}

func setup(t *testing.T, change ...func(*queuegateway.Config)) *fixture {
	t.Helper()
	f := &fixture{scheduler: newScheduler(t), metrics: prometheus.NewRegistry(), stopped: make(chan struct{})}
	cfg := queuegateway.Config{
		DB: "sqlite://" + filepath.Join(t.TempDir(), "queue.db"), AutoMigrate: true,
		SchedulerURL: f.scheduler.url, MaxDeliveries: 5, Visibility: time.Minute,
	}
	for _, c := range change {
		c(&cfg)
	}
	service, err := queuegateway.New(t.Context(), cfg, queuegateway.Deps{Log: zap.NewNop(), HTTP: httpx.NewHTTPClient(), Metrics: f.metrics})
	require.NoError(t, err)
	require.NoError(t, service.Ready(t.Context()))

	ctx, cancel := context.WithCancel(context.Background())
	f.stop = cancel
	var runErr error
	go func() {
		defer close(f.stopped)
		runErr = service.Run(ctx)
	}()
	server := httptest.NewServer(service.Handler())
	t.Cleanup(func() {
		cancel()
		<-f.stopped
		server.Close()
		require.NoError(t, runErr)
		require.NoError(t, service.Close())
	})
	f.url, f.handler = server.URL, service.Handler()
	f.Client, err = queueapi.NewClient(server.URL, httpx.NewHTTPClient())
	require.NoError(t, err)
	return f
}

func newJob(id, service string) queueapi.NewJob {
	return queueapi.NewJob{
		ID: id, TaskID: "task-" + id, RunID: "run-" + id, NodeKey: "B", Path: "B", Visit: 1, Attempt: 1, Service: service,
		Input: json.RawMessage(`{"input":1.50,"params":{},"run_id":"run-` + id + `"}`),
	}
}

func (f *fixture) put(t *testing.T, jobs ...queueapi.NewJob) {
	t.Helper()
	require.NoError(t, f.PutJobs(t.Context(), jobs))
}

func (f *fixture) claim(t *testing.T, service string) queueapi.Job {
	t.Helper()
	jobs, err := f.Poll(t.Context(), queueapi.PollParams{WorkerID: "w1", Services: []string{service}, Wait: patience})
	require.NoError(t, err)
	require.Len(t, jobs, 1)
	return jobs[0]
}

// post sends a raw body and returns status and answer.
func (f *fixture) post(t *testing.T, path, body string) (int, string) {
	t.Helper()
	resp, err := http.Post(f.url+path, "application/json", strings.NewReader(body)) //nolint:noctx // bounded by the test
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(data)
}

func requireCode(t *testing.T, want errs.Code, err error) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, want, errs.CodeOf(err), err.Error())
}
