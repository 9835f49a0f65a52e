//go:build unix

package chaos

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

// tripling multiplies n by three, three times over, each time in place: a step
// that is lost or applied twice shows in the number.
const tripling = `{
  "start": "first",
  "nodes": {
    "first":  {"kind": "executor", "service": "transform", "params": {"op": "mul"}, "prep": {"input_map": {"a": "$params.n", "b": 3}}, "post": {"output_key": "n"}},
    "second": {"kind": "executor", "service": "transform", "params": {"op": "mul"}, "prep": {"input_map": {"a": "$shared.n", "b": 3}}, "post": {"output_key": "n"}},
    "third":  {"kind": "executor", "service": "transform", "params": {"op": "mul"}, "prep": {"input_map": {"a": "$shared.n", "b": 3}}, "post": {"output_key": "n"}}
  },
  "edges": [{"from": "first", "to": "second"}, {"from": "second", "to": "third"}]
}`

var triplingNodes = []string{"first", "second", "third"}

const (
	creators = 8 // at once
	// batchTimeout bounds a batch with everything that happens to it.
	batchTimeout = 90 * time.Second
	retryPause   = 20 * time.Millisecond
)

// batch is a number of tasks of a flow, task i with n = i + 1.
type batch struct {
	version string // of the flow, and of no other batch
	size    int
	each    int                // executions by the worker of each task, when each happens once
	journal *suitetest.Journal // of the only worker
	// schedulers are called in turn, the next when one cannot be reached.
	schedulers []*schedulerapi.Client

	ids  []string
	away []atomic.Bool // by scheduler: it gave no answer when asked last
}

// create starts the tasks, whatever happens to the servers meanwhile: like a
// client that wants each task exactly once, it repeats a request that got no
// answer under the same request id.
func (b *batch) create(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, batchTimeout)
	defer cancel()
	b.ids, b.away = make([]string, b.size), make([]atomic.Bool, len(b.schedulers))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(creators)
	for i := range b.size {
		group.Go(func() (err error) {
			b.ids[i], err = b.createOne(ctx, i)
			return err
		})
	}
	return group.Wait()
}

func (b *batch) createOne(ctx context.Context, i int) (string, error) {
	request := schedulerapi.CreateTaskRequest{
		FlowVersionID: b.version,
		Params:        fmt.Appendf(nil, `{"n": %d}`, i+1),
		RequestID:     fmt.Sprintf("%s/%d", b.version, i),
	}
	pause := time.NewTicker(retryPause)
	defer pause.Stop()
	next := i % len(b.schedulers)
	if b.away[next].Load() {
		next = (next + 1) % len(b.schedulers)
	}
	for {
		id, err := b.schedulers[next].CreateTask(ctx, request)
		b.away[next].Store(err != nil)
		if errs.CodeOf(err) != errs.Unavailable {
			return id, err
		}
		next = (next + 1) % len(b.schedulers)
		select {
		case <-pause.C:
		case <-ctx.Done():
			return "", errors.Join(ctx.Err(), err)
		}
	}
}

// executions is how many of the batch's executions have started, repeats not
// counted.
func (b *batch) executions(t *testing.T, seen map[string]bool) int {
	t.Helper()
	clear(seen)
	for _, execution := range b.journal.Executions(t) {
		seen[execution.IdempotencyKey] = true
	}
	return len(seen)
}

// steps is how many executions the batch has when each happens once.
func (b *batch) steps() int { return b.size * b.each }

// awaitEnd waits until all tasks have completed.
func (b *batch) awaitEnd(t *testing.T, tasks *schedulerapi.Client) {
	t.Helper()
	suitetest.Await(t, batchTimeout, func() error {
		done, err := tasks.ListTasks(t.Context(), schedulerapi.TasksQuery{FlowVersionID: b.version, Status: "completed", PageSize: 1})
		if err != nil {
			return err
		}
		if done.Total != b.size {
			return fmt.Errorf("%d of %d tasks have completed", done.Total, b.size)
		}
		return nil
	})
}

// verify checks of a batch of the flow tripling that there are exactly its tasks,
// and that each went through every node once, with the right results, in the state and in the
// runs, and that the worker was asked for each run under one key alone.
func (b *batch) verify(t *testing.T, tasks *schedulerapi.Client) {
	t.Helper()
	all, err := tasks.ListTasks(t.Context(), schedulerapi.TasksQuery{FlowVersionID: b.version, PageSize: 1})
	require.NoError(t, err)
	require.Equal(t, b.size, all.Total)

	keys := map[string]map[string]bool{} // by task and node
	for _, e := range b.journal.Executions(t) {
		place := e.Task + " " + e.Node
		if keys[place] == nil {
			keys[place] = map[string]bool{}
		}
		keys[place][e.IdempotencyKey] = true
		require.Equal(t, 1, e.Attempt, place)
	}
	for i, id := range b.ids {
		task, err := tasks.GetTask(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, "completed", task.Status, id)
		require.JSONEq(t, fmt.Sprintf(`{"n": %d}`, (i+1)*27), task.SharedJSON, id)
		require.Equal(t, len(triplingNodes), task.StepCount, id)

		runs, err := tasks.ListRuns(t.Context(), id)
		require.NoError(t, err)
		require.Len(t, runs, len(triplingNodes), id)
		n := i + 1
		for k, run := range runs {
			n *= 3
			require.Equal(t, triplingNodes[k], run.NodeKey, id)
			require.Equal(t, "ok", run.Status, id)
			require.Equal(t, 1, run.AttemptNo, id)
			require.JSONEq(t, fmt.Sprint(n), run.ExecOutputJSON, id)
			require.Equal(t, map[string]bool{run.ID: true}, keys[id+" "+run.NodeKey], "keys that the worker was asked under")
		}
	}
}
