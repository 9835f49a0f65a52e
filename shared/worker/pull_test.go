package worker_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/worker"
)

// fakeQueue hands out the jobs put into it, to the first that asks, and keeps
// the answers. What the real one does is tested beside it, with this SDK.
type fakeQueue struct {
	url     string
	jobs    chan queueapi.Job
	polled  chan queueapi.PollRequest
	answers chan queueapi.CompleteRequest // the accepted ones

	mu     sync.Mutex
	refuse func(queueapi.CompleteRequest) error
}

func newQueue(t *testing.T) *fakeQueue {
	t.Helper()
	f := &fakeQueue{
		jobs: make(chan queueapi.Job, 16), polled: make(chan queueapi.PollRequest, 1024),
		answers: make(chan queueapi.CompleteRequest, 16),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /queue/poll", f.poll)
	mux.HandleFunc("POST /queue/complete", f.complete)
	mux.HandleFunc("POST /queue/heartbeat", func(w http.ResponseWriter, _ *http.Request) {
		_ = httpx.WriteJSON(w, http.StatusOK, queueapi.OK{OK: "1"})
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

func (f *fakeQueue) poll(w http.ResponseWriter, r *http.Request) {
	var req queueapi.PollRequest
	_ = json.NewDecoder(r.Body).Decode(&req)
	_, _ = io.Copy(io.Discard, r.Body) // a server sees a hang-up only once it has read the body
	f.polled <- req
	select {
	case job := <-f.jobs:
		_ = httpx.WriteJSON(w, http.StatusOK, queueapi.Jobs{Jobs: []queueapi.Job{job}})
	case <-time.After(time.Duration(req.WaitMS) * time.Millisecond):
		w.WriteHeader(http.StatusNoContent)
	case <-r.Context().Done():
	}
}

func (f *fakeQueue) complete(w http.ResponseWriter, r *http.Request) {
	var req queueapi.CompleteRequest
	_ = json.NewDecoder(r.Body).Decode(&req)
	f.mu.Lock()
	refuse := f.refuse
	f.mu.Unlock()
	if refuse != nil {
		if err := refuse(req); err != nil {
			httpx.WriteProblem(w, r, err)
			return
		}
	}
	f.answers <- req
	_ = httpx.WriteJSON(w, http.StatusOK, queueapi.OK{OK: "1"})
}

func pullConfig(registry *fakeRegistry, queue *fakeQueue) worker.Config {
	return worker.Config{
		ID: "w1", Mode: worker.Pull, RegistryURL: registry.url, QueueURL: queue.url,
		Heartbeat: 20 * time.Millisecond, PollWait: 20 * time.Millisecond,
	}
}

func queued(id, input string) queueapi.Job {
	return queueapi.Job{ID: id, TaskID: "task-1", RunID: "run-" + id, NodeKey: "B", Service: "echo", InputJSON: input, Attempt: 1, WorkerID: "w1", Token: "token-" + id}
}

func TestPull_RegistersFetchesAndAnswers(t *testing.T) {
	t.Parallel()
	registry, queue := newRegistry(t), newQueue(t)
	run(t, newWorker(t, pullConfig(registry, queue), services{"echo": echo}))
	reg := registry.awaitWorker(t)
	require.Equal(t, "async", reg.Type)
	require.Equal(t, "queue", reg.URL)
	require.Equal(t, queueapi.PollRequest{WorkerID: "w1", Services: []string{"echo"}, MaxJobs: 4, WaitMS: 20, VisibilityMS: 60_000}, <-queue.polled)

	queue.jobs <- queued("1", `{"input":[1],"params":{"a":1},"run_id":"run-1"}`)
	require.Equal(t, queueapi.CompleteRequest{
		QueueID: "1", WorkerID: "w1", Token: "token-1", RunID: "run-1",
		Result: json.RawMessage(`{"RunID":"run-1","TaskID":"task-1","Node":"B","Service":"echo","Attempt":1,"Input":[1],"Params":{"a":1}}`),
	}, <-queue.answers)

	queue.jobs <- queued("2", `nonsense`)
	answer := <-queue.answers
	require.Contains(t, answer.Error, "input_json: ")
	require.NotNil(t, answer.Retryable)
	require.False(t, *answer.Retryable)
}

func TestPull_RepeatsAnAnswerUntilItIsHeard(t *testing.T) {
	t.Parallel()
	registry, queue := newRegistry(t), newQueue(t)
	tries := 0
	queue.refuse = func(queueapi.CompleteRequest) error {
		if tries++; tries < 4 {
			return errs.New(errs.Unavailable, "away")
		}
		return nil
	}
	g := newGate()
	close(g.open)
	run(t, newWorker(t, pullConfig(registry, queue), services{"echo": g.handle}))
	queue.jobs <- queued("1", `{}`)
	require.JSONEq(t, `1`, string((<-queue.answers).Result))
	require.EqualValues(t, 1, g.calls.Load(), "the answer is repeated, not the work")
}

func TestPull_TakesANoForANo(t *testing.T) {
	t.Parallel()
	registry, queue := newRegistry(t), newQueue(t)
	refused := make(chan string, 16)
	queue.refuse = func(req queueapi.CompleteRequest) error {
		if req.QueueID == "1" {
			refused <- req.QueueID
			return errs.New(errs.ClaimLost, "another has it")
		}
		return nil
	}
	cfg := pullConfig(registry, queue)
	cfg.Slots = 1
	run(t, newWorker(t, cfg, services{"echo": echo}))
	queue.jobs <- queued("1", `{}`)
	queue.jobs <- queued("2", `{}`)
	require.Equal(t, "2", (<-queue.answers).QueueID)
	require.Len(t, refused, 1)
}

func TestPull_AnswersWithAFailureWhenTheResultIsRefused(t *testing.T) {
	t.Parallel()
	registry, queue := newRegistry(t), newQueue(t)
	queue.refuse = func(req queueapi.CompleteRequest) error {
		if len(req.Result) > 100 {
			return errs.New(errs.BodyTooLarge, "too large")
		}
		return nil
	}
	run(t, newWorker(t, pullConfig(registry, queue), services{
		"echo": func(context.Context, worker.Job) (any, error) { return strings.Repeat("x", 200), nil },
	}))
	queue.jobs <- queued("1", `{}`)
	answer := <-queue.answers
	require.Contains(t, answer.Error, "refused the result")
	require.False(t, *answer.Retryable)
}

func TestPull_TakesNoWorkWhileTheRegistryIsAway(t *testing.T) {
	t.Parallel()
	registry, queue := newRegistry(t), newQueue(t)
	w := newWorker(t, pullConfig(registry, queue), services{"echo": echo})
	ready := func() int {
		rec := httptest.NewRecorder()
		w.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/readyz", http.NoBody))
		return rec.Code
	}
	run(t, w)
	registry.awaitWorker(t)
	<-queue.polled
	require.Equal(t, http.StatusOK, ready())

	registry.with(func(f *fakeRegistry) { f.away = true })
	registry.await(t, "not ready", func(*fakeRegistry) bool { return ready() == http.StatusServiceUnavailable })
	quiet := 0 // heartbeats in a row without a poll; the first may miss the poll that was under way
	registry.await(t, "five heartbeats without a poll", func(*fakeRegistry) bool {
		quiet++
		for len(queue.polled) > 0 {
			<-queue.polled
			quiet = 0
		}
		return quiet > 5
	})
	registry.with(func(f *fakeRegistry) { f.away = false })
	<-queue.polled
}
