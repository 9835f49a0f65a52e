package queuegateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/api/registryapi"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/worker"
)

// pulling is a worker of the SDK that runs until stop, or the test's end.
type pulling struct {
	stop func()
	left chan struct{} // closed when it has deregistered
}

func (f *fixture) pull(t *testing.T, cfg worker.Config, service string, handler worker.Handler) pulling {
	t.Helper()
	p := pulling{left: make(chan struct{})}
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/workers/deregister" {
			close(p.left)
		}
		_ = httpx.WriteJSON(w, http.StatusOK, registryapi.OK{OK: "1"})
	}))
	cfg.Mode, cfg.RegistryURL, cfg.QueueURL = worker.Pull, registry.URL, f.url
	w, err := worker.New(cfg, worker.Deps{})
	require.NoError(t, err)
	w.Handle(service, handler)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	p.stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-ended)
		registry.Close()
	})
	t.Cleanup(p.stop)
	return p
}

func TestWorkers_ExecuteEachJobOnce(t *testing.T) {
	t.Parallel()
	const jobs = 200
	f := setup(t)
	var mu sync.Mutex
	executed := map[string]int{}
	handler := func(_ context.Context, job worker.Job) (any, error) {
		mu.Lock()
		executed[job.RunID]++
		mu.Unlock()
		var n int
		if err := job.DecodeInput(&n); err != nil {
			return nil, err
		}
		if n%10 == 9 {
			return nil, worker.Permanent(fmt.Errorf("%d is not liked", n))
		}
		return map[string]int{"double": 2 * n}, nil
	}
	for range 3 {
		f.pull(t, worker.Config{Slots: 4}, "double", handler)
	}
	for i := range jobs {
		job := newJob(fmt.Sprint(i), "double")
		job.Input = json.RawMessage(fmt.Sprintf(`{"input":%d,"params":{},"run_id":"run-%d"}`, i, i))
		f.put(t, job)
	}
	failed := 0
	for range jobs {
		got := f.scheduler.next(t)
		var n int
		_, err := fmt.Sscanf(got.RunID, "run-%d", &n)
		require.NoError(t, err)
		if n%10 == 9 {
			failed++
			require.Equal(t, fmt.Sprintf("%d is not liked", n), got.Error)
			require.NotNil(t, got.Retryable)
			continue
		}
		require.JSONEq(t, fmt.Sprintf(`{"double":%d}`, 2*n), string(got.Result))
	}
	require.Equal(t, jobs/10, failed)
	mu.Lock()
	defer mu.Unlock()
	require.Len(t, executed, jobs)
	for run, times := range executed {
		require.Equal(t, 1, times, run)
	}
}

func TestWorker_KeepsItsClaimOnASlowJob(t *testing.T) {
	t.Parallel()
	f := setup(t)
	started := make(chan worker.Job, 10)
	release := make(chan struct{})
	f.pull(t, worker.Config{Slots: 2, Visibility: time.Second}, "slow", func(_ context.Context, job worker.Job) (any, error) {
		started <- job
		<-release
		return "done", nil
	})
	f.put(t, newJob("1", "slow"))
	first := <-started
	told, err := json.Marshal(first)
	require.NoError(t, err)
	require.JSONEq(t, `{"RunID":"run-1","TaskID":"task-1","Node":"B","Service":"slow","Attempt":1,"Input":1.50,"Params":{}}`, string(told))

	// Another worker asks for as long as two and a half claims would last.
	jobs, err := f.Poll(t.Context(), queueapi.PollParams{WorkerID: "other", Services: []string{"slow"}, Wait: 2500 * time.Millisecond})
	require.NoError(t, err)
	require.Empty(t, jobs)
	close(release)
	require.JSONEq(t, `"done"`, string(f.scheduler.next(t).Result))
	require.Empty(t, started)
}

func TestWorker_StopsWorkThatWasWithdrawn(t *testing.T) {
	t.Parallel()
	f := setup(t)
	started, stopped := make(chan struct{}), make(chan error, 1)
	f.pull(t, worker.Config{Visibility: time.Second}, "slow", func(ctx context.Context, _ worker.Job) (any, error) {
		close(started)
		<-ctx.Done()
		stopped <- ctx.Err()
		return nil, ctx.Err()
	})
	f.put(t, newJob("1", "slow"))
	<-started
	require.NoError(t, f.WithdrawJobs(t.Context(), []string{"1"}))
	require.ErrorIs(t, <-stopped, context.Canceled)
	require.Empty(t, f.scheduler.received)
}

func TestWorker_FinishesItsWorkWhenItStops(t *testing.T) {
	t.Parallel()
	f := setup(t)
	started, release := make(chan struct{}, 10), make(chan struct{})
	w := f.pull(t, worker.Config{Slots: 1}, "slow", func(ctx context.Context, _ worker.Job) (any, error) {
		started <- struct{}{}
		select {
		case <-release:
			return "done", nil
		case <-ctx.Done():
			return nil, errors.New("cut off")
		}
	})
	f.put(t, newJob("1", "slow"), newJob("2", "slow"))
	<-started
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.stop()
	}()
	<-w.left
	select {
	case <-ended:
		require.FailNow(t, "stopped with work under way")
	default:
	}
	close(release)
	<-ended
	require.JSONEq(t, `"done"`, string(f.scheduler.next(t).Result))
	require.Empty(t, started, "the second job is left to others")
	require.Equal(t, "2", f.claim(t, "slow").ID)
}

func TestWorker_MarksItsRunAndSendsItsLog(t *testing.T) {
	t.Parallel()
	f := setup(t)
	release := make(chan struct{})
	f.pull(t, worker.Config{ID: "w7"}, "slow", func(_ context.Context, job worker.Job) (any, error) {
		job.Log("begun")
		<-release
		job.Log("done")
		return "fine", nil
	})
	f.put(t, runJob("1", "slow"))
	mark := <-f.scheduler.reported
	require.Equal(t, schedulerapi.ProgressRunning, mark.Status)
	require.Equal(t, "w7", mark.WorkerID)
	require.Equal(t, "run-1", mark.RunID)
	require.Equal(t, 7, mark.RunNo)
	require.Equal(t, "begun\n", mark.Log)
	close(release)
	line := <-f.scheduler.reported
	require.Empty(t, line.Status)
	require.Equal(t, "done\n", line.Log)
	require.NotEqual(t, mark.LogID, line.LogID)
	require.JSONEq(t, `"fine"`, string(f.scheduler.next(t).Result))
}

func TestWorkers_HandOverLogsOfTheirOwn(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.put(t, runJob("1", "slow"))
	first, err := f.Poll(t.Context(), queueapi.PollParams{WorkerID: "w1", Services: []string{"slow"}, Visibility: time.Second})
	require.NoError(t, err)
	require.NoError(t, f.AddLogs(t.Context(), queueapi.LogsRequest{RunID: "run-1", Text: "a", LogID: "1", Token: first[0].Token}))
	second := f.claim(t, "slow")
	require.NoError(t, f.AddLogs(t.Context(), queueapi.LogsRequest{RunID: "run-1", Text: "b", LogID: "1", Token: second.Token}))
	one, two := <-f.scheduler.reported, <-f.scheduler.reported
	require.NotEqual(t, one.LogID, two.LogID, "each worker counts its own lines")
	requireCode(t, errs.ClaimLost, f.AddLogs(t.Context(), queueapi.LogsRequest{RunID: "run-1", Text: "c", Token: first[0].Token}))
}
