package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/worker"
)

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

func TestPull_ProxysPageSaysNothingOfTheJob(t *testing.T) {
	t.Parallel()
	registry, queue := newRegistry(t), newQueue(t)
	var answers atomic.Int32
	beats := make(chan struct{}, 3)
	beaten := make(chan struct{})
	queue.proxy = func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.URL.Path == "/queue/heartbeat" && len(beats) < cap(beats):
			if beats <- struct{}{}; len(beats) == cap(beats) {
				close(beaten)
			}
		case r.URL.Path == "/queue/complete" && answers.Add(1) <= 2:
		default:
			return false
		}
		http.Error(w, "default backend - 404", http.StatusNotFound)
		return true
	}
	run(t, newWorker(t, pullConfig(registry, queue), services{
		"echo": func(ctx context.Context, _ worker.Job) (any, error) {
			select {
			case <-beaten:
				return 1, nil
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		},
	}))
	queue.jobs <- queued("1", `{}`)
	answer := <-queue.answers
	require.Empty(t, answer.Error)
	require.JSONEq(t, `1`, string(answer.Result))
	require.EqualValues(t, 3, answers.Load())
}

func TestPull_AnswersWithAFailureWhenAProxyFindsTheResultTooLarge(t *testing.T) {
	t.Parallel()
	registry, queue := newRegistry(t), newQueue(t)
	queue.proxy = func(w http.ResponseWriter, r *http.Request) bool {
		if r.ContentLength <= 1<<10 {
			return false
		}
		_, _ = io.Copy(io.Discard, r.Body)
		http.Error(w, "413 Request Entity Too Large", http.StatusRequestEntityTooLarge)
		return true
	}
	run(t, newWorker(t, pullConfig(registry, queue), services{
		"echo": func(context.Context, worker.Job) (any, error) { return strings.Repeat("x", 2<<10), nil },
	}))
	queue.jobs <- queued("1", `{}`)
	answer := <-queue.answers
	require.Contains(t, answer.Error, "refused the result")
	require.Contains(t, answer.Error, "413")
}

func TestPull_ErrorTextIsMadeFitToBeStored(t *testing.T) {
	t.Parallel()
	registry, queue := newRegistry(t), newQueue(t)
	run(t, newWorker(t, pullConfig(registry, queue), services{
		"echo": func(context.Context, worker.Job) (any, error) { return nil, errors.New("a\x00b\xffc") },
	}))
	queue.jobs <- queued("1", `{}`)
	answer := <-queue.answers
	require.Equal(t, "a�b�c", answer.Error)
	require.Nil(t, answer.Retryable)
}

func TestPull_AnswersInItsOwnWordsWhenTheErrorIsRefused(t *testing.T) {
	t.Parallel()
	registry, queue := newRegistry(t), newQueue(t)
	queue.refuse = func(req queueapi.CompleteRequest) error {
		if strings.Contains(req.Error, "unheard of") {
			return errs.New(errs.InvalidArgument, "error: not that")
		}
		return nil
	}
	run(t, newWorker(t, pullConfig(registry, queue), services{
		"echo": func(context.Context, worker.Job) (any, error) { return nil, errors.New("unheard of") },
	}))
	queue.jobs <- queued("1", `{}`)
	answer := <-queue.answers
	require.Contains(t, answer.Error, "refused the error")
	require.Contains(t, answer.Error, "not that")
	require.NotNil(t, answer.Retryable)
	require.False(t, *answer.Retryable)
}

func TestPull_EndsWhenItsOwnWordsAreRefusedToo(t *testing.T) {
	t.Parallel()
	registry, queue := newRegistry(t), newQueue(t)
	refused := make(chan string, 16)
	queue.refuse = func(req queueapi.CompleteRequest) error {
		if req.QueueID == "1" {
			refused <- req.Error
			return errs.New(errs.InvalidArgument, "no")
		}
		return nil
	}
	cfg := pullConfig(registry, queue)
	cfg.Slots = 1
	run(t, newWorker(t, cfg, services{"echo": echo}))
	queue.jobs <- queued("1", `{}`)
	queue.jobs <- queued("2", `{}`)
	require.Equal(t, "2", (<-queue.answers).QueueID)
	require.Len(t, refused, 2)
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

// beat waits for a heartbeat of so many claims.
func (f *fakeQueue) beat(t *testing.T, claims int) queueapi.HeartbeatBatch {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		select {
		case beat := <-f.beats:
			if len(beat.Claims) == claims {
				return beat
			}
		case <-deadline:
			require.FailNow(t, "no heartbeat", "of %d claims", claims)
		}
	}
}

func TestPull_KeepsAllClaimsByOneHeartbeat(t *testing.T) {
	t.Parallel()
	registry, queue := newRegistry(t), newQueue(t)
	g := newGate()
	run(t, newWorker(t, pullConfig(registry, queue), services{"echo": g.handle}))
	for _, id := range []string{"1", "2", "3"} {
		queue.jobs <- queued(id, `{}`)
	}
	beat := queue.beat(t, 3)
	require.Equal(t, "w1", beat.WorkerID)
	require.Equal(t, 60_000, beat.VisibilityMS)
	require.ElementsMatch(t, []queueapi.Claim{{QueueID: "1", Token: "token-1"}, {QueueID: "2", Token: "token-2"}, {QueueID: "3", Token: "token-3"}}, beat.Claims)
	close(g.open)
	for range 3 {
		<-queue.answers
	}
}

