//go:build unix

package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

// tripling multiplies n by three, three times over, each time in place: a step
// that is lost or applied twice shows in the number. The step in the middle is
// fetched by the pull worker, the others go to the push worker. An attempt that
// a worker takes with it into its grave is made again.
const tripling = `{
  "start": "first",
  "nodes": {
    "first":  {"kind": "executor", "service": "transform", "params": {"op": "mul"}, "max_retries": 100, "wait_ms": 100,
               "prep": {"input_map": {"a": "$params.n", "b": 3}}, "post": {"output_key": "n"}},
    "second": {"kind": "executor", "exec_type": "queue", "service": "transform", "params": {"op": "mul"},
               "prep": {"input_map": {"a": "$shared.n", "b": 3}}, "post": {"output_key": "n"}},
    "third":  {"kind": "executor", "service": "transform", "params": {"op": "mul"}, "max_retries": 100, "wait_ms": 100,
               "prep": {"input_map": {"a": "$shared.n", "b": 3}}, "post": {"output_key": "n"}}
  },
  "edges": [{"from": "first", "to": "second"}, {"from": "second", "to": "third"}]
}`

var triplingNodes = []string{"first", "second", "third"}

const (
	loadSize = 300
	// loadPace is the time between two tasks: what happens to the stack happens
	// while tasks are created and while others are under way.
	loadPace = 10 * time.Millisecond
	// creators is how many requests are under way at once, at most.
	creators     = 16
	retryPause   = 20 * time.Millisecond
	batchTimeout = 90 * time.Second
)

// load is a number of tasks of the flow tripling, task i with n = i + 1.
type load struct {
	stack   *stack
	version string // of no other load
	size    int
	ids     []string

	// Requests to create a task that had to be repeated.
	unanswered  atomic.Int64 // for want of a connection, or of an answer
	unavailable atomic.Int64 // because the answer was 503
	said        atomic.Value // the last such answer, a string
}

func newLoad(t *testing.T, s *stack, name string, size int) *load {
	t.Helper()
	return &load{stack: s, version: s.client.Publish(t, name, tripling), size: size, ids: make([]string, size)}
}

// create starts the tasks one after the other at the pace, whatever happens to
// the stack meanwhile. It does what is asked of a client that wants each task
// exactly once: a request that was not answered, or that was answered 503, is
// repeated under its request id. Any other refusal is an error.
func (l *load) create(ctx context.Context, pace time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, batchTimeout)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(creators)
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	for i := range l.size {
		group.Go(func() error { return l.createOne(ctx, i) })
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return group.Wait()
		}
	}
	return group.Wait()
}

