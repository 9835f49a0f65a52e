package queuegateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	queuegateway "github.com/pocketflowgo/pocketflow/services/queue-gateway"
	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
)

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
	for _, field := range []string{"id", "task_id", "node_key", "service", "input_json", "status", "worker_id", "created_at", "available_at", "started_at", "timeout_at", "token", "attempt"} {
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

func TestPoll_LargeJobsComeInAnswersThatClientsRead(t *testing.T) {
	t.Parallel()
	const count = 20
	f := setup(t, onlyOneDelivery)
	input := json.RawMessage(`{"input":"` + strings.Repeat(`\"`, 1<<19) + `"}`) // twice as long in the answer
	var wg sync.WaitGroup
	polled := make([][]queueapi.Job, 3)
	errs := make([]error, len(polled))
	for i := range polled {
		wg.Go(func() { // they wait, and each leaves what the next is woken for
			polled[i], errs[i] = f.Poll(t.Context(), queueapi.PollParams{
				WorkerID: "w1", Services: []string{"upper"}, Max: 100, Wait: time.Minute, // under the race detector the jobs take half of it to come
			})
		})
	}
	delivered := map[string]bool{}
	batch := make([]queueapi.NewJob, count)
	for i := range batch {
		batch[i] = newJob(fmt.Sprintf("job-%02d", i), "upper")
		batch[i].Input = input
	}
	f.put(t, batch...)
	wg.Wait()
	for i, jobs := range polled {
		require.NoError(t, errs[i])
		require.LessOrEqual(t, len(jobs), 7)
		for _, job := range jobs {
			require.Equal(t, string(input), job.InputJSON)
			delivered[job.ID] = true
		}
	}
	require.Len(t, delivered, count)
}

func TestPoll_ClaimsEachJobOnce(t *testing.T) {
	t.Parallel()
	const jobs, pollers = 500, 50
	f := setup(t)
	batch := make([]queueapi.NewJob, 0, jobs)
	for i := range jobs {
		batch = append(batch, newJob(fmt.Sprintf("job-%03d", i), fmt.Sprintf("s%d", i%3)))
	}

	ctx, cancel := context.WithTimeout(t.Context(), 3*patience) // hundreds of durable writes
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

	claimed := f.claim(t, "upper")
	require.Equal(t, "1", claimed.ID)
	require.Equal(t, due.UnixMilli(), claimed.AvailableAt)
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
