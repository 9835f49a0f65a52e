//go:build unix

package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/worker"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

const (
	slowCall   = 5 * time.Second
	shortLease = 1500 * time.Millisecond
	// taskTimeout bounds one task that is asked to end.
	taskTimeout = 30 * time.Second
)

// oneStep is a flow of one node that a worker executes.
func oneStep(service, settings string) string {
	return fmt.Sprintf(`{"start": "only", "nodes": {"only": {"kind": "executor", "service": %q, "post": {"output_key": "result"}%s}}}`, service, settings)
}

// A call that lasts longer than the lease would, were it not extended, is not
// made again; one that is cut off by its time-out is made once more, as the
// second attempt.
func TestSlowWorker_IsCalledOncePerAttempt(t *testing.T) {
	t.Parallel()
	server := suitetest.Serve(t, suitetest.Addr(t), suitetest.Command{
		Program: suitetest.PocketFlow, Args: []string{"serve", "--data=" + t.TempDir()},
		Env: []string{"SCHEDULER_LEASE_TTL=" + shortLease.String()},
	})
	journal := suitetest.NewJournal(t)
	suitetest.Serve(t, suitetest.Addr(t), suitetest.Command{
		Program: suitetest.DemoWorker,
		Args:    []string{"--base=" + server.URL, "--journal=" + journal.Path, "--delay=" + slowCall.String()},
	})
	client := suitetest.Connect(t, server.URL)
	patient := client.Publish(t, "patient", oneStep("transform", ""))
	hasty := client.Publish(t, "hasty", oneStep("transform", `, "timeout_ms": 2000, "max_retries": 1, "wait_ms": 10`))

	var group errgroup.Group
	var long, cut schedulerapi.Task
	group.Go(func() (err error) { long, err = runTask(t.Context(), client, patient); return err })
	group.Go(func() (err error) { cut, err = runTask(t.Context(), client, hasty); return err })
	require.NoError(t, group.Wait())
	require.Equal(t, "completed", long.Status)
	require.JSONEq(t, `{"result": "HELLO"}`, long.SharedJSON)
	require.Equal(t, "failed", cut.Status)

	attempts := map[string][]int{}
	for _, e := range journal.Executions(t) {
		attempts[e.Task] = append(attempts[e.Task], e.Attempt)
	}
	require.Equal(t, map[string][]int{long.ID: {1}, cut.ID: {1, 2}}, attempts, "calls by task")
	for _, task := range []schedulerapi.Task{long, cut} {
		runs, err := client.Tasks.ListRuns(t.Context(), task.ID)
		require.NoError(t, err)
		require.Len(t, runs, len(attempts[task.ID]))
	}
}

// runTask starts a task and waits for its end.
func runTask(ctx context.Context, client *suitetest.Client, version string) (schedulerapi.Task, error) {
	ctx, cancel := context.WithTimeout(ctx, taskTimeout)
	defer cancel()
	id, err := client.Tasks.CreateTask(ctx, schedulerapi.CreateTaskRequest{
		FlowVersionID: version, Params: json.RawMessage(`{"text": "Hello"}`),
	})
	if err != nil {
		return schedulerapi.Task{}, err
	}
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for {
		task, err := client.Tasks.GetTask(ctx, id)
		if err != nil || task.FinishedAt != 0 {
			return task, err
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return task, fmt.Errorf("task %s is %s: %w", id, task.Status, ctx.Err())
		}
	}
}

const (
	slowTasks = 500
	fastTasks = 50
)