func (l *load) createOne(ctx context.Context, i int) error {
	request := schedulerapi.CreateTaskRequest{
		FlowVersionID: l.version, Params: fmt.Appendf(nil, `{"n": %d}`, i+1), RequestID: fmt.Sprintf("%s/%d", l.version, i),
	}
	pause := time.NewTicker(retryPause)
	defer pause.Stop()
	for {
		id, err := l.stack.client.Tasks.CreateTask(ctx, request)
		if err == nil {
			l.ids[i] = id
			return nil
		}
		var noAnswer *url.Error
		switch {
		case errs.CodeOf(err) != errs.Unavailable:
			return fmt.Errorf("create task %d: %w", i, err)
		case errors.As(err, &noAnswer):
			l.unanswered.Add(1)
		default:
			l.unavailable.Add(1)
			l.said.Store(err.Error())
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// executed is how many of the load's runs the workers have begun.
func (l *load) executed(t *testing.T) int {
	t.Helper()
	// The journals are of all loads, one after the other: those before are over.
	seen := map[string]bool{}
	for _, journal := range l.stack.journals {
		for _, e := range journal.Executions(t) {
			seen[e.IdempotencyKey] = true
		}
	}
	return len(seen)
}

// awaitEnd waits until all tasks have completed.
func (l *load) awaitEnd(t *testing.T) {
	t.Helper()
	suitetest.Await(t, batchTimeout, func() error {
		done, err := l.stack.client.Tasks.ListTasks(t.Context(), schedulerapi.TasksQuery{
			FlowVersionID: l.version, Status: string(storage.TaskCompleted), PageSize: 1,
		})
		if err != nil {
			return err
		}
		if done.Total != l.size {
			return fmt.Errorf("%d of %d tasks have completed", done.Total, l.size)
		}
		return nil
	})
}

// verify checks that there are exactly the load's tasks, and that the result of
// each node was applied once to each. It returns how many attempts were lost
// with a worker.
func (l *load) verify(t *testing.T) (lost int) {
	t.Helper()
	all, err := l.stack.direct.Tasks.ListTasks(t.Context(), schedulerapi.TasksQuery{FlowVersionID: l.version, PageSize: 1})
	require.NoError(t, err)
	require.Equal(t, l.size, all.Total)

	asked := map[string]map[string]bool{} // runs that workers were asked for, by task and node
	for _, journal := range l.stack.journals {
		for _, e := range journal.Executions(t) {
			place := e.Task + " " + e.Node
			if asked[place] == nil {
				asked[place] = map[string]bool{}
			}
			asked[place][e.IdempotencyKey] = true
		}
	}
	for i, id := range l.ids {
		lost += l.verifyOne(t, i, id, asked)
	}
	return lost
}

func (l *load) verifyOne(t *testing.T, i int, id string, asked map[string]map[string]bool) (lost int) {
	t.Helper()
	task, err := l.stack.direct.Tasks.GetTask(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, string(storage.TaskCompleted), task.Status, id)
	require.JSONEq(t, fmt.Sprintf(`{"n": %d}`, (i+1)*27), task.SharedJSON, id)
	require.Equal(t, len(triplingNodes), task.StepCount, id)

	runs, err := l.stack.direct.Tasks.ListRuns(t.Context(), id)
	require.NoError(t, err)
	attempts, applied, n := map[string]int{}, []string{}, i+1
	for _, run := range runs {
		attempts[run.NodeKey]++
		require.Equal(t, attempts[run.NodeKey], run.AttemptNo, "attempts of %s at %s", id, run.NodeKey)
		if run.Status != string(storage.RunOK) {
			lost++
			t.Logf("lost at %s, attempt %d: %s %s", run.NodeKey, run.AttemptNo, run.ErrorCode, run.ErrorText)
			continue
		}
		n *= 3
		applied = append(applied, run.NodeKey)
		require.JSONEq(t, fmt.Sprint(n), run.ExecOutputJSON, id)
		require.True(t, asked[id+" "+run.NodeKey][run.ID], "a worker did %s of %s", run.NodeKey, id)
	}
	require.Equal(t, triplingNodes, applied, id)

	told := l.told(t, id)
	require.Equal(t, 1, told["started"], id)
	for _, run := range runs {
		require.Equal(t, 1, told["run_finished "+run.ID], "how often %s heard of the end of %s", id, run.ID)
	}
	return lost
}

// told is how often a task heard of each thing, by its history.
func (l *load) told(t *testing.T, task string) map[string]int {
	t.Helper()
	client, err := httpx.NewClient(l.stack.replicas[schedulerPart][0].url, http.DefaultClient)
	require.NoError(t, err)
	var page schedulerapi.Events
	_, err = client.Do(t.Context(), httpx.Call{
		Method: http.MethodGet, Path: "/tasks/events", Query: url.Values{"task_id": {task}, "limit": {"1000"}}, Out: &page,
	})
	require.NoError(t, err)
	require.Zero(t, page.NextAfterSeq, "one page holds the history")
	times := map[string]int{}
	for _, event := range page.Data {
		var data struct {
			RunID string `json:"run_id"`
		}
		require.NoError(t, json.Unmarshal(event.Data, &data))
		name := event.Kind
		if data.RunID != "" {
			name += " " + data.RunID
		}
		times[name]++
	}
	return times
}
