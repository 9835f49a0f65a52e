//go:build unix

package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/worker"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

const (
	canceledTasks      = 150
	shortCanceledTasks = 40
	// canceledAtOnce is how many are under way.
	canceledAtOnce = 8
	// workTime is how long each execution takes.
	workTime = 3 * time.Millisecond
)

// everyKind goes through every kind that does something by itself.
const everyKind = `{
  "start": "fan",
  "nodes": {
    "fan":  {"kind": "parallel", "parallel_mode": "concurrent", "parallel_execs": [
              {"service": "push"}, {"service": "push"}, {"exec_type": "queue", "service": "pull"}, {"exec_type": "local_func", "func": "echo"}]},
    "nap":  {"kind": "timer", "delay_ms": 5},
    "each": {"kind": "foreach", "parallel_mode": "concurrent", "max_parallel": 2, "service": "push",
             "params": {"items": [0, 1, 2, 3, 4]}, "prep": {"input_key": "$params.items"}},
    "sub":  {"kind": "subflow", "subflow": {
      "start": "push", "edges": [{"from": "push", "to": "nap"}, {"from": "nap", "to": "in"}],
      "nodes": {
        "push": {"kind": "executor", "service": "push"},
        "nap":  {"kind": "timer", "delay_ms": 3},
        "in":   {"kind": "subflow", "subflow": {"start": "pull", "nodes": {"pull": {"kind": "executor", "exec_type": "queue", "service": "pull"}}}}
      }}},
    "ask":  {"kind": "choice", "choice_cases": [{"action": "go", "expr": {"eq": [1, 1]}}]},
    "last": {"kind": "executor", "service": "push", "post": {"output_key": "end"}}
  },
  "edges": [
    {"from": "fan", "to": "nap"}, {"from": "nap", "to": "each"}, {"from": "each", "to": "sub"},
    {"from": "sub", "to": "ask"}, {"from": "ask", "action": "go", "to": "last"}
  ]
}`

// A cancel that is answered ends the task as canceled, at whatever moment it
// comes; one that comes too late is refused and changes nothing.
func TestCancel_AtAnyMomentIsKeptOrRefused(t *testing.T) {
	t.Parallel()
	for _, d := range drivers {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			cancelAtAnyMoment(t, newCanceling(t, d))
		})
	}
}

func cancelAtAnyMoment(t *testing.T, c *canceling) {
	t.Helper()
	for _, mode := range []worker.Mode{worker.Push, worker.Pull} {
		runWorker(t, c.server.URL, mode)
	}
	c.client.AwaitWorker(t, "push")
	version := c.client.Publish(t, "every-kind", everyKind)
	begin := time.Now()
	task, err := runTask(t.Context(), c.client, version)
	require.NoError(t, err)
	require.Equal(t, "completed", task.Status, "%+v", task.Error)
	whole := time.Since(begin)

	n := canceledTasks
	if testing.Short() {
		n = shortCanceledTasks
	}
	random := seeded(t)
	delays := make([]time.Duration, n)
	for i := range delays {
		delays[i] = time.Duration(random.Int64N(int64(2 * whole)))
	}
	var mu sync.Mutex
	var took []time.Duration
	ends := map[string]string{} // status by task
	var group errgroup.Group
	group.SetLimit(canceledAtOnce)
	for _, delay := range delays {
		group.Go(func() error {
			id, status, d, err := c.cancelAfter(t.Context(), version, delay)
			mu.Lock()
			defer mu.Unlock()
			if ends[id] = status; status == "canceled" {
				took = append(took, d)
			}
			return err
		})
	}
	require.NoError(t, group.Wait())
	require.NotEmpty(t, took)
	slices.Sort(took)
	t.Logf("%d of %d tasks canceled within the first %v of each: %v at p50, %v at most",
		len(took), n, (2 * whole).Round(time.Millisecond), took[len(took)/2], took[len(took)-1])
	require.Less(t, took[len(took)-1], cancelBound)

	var all []told
	for id, status := range ends {
		c.closed(t, id, status)
		all = append(all, c.tell(t, id))
	}
	suitetest.Await(t, taskTimeout, func() error { return c.withdrawn(t.Context()) })
	c.stays(t, all)
}

// cancelAfter starts a task, cancels it some time later, and tells how it ended
// and how long the cancel took.
func (c *canceling) cancelAfter(ctx context.Context, version string, delay time.Duration) (id, status string, took time.Duration, err error) {
	id, err = c.client.Tasks.CreateTask(ctx, schedulerapi.CreateTaskRequest{FlowVersionID: version})
	if err != nil {
		return "", "", 0, err
	}
	<-time.After(delay)
	begin := time.Now()
	err = c.client.Tasks.Cancel(ctx, id)
	want := "canceled"
	switch {
	case errs.CodeOf(err) == errs.TaskEnded:
		want = "completed"
	case err != nil:
		return id, "", 0, err
	}
	for {
		task, err := c.client.Tasks.GetTask(ctx, id)
		took = time.Since(begin)
		switch {
		case err != nil:
			return id, "", took, err
		case task.Status == want:
			return id, want, took, nil
		case task.FinishedAt != 0 || took > cancelBound:
			return id, task.Status, took, fmt.Errorf("task %s is %s after %v, not %s", id, task.Status, took, want)
		}
	}
}

// closed checks that nothing of an ended task is open.
func (c *canceling) closed(t *testing.T, id, status string) {
	t.Helper()
	task, err1 := c.client.Tasks.GetTask(t.Context(), id)
	runs, err2 := c.client.Tasks.ListRuns(t.Context(), id)
	require.NoError(t, errors.Join(err1, err2))
	require.Equal(t, status, task.Status)
	for _, run := range runs {
		require.NotZero(t, run.FinishedAt, "%s of %s is %s", run.Path, id, run.Status)
		require.GreaterOrEqual(t, run.FinishedAt, run.StartedAt, "%s of %s", run.Path, id)
		if status == "completed" {
			require.Equal(t, "ok", run.Status, "%s of %s", run.Path, id)
		} else {
			require.Contains(t, []string{"ok", "canceled"}, run.Status, "%s of %s", run.Path, id)
		}
	}
}

// runWorker runs a worker in this process until the test ends, which offers the
// service that is named for its mode.
func runWorker(t *testing.T, base string, mode worker.Mode) {
	t.Helper()
	w, err := worker.New(worker.Config{
		Mode: mode, Addr: suitetest.Addr(t), RegistryURL: base, QueueURL: base, Slots: canceledAtOnce, Drain: time.Second,
	}, worker.Deps{})
	require.NoError(t, err)
	w.Handle(string(mode), func(ctx context.Context, _ worker.Job) (any, error) {
		select {
		case <-time.After(workTime):
			return true, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	})
	ctx, stop := context.WithCancel(context.Background())
	var running errgroup.Group
	running.Go(func() error { return w.Run(ctx) })
	t.Cleanup(func() {
		stop()
		if err := running.Wait(); err != nil {
			t.Errorf("run the %s worker: %v", mode, err)
		}
	})
}
