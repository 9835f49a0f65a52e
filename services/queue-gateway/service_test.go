package queuegateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
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

// patience bounds what a test waits for.
const patience = 20 * time.Second

// scheduler takes results as the real one does.
type scheduler struct {
	url      string
	received chan schedulerapi.JobResult

	mu    sync.Mutex
	fails func(results []schedulerapi.JobResult) error // nil: takes all
	calls int
}

func newScheduler(t *testing.T) *scheduler {
	t.Helper()
	s := &scheduler{received: make(chan schedulerapi.JobResult, 10_000)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body schedulerapi.JobResults
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || r.URL.Path != "/internal/results" {
			httpx.WriteProblem(w, r, errs.New(errs.MalformedBody, "%s: %v", r.URL.Path, err))
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
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
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
	stop      context.CancelFunc // ends Run
	stopped   chan struct{}
}

func setup(t *testing.T, change ...func(*queuegateway.Config)) *fixture {
	t.Helper()
	f := &fixture{scheduler: newScheduler(t), stopped: make(chan struct{})}
	cfg := queuegateway.Config{
		DB: "sqlite://" + filepath.Join(t.TempDir(), "queue.db"), AutoMigrate: true,
		SchedulerURL: f.scheduler.url, MaxDeliveries: 5, Visibility: time.Minute,
	}
	for _, c := range change {
		c(&cfg)
	}
	service, err := queuegateway.New(t.Context(), cfg, queuegateway.Deps{Log: zap.NewNop(), HTTP: httpx.NewHTTPClient()})
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

func TestPoll_AnswersAsOldAndNewWorkersRead(t *testing.T) {
	t.Parallel()
	f := setup(t)
	status, body := f.post(t, "/api/queue/poll", `{"worker_id":"w1","services":["upper"]}`)
	require.Equal(t, http.StatusNoContent, status)
	require.Empty(t, body)

	f.put(t, newJob("1", "upper"), newJob("2", "upper"))
	status, body = f.post(t, "/queue/poll", `{"WorkerID":"w1","Services":["upper"]}`)
	require.Equal(t, http.StatusOK, status)
	var job map[string]any
	require.NoError(t, json.Unmarshal([]byte(body), &job))
	for _, field := range []string{"id", "task_id", "node_key", "service", "input_json", "status", "worker_id", "created_at", "started_at", "timeout_at", "token", "attempt"} {
		require.Contains(t, job, field)
	}
	require.Equal(t, "1", job["id"])
	require.Equal(t, "claimed", job["status"])
	require.Equal(t, string(newJob("1", "upper").Input), job["input_json"], "byte for byte")
	require.InDelta(t, 60_000, job["timeout_at"].(float64)-job["started_at"].(float64), 0)

	status, body = f.post(t, "/queue/poll", `{"worker_id":"w1","services":["upper"],"max_jobs":5}`)
	require.Equal(t, http.StatusOK, status)
	var jobs queueapi.Jobs
	require.NoError(t, json.Unmarshal([]byte(body), &jobs))
	require.Len(t, jobs.Jobs, 1)
	require.Equal(t, "2", jobs.Jobs[0].ID)
}

func TestRequests_NameEveryFault(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, c := range []struct {
		path, body string
		paths      []string
	}{
		{"/queue/poll", `{}`, []string{"worker_id", "services"}},
		{"/queue/poll", `{"worker_id":"w","services":[""],"wait_ms":60001,"max_jobs":101,"visibility_ms":999}`, []string{"services[0]", "wait_ms", "max_jobs", "visibility_ms"}},
		{"/queue/poll", `{"worker_id":"w","services":["a"],"wait_ms":-1,"max_jobs":-1,"visibility_ms":-1}`, []string{"wait_ms", "max_jobs", "visibility_ms"}},
		{"/queue/poll", `{"worker_id":7,"services":"a"}`, []string{"services", "worker_id"}},
		{"/queue/complete", `{}`, []string{"queue_id"}},
		{"/queue/heartbeat", `{"visibility_ms":1}`, []string{"queue_id", "visibility_ms"}},
		{"/internal/jobs", `{"jobs":[{"input":[],"available_at":-1}]}`, []string{"jobs[0].id", "jobs[0].task_id", "jobs[0].run_id", "jobs[0].service", "jobs[0].input", "jobs[0].available_at"}},
	} {
		status, body := f.post(t, c.path, c.body)
		require.Equal(t, http.StatusBadRequest, status, c.body)
		var problem httpx.Problem
		require.NoError(t, json.Unmarshal([]byte(body), &problem))
		require.Equal(t, errs.InvalidArgument, problem.Code)
		var paths []string
		for _, fault := range problem.Faults {
			paths = append(paths, fault.Path)
		}
		require.ElementsMatch(t, c.paths, paths, c.body)
	}
}

func TestPoll_ClaimsEachJobOnce(t *testing.T) {
	t.Parallel()
	const jobs, pollers = 500, 50
	f := setup(t)
	batch := make([]queueapi.NewJob, 0, jobs)
	for i := range jobs {
		batch = append(batch, newJob(fmt.Sprintf("job-%03d", i), fmt.Sprintf("s%d", i%3)))
	}

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	claimed := make(chan string, 2*jobs)
	var group sync.WaitGroup
	for i := range pollers {
		group.Go(func() {
			for ctx.Err() == nil {
				got, err := f.Poll(ctx, queueapi.PollParams{
					WorkerID: fmt.Sprintf("w%d", i), Services: []string{"s0", "s1", "s2"}, Max: 1 + i%3, Wait: 10 * time.Second,
				})
				if err != nil {
					return
				}
				for _, job := range got {
					claimed <- job.ID
				}
			}
		})
	}
	f.put(t, batch...)
	seen := map[string]bool{}
	for len(seen) < jobs {
		select {
		case id := <-claimed:
			require.False(t, seen[id], "%s was claimed twice", id)
			seen[id] = true
		case <-ctx.Done():
			require.FailNow(t, "not all claimed", "%d of %d", len(seen), jobs)
		}
	}
	cancel()
	group.Wait()
	require.Empty(t, claimed)
}

func TestPoll_WakesWhenAJobArrives(t *testing.T) {
	t.Parallel()
	f := setup(t)
	// Several rounds, and the best of them: the machine may be busy, while a
	// poll that is not woken is late every time.
	best := patience
	for i := range 5 {
		got := make(chan time.Time, 1)
		go func() {
			jobs, err := f.Poll(t.Context(), queueapi.PollParams{WorkerID: "w1", Services: []string{"upper"}, Wait: patience})
			if err == nil && len(jobs) == 1 {
				got <- time.Now()
			}
			close(got)
		}()
		f.awaitWaiting(t)
		f.put(t, newJob(fmt.Sprint(i), "upper"))
		put := time.Now()
		at, ok := <-got
		require.True(t, ok)
		best = min(best, at.Sub(put))
	}
	t.Logf("woken %v after the job was put", best)
	require.Less(t, best, 20*time.Millisecond)
}

// awaitWaiting lets a poll that was just started reach its waiting, seen by a
// second poll of no wait that comes after it. It is a help to the timing, not
// to the outcome: a job put earlier is found by the first claim.
func (f *fixture) awaitWaiting(t *testing.T) {
	t.Helper()
	for range 3 {
		jobs, err := f.Poll(t.Context(), queueapi.PollParams{WorkerID: "other", Services: []string{"upper"}})
		require.NoError(t, err)
		require.Empty(t, jobs)
	}
}

func TestPoll_TakesDelayedJobsWhenTheyAreDue(t *testing.T) {
	t.Parallel()
	f := setup(t)
	job := newJob("1", "upper")
	due := time.Now().Add(300 * time.Millisecond).Truncate(time.Millisecond)
	job.AvailableAt = due.UnixMilli()
	f.put(t, job)
	stats, err := f.Stats(t.Context())
	require.NoError(t, err)
	require.Equal(t, []queueapi.ServiceStats{{Service: "upper", Delayed: 1}}, stats)

	require.Equal(t, "1", f.claim(t, "upper").ID)
	require.False(t, time.Now().Before(due), "never early")
	require.Less(t, time.Since(due), 2*time.Second)
}

func TestPoll_EndsWhenTheServiceStops(t *testing.T) {
	t.Parallel()
	f := setup(t)
	ended := make(chan error, 1)
	go func() {
		jobs, err := f.Poll(t.Context(), queueapi.PollParams{WorkerID: "w1", Services: []string{"upper"}, Wait: time.Minute})
		if err == nil && len(jobs) > 0 {
			err = fmt.Errorf("got %d jobs", len(jobs))
		}
		ended <- err
	}()
	f.awaitWaiting(t)
	f.stop()
	select {
	case err := <-ended:
		require.NoError(t, err)
	case <-time.After(patience):
		require.FailNow(t, "the poll waits on")
	}
}

// hangUp is a connection that breaks when the answer is written.
type hangUp struct {
	*httptest.ResponseRecorder
	gone context.CancelFunc
}

func (w hangUp) Write([]byte) (int, error) {
	w.gone()
	return 0, io.ErrClosedPipe
}

func TestPoll_AnswerThatCannotBeWrittenGivesTheJobBack(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.put(t, newJob("1", "upper"))
	ctx, gone := context.WithCancel(t.Context())
	body := strings.NewReader(`{"worker_id":"gone","services":["upper"]}`)
	req := httptest.NewRequestWithContext(ctx, http.MethodPost, "/queue/poll", body)
	f.handler.ServeHTTP(hangUp{httptest.NewRecorder(), gone}, req)

	start := time.Now()
	job := f.claim(t, "upper")
	require.Equal(t, 2, job.Attempt)
	require.Less(t, time.Since(start), patience/2, "not only after the visibility of a minute")
}

func TestComplete_DeliversTheResultOnce(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.put(t, newJob("1", "upper"))
	job := f.claim(t, "upper")
	answer := queueapi.CompleteRequest{
		QueueID: job.ID, WorkerID: "w1", Token: job.Token, RunID: job.RunID, LogPath: "/var/log/x",
		Result: json.RawMessage(`{"n": 12345678901234567890.10}`),
	}
	require.NoError(t, f.Complete(t.Context(), answer))
	got := f.scheduler.next(t)
	require.NotZero(t, got.FinishedAt)
	got.FinishedAt = 0
	require.Equal(t, schedulerapi.JobResult{
		TaskID: "task-1", RunID: "run-1", Result: json.RawMessage(`{"n":12345678901234567890.10}`), WorkerID: "w1", LogPath: "/var/log/x",
	}, got)

	require.NoError(t, f.Complete(t.Context(), answer), "the same again is fine")
	answer.Result = json.RawMessage(`{"n":12345678901234567890.10}`)
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

func TestComplete_RefusesWhatTheSchedulerCouldNotRead(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.put(t, newJob("1", "upper"))
	job := f.claim(t, "upper")
	// Within the body limit as sent, over it when encoded again.
	status, body := f.post(t, "/queue/complete", `{"queue_id":"1","token":"`+job.Token+`","result":"`+strings.Repeat("<", 1<<20)+`"}`)
	require.Equal(t, http.StatusRequestEntityTooLarge, status, body)
	require.Contains(t, body, `"code":"body_too_large"`)
}

func TestClaims_ThatTimeOutAreDeliveredAgainThenDead(t *testing.T) {
	t.Parallel()
	f := setup(t, func(cfg *queuegateway.Config) { cfg.MaxDeliveries = 2 })
	f.put(t, newJob("1", "upper"))
	poll := queueapi.PollParams{WorkerID: "w1", Services: []string{"upper"}, Wait: patience, Visibility: time.Second}
	first, err := f.Poll(t.Context(), poll)
	require.NoError(t, err)
	require.Equal(t, 1, first[0].Attempt)
	second, err := f.Poll(t.Context(), poll)
	require.NoError(t, err)
	require.Equal(t, 2, second[0].Attempt)
	require.GreaterOrEqual(t, second[0].StartedAt, first[0].TimeoutAt, "never early")
	requireCode(t, errs.ClaimLost, f.Complete(t.Context(), queueapi.CompleteRequest{QueueID: "1", Token: first[0].Token}))

	got := f.scheduler.next(t)
	require.Equal(t, "run-1", got.RunID)
	require.Equal(t, "delivery_exhausted", got.ErrorCode)
	require.Equal(t, "delivered 2 times without an answer", got.Error)
	requireCode(t, errs.ClaimLost, f.Complete(t.Context(), queueapi.CompleteRequest{QueueID: "1", Token: second[0].Token}))
	stats, err := f.Stats(t.Context())
	require.NoError(t, err)
	require.Equal(t, []queueapi.ServiceStats{{Service: "upper", Dead: 1}}, stats)
}

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

func TestConfig_NamesEveryFault(t *testing.T) {
	t.Parallel()
	_, err := queuegateway.New(t.Context(), queuegateway.Config{SchedulerURL: "x"}, queuegateway.Deps{})
	for _, want := range []string{"database", "scheduler url", "max deliveries", "visibility"} {
		require.ErrorContains(t, err, want)
	}
}