func TestPull_EndsWorkThatIsNotWantedAnyMore(t *testing.T) {
	t.Parallel()
	registry, queue := newRegistry(t), newQueue(t)
	g := newGate()
	ended := make(chan string, 2)
	run(t, newWorker(t, pullConfig(registry, queue), services{"echo": func(ctx context.Context, job worker.Job) (any, error) {
		result, err := g.handle(ctx, job)
		if err != nil {
			ended <- job.RunID
		}
		return result, err
	}}))
	queue.with(func(f *fakeQueue) { f.gone["1"] = errs.TaskEnded })
	queue.jobs <- queued("1", `{}`)
	queue.jobs <- queued("2", `{}`)
	require.Equal(t, "run-1", <-ended)
	queue.beat(t, 1)
	close(g.open)
	require.Equal(t, "2", (<-queue.answers).QueueID)
	require.Empty(t, queue.answers)
}

func TestPull_TakesNoMoreWhileItsClaimsCannotBeKept(t *testing.T) {
	t.Parallel()
	registry, queue := newRegistry(t), newQueue(t)
	g := newGate()
	queue.with(func(f *fakeQueue) { f.deaf = errs.New(errs.Unavailable, "away") })
	run(t, newWorker(t, pullConfig(registry, queue), services{"echo": g.handle}))
	queue.jobs <- queued("1", `{}`)
	<-g.started
	quiet := 0 // heartbeats in a row without a poll; the first may miss the poll that was under way
	for quiet <= 5 {
		queue.beat(t, 1)
		quiet++
		for len(queue.polled) > 0 {
			<-queue.polled
			quiet = 0
		}
	}
	queue.with(func(f *fakeQueue) { f.deaf = nil })
	<-queue.polled

	queue.with(func(f *fakeQueue) { f.deaf = errs.New(errs.Unavailable, "away") })
	close(g.open)
	require.Equal(t, "1", (<-queue.answers).QueueID)
	<-queue.polled
	<-queue.polled // with nothing to keep there is nothing to fail
}

func TestPull_MarksTheRunAndSendsItsLog(t *testing.T) {
	t.Parallel()
	registry, queue := newRegistry(t), newQueue(t)
	g := newGate()
	run(t, newWorker(t, pullConfig(registry, queue), services{"echo": func(ctx context.Context, job worker.Job) (any, error) {
		job.Log("begun")
		defer job.Log("done\n")
		return g.handle(ctx, job)
	}}))
	queue.jobs <- queued("1", `{}`)
	require.Equal(t, queueapi.UpdateRunRequest{
		RunID: "run-1", Status: "running", Log: "begun\n", LogID: "1", QueueID: "1", WorkerID: "w1", Token: "token-1",
	}, <-queue.marks)
	close(g.open)
	require.Equal(t, queueapi.LogsRequest{RunID: "run-1", QueueID: "1", Text: "done\n", LogID: "2", WorkerID: "w1", Token: "token-1"}, <-queue.logs)
	require.Equal(t, "1", (<-queue.answers).QueueID)
	require.Empty(t, queue.marks)
}

func TestPull_LinesThatAreLostFailNothing(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"Away": errs.New(errs.Unavailable, "away"), "OldServer": errs.New(errs.NotFound, "no such route"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			registry, queue := newRegistry(t), newQueue(t)
			queue.with(func(f *fakeQueue) { f.noReport = err })
			run(t, newWorker(t, pullConfig(registry, queue), services{"echo": func(_ context.Context, job worker.Job) (any, error) {
				job.Log(strings.Repeat("x", 40<<10))
				return "fine", nil
			}}))
			queue.jobs <- queued("1", `{}`)
			require.JSONEq(t, `"fine"`, string((<-queue.answers).Result))
		})
	}
}

func TestPull_RepeatsReportsThatWereNotHeardByTheirNumber(t *testing.T) {
	t.Parallel()
	registry, queue := newRegistry(t), newQueue(t)
	tried := make(chan struct{}, 16)
	queue.with(func(f *fakeQueue) {
		f.noReport = errs.New(errs.Unavailable, "away")
		f.onReport = func() { tried <- struct{}{} }
	})
	g := newGate()
	run(t, newWorker(t, pullConfig(registry, queue), services{"echo": func(ctx context.Context, job worker.Job) (any, error) {
		job.Log("begun")
		return g.handle(ctx, job)
	}}))
	queue.jobs <- queued("1", `{}`)
	<-tried
	queue.with(func(f *fakeQueue) { f.noReport = nil })
	mark := <-queue.marks
	require.Equal(t, "begun\n", mark.Log)
	require.Equal(t, "1", mark.LogID)
	close(g.open)
	<-queue.answers
	require.Empty(t, queue.logs)
}

func TestPull_ReportThatIsTooLateEndsTheWork(t *testing.T) {
	t.Parallel()
	registry, queue := newRegistry(t), newQueue(t)
	queue.with(func(f *fakeQueue) { f.noReport = errs.New(errs.TaskEnded, "the task was canceled") })
	ended := make(chan struct{})
	run(t, newWorker(t, pullConfig(registry, queue), services{"echo": func(ctx context.Context, _ worker.Job) (any, error) {
		<-ctx.Done()
		close(ended)
		return nil, ctx.Err()
	}}))
	queue.jobs <- queued("1", `{}`)
	<-ended
}

func TestJob_LogOfAJobMadeByHandGoesNowhere(t *testing.T) {
	t.Parallel()
	worker.Job{}.Log("nothing happens")
}
