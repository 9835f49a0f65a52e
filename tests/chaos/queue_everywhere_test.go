//go:build unix

package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
)

// everywhere queues executions wherever one can stand. Each says by its params
// where it is, and is retried once.
const everywhere = `{
  "start": "alone",
  "nodes": {
    "alone":  {"kind": "executor", "exec_type": "queue", "service": "tenfold", "max_retries": 1, "wait_ms": 5,
               "params": {"at": "alone"}, "prep": {"input_key": "$params.n"}, "post": {"output_key": "alone"}},
    "fork":   {"kind": "parallel", "parallel_mode": "concurrent", "max_retries": 1, "wait_ms": 5, "prep": {"input_key": "$shared.alone"},
               "parallel_execs": [
                 {"exec_type": "queue", "service": "tenfold", "params": {"at": "fork/0"}},
                 {"exec_type": "queue", "service": "tenfold", "params": {"at": "fork/1"}},
                 {"exec_type": "local_func", "func": "mul", "params": {"by": 10}}],
               "post": {"output_key": "fork"}},
    "items":  {"kind": "foreach", "parallel_mode": "concurrent", "exec_type": "queue", "service": "tenfold", "max_retries": 1, "wait_ms": 5,
               "params": {"at": "items"}, "prep": {"input_key": "$shared.fork"}, "post": {"output_key": "items"}},
    "inside": {"kind": "subflow", "prep": {"input_map": {"n": "$params.n"}}, "post": {"output_key": "inside"}, "subflow": {
      "start": "one", "nodes": {
        "one":  {"kind": "executor", "exec_type": "queue", "service": "tenfold", "max_retries": 1, "wait_ms": 5,
                 "params": {"at": "inside/one"}, "prep": {"input_key": "$shared.n"}, "post": {"output_key": "one"}},
        "each": {"kind": "foreach", "exec_type": "queue", "service": "tenfold", "max_retries": 1, "wait_ms": 5,
                 "params": {"at": "inside/each", "list": [1, 2]}, "prep": {"input_key": "$params.list"}, "post": {"output_key": "each"}}},
      "edges": [{"from": "one", "to": "each"}]}}
  },
  "edges": [{"from": "alone", "to": "fork"}, {"from": "fork", "to": "items"}, {"from": "items", "to": "inside"}]
}`

// everywherePaths are the queued executions of the flow.
var everywherePaths = []string{
	"alone", "fork/0", "fork/1", "inside/each/0", "inside/each/1", "inside/one", "items/0", "items/1", "items/2",
}

const everywhereTasks = 5

func TestQueueEverywhere_EachAttemptIsAJobOfItsOwn(t *testing.T) {
	t.Parallel()
	for _, d := range drivers {
		t.Run(string(d), func(t *testing.T) {
			p := d.startParts(t)
			w := &tenfold{client: p.jobs, first: map[string]string{}, runs: map[string][]string{}}
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			group, ctx := errgroup.WithContext(ctx)
			for i := range awayPollers {
				group.Go(func() error { return w.work(ctx, "poller-"+strconv.Itoa(i)) })
			}

			flow := p.client.Publish(t, "everywhere", everywhere)
			tasks := map[string]int{}
			for n := range everywhereTasks {
				id, err := p.client.Tasks.CreateTask(t.Context(), schedulerapi.CreateTaskRequest{
					FlowVersionID: flow, Params: fmt.Appendf(nil, `{"n": %d}`, n+1),
				})
				require.NoError(t, err)
				tasks[id] = n + 1
			}
			for id, n := range tasks {
				task := p.awaitEnd(t, id)
				require.Equal(t, "completed", task.Status, "%+v", task.Error)
				require.JSONEq(t, fmt.Sprintf(`{"alone": %d0, "fork": [%d00, %d00, %d00], "items": [%d000, %d000, %d000],
					"inside": {"n": %d, "one": %d0, "each": [10, 20]}}`, n, n, n, n, n, n, n, n, n), task.SharedJSON)
				verifyEverywhere(t, p, w, id)
			}
			stop()
			require.NoError(t, group.Wait())
		})
	}
}

// verifyEverywhere checks that each queued execution of a task was tried twice,
// by two runs with a job each, of which the worker had no other, and that the
// task heard of each end once.
func verifyEverywhere(t *testing.T, p parts, w *tenfold, id string) {
	t.Helper()
	runs, err := p.client.Tasks.ListRuns(t.Context(), id)
	require.NoError(t, err)
	tried, queued, heardOf := map[string][]string{}, []string{}, heard(t, p.scheduler.URL, id)
	for _, run := range runs {
		if slices.Contains(everywherePaths, run.Path) {
			tried[run.Path] = append(tried[run.Path], fmt.Sprintf("%d %s", run.AttemptNo, run.Status))
			queued = append(queued, run.ID)
			require.Equal(t, 1, heardOf["run_finished "+run.ID], "ends of %s, attempt %d", run.Path, run.AttemptNo)
		}
	}
	require.Equal(t, everywherePaths, slices.Sorted(maps.Keys(tried)))
	for path, attempts := range tried {
		require.ElementsMatch(t, []string{"1 error", "2 ok"}, attempts, path)
	}
	require.ElementsMatch(t, queued, w.of(id), "runs that the worker was asked for")
}

// tenfold fails at first, and then multiplies by ten.
type tenfold struct {
	client *queueapi.Client

	mu    sync.Mutex
	first map[string]string   // by task and place, the run that failed
	runs  map[string][]string // by task, all that came, each by a job of its own
}

// work takes and answers jobs until ctx ends.
func (w *tenfold) work(ctx context.Context, id string) error {
	for ctx.Err() == nil {
		jobs, err := w.client.Poll(ctx, queueapi.PollParams{WorkerID: id, Services: []string{"tenfold"}, Wait: pollWait})
		if err := unlessOver(ctx, err); err != nil {
			return fmt.Errorf("poll: %w", err)
		}
		for _, job := range jobs {
			answer, err := w.do(job)
			if err != nil {
				return err
			}
			if err := w.client.Complete(ctx, answer); err != nil && ctx.Err() == nil {
				return fmt.Errorf("complete %s: %w", job.ID, err)
			}
		}
	}
	return nil
}

func (w *tenfold) do(job queueapi.Job) (queueapi.CompleteRequest, error) {
	answer := queueapi.CompleteRequest{QueueID: job.ID, Token: job.Token, RunID: job.RunID}
	var payload struct {
		Input  int
		Params struct {
			At    string
			Index int
		}
		RunID string `json:"run_id"`
	}
	if err := json.Unmarshal([]byte(job.InputJSON), &payload); err != nil {
		return answer, fmt.Errorf("job %s: %w", job.ID, err)
	}
	if payload.RunID != job.RunID || job.ID != queueapi.JobID(job.RunID) || job.Attempt != 1 {
		return answer, fmt.Errorf("job %s, delivery %d, of run %s is for run %s", job.ID, job.Attempt, job.RunID, payload.RunID)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.runs[job.TaskID] = append(w.runs[job.TaskID], job.RunID)
	place := fmt.Sprintf("%s %s %d", job.TaskID, payload.Params.At, payload.Params.Index)
	if w.first[place] == "" {
		w.first[place] = job.RunID
		answer.Error = "not at once"
	} else {
		answer.Result = fmt.Appendf(nil, "%d", 10*payload.Input)
	}
	return answer, nil
}

// of are the runs of a task that came, in no order.
func (w *tenfold) of(task string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.runs[task])
}