// It runs before the parallel tests, as it measures.
func TestSlowWorkers_DoNotSlowAFastFlow(t *testing.T) { //nolint:paralleltest // see above
	server := suitetest.Serve(t, suitetest.Addr(t), suitetest.Command{
		Program: suitetest.PocketFlow, Args: []string{"serve", "--data=" + t.TempDir()},
	})
	suitetest.Serve(t, suitetest.Addr(t), suitetest.Command{Program: suitetest.DemoWorker, Args: []string{"--base=" + server.URL}})
	client := suitetest.Connect(t, server.URL)
	stuck := newStuckWorker(t, server.URL)
	client.AwaitWorker(t, "stuck")
	fast := client.Publish(t, "fast", oneStep("transform", ""))
	slow := client.Publish(t, "slow", oneStep("stuck", `, "timeout_ms": 600000`))

	before := median(t, client, fast)
	var group errgroup.Group
	group.SetLimit(creators)
	for range slowTasks {
		group.Go(func() error {
			_, err := client.Tasks.CreateTask(t.Context(), schedulerapi.CreateTaskRequest{FlowVersionID: slow})
			return err
		})
	}
	require.NoError(t, group.Wait())
	suitetest.Await(t, taskTimeout, func() error { return stuck.holds(slowTasks) })
	during := median(t, client, fast)
	t.Logf("median of a fast task: %v alone, %v beside %d tasks that wait for a slow worker", before, during, slowTasks)
	require.LessOrEqual(t, during, 10*before+250*time.Millisecond)

	// The calls under way are aborted, and the worker hears of it.
	begin := time.Now()
	waiting := listIDs(t, client.Tasks, slow)
	require.Len(t, waiting, slowTasks)
	for _, id := range waiting {
		group.Go(func() error { return client.Tasks.Cancel(t.Context(), id) })
	}
	require.NoError(t, group.Wait())
	suitetest.Await(t, taskTimeout, func() error {
		canceled, err := client.Tasks.ListTasks(t.Context(), schedulerapi.TasksQuery{FlowVersionID: slow, Status: "canceled", PageSize: 1})
		if err == nil && canceled.Total != slowTasks {
			err = fmt.Errorf("%d of %d tasks are canceled", canceled.Total, slowTasks)
		}
		return err
	})
	suitetest.Await(t, taskTimeout, func() error { return stuck.holds(0) })
	t.Logf("%d tasks canceled in %v", slowTasks, time.Since(begin).Round(time.Millisecond))
	require.Equal(t, slowTasks, stuck.calls(), "calls of the slow worker")
}

// median runs tasks one after another.
func median(t *testing.T, client *suitetest.Client, version string) time.Duration {
	t.Helper()
	took := make([]time.Duration, 0, fastTasks)
	for range fastTasks {
		begin := time.Now()
		task, err := runTask(t.Context(), client, version)
		took = append(took, time.Since(begin))
		require.NoError(t, err)
		require.Equal(t, "completed", task.Status)
	}
	slices.Sort(took)
	return took[len(took)/2]
}

func listIDs(t *testing.T, tasks *schedulerapi.Client, version string) []string {
	t.Helper()
	page, err := tasks.ListTasks(t.Context(), schedulerapi.TasksQuery{FlowVersionID: version, PageSize: 1000})
	require.NoError(t, err)
	ids := make([]string, 0, len(page.Data))
	for _, task := range page.Data {
		ids = append(ids, task.ID)
	}
	return ids
}

// stuckWorker offers the service "stuck", which ends only when it is aborted.
type stuckWorker struct {
	mu    sync.Mutex
	now   int // executions under way
	total int
}

// newStuckWorker runs one in this process until the test ends.
func newStuckWorker(t *testing.T, base string) *stuckWorker {
	t.Helper()
	s := &stuckWorker{}
	w, err := worker.New(worker.Config{
		Mode: worker.Push, Addr: suitetest.Addr(t), RegistryURL: base, MaxConcurrency: 2 * slowTasks,
		Heartbeat: time.Second, Drain: time.Second,
	}, worker.Deps{})
	require.NoError(t, err)
	w.Handle("stuck", func(ctx context.Context, _ worker.Job) (any, error) {
		s.count(1)
		<-ctx.Done()
		s.count(-1)
		return nil, context.Cause(ctx)
	})
	ctx, stop := context.WithCancel(context.Background())
	var running errgroup.Group
	running.Go(func() error { return w.Run(ctx) })
	t.Cleanup(func() {
		stop()
		if err := running.Wait(); err != nil {
			t.Errorf("run the stuck worker: %v", err)
		}
	})
	return s
}

func (s *stuckWorker) count(change int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now += change
	s.total += max(change, 0)
}

// holds is nil when so many executions are under way.
func (s *stuckWorker) holds(want int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now != want {
		return fmt.Errorf("the worker has %d executions under way, not %d", s.now, want)
	}
	return nil
}

func (s *stuckWorker) calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}
