//go:build unix

package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/worker"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

// cancelBound is when a cancel counts as hung. How long it took is printed.
const cancelBound = 5 * time.Second

// A cancel ends a task wherever it is, and nothing that comes later changes
// anything of it: answers of its workers, signals, another cancel, a restart.
func TestCancel_AtEveryPlaceIsQuickAndStays(t *testing.T) {
	t.Parallel()
	for _, d := range drivers {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			cancelAtEveryPlace(t, newCanceling(t, d))
		})
	}
}

func cancelAtEveryPlace(t *testing.T, c *canceling) {
	t.Helper()
	var canceled []told
	var slowest time.Duration
	c.client.Publish(t, published, oneStep("deaf", ""))
	for _, p := range append(simplePlaces(t.TempDir()), compositePlaces()...) {
		t.Run(p.name, func(t *testing.T) {
			task := c.bring(t, p)
			took, is := c.cancel(t, task, p)
			t.Logf("canceled in %v", took.Round(100*time.Microsecond))
			slowest = max(slowest, took)
			canceled = append(canceled, is)
		})
	}
	c.stays(t, canceled)
	c.server.Kill(t)
	c.server.Restart(t)
	c.stays(t, canceled)
	t.Logf("%d tasks canceled, each in %v at most", len(canceled), slowest.Round(100*time.Microsecond))
}

// canceling is a server with a worker that answers too late, whose tasks are
// canceled.
type canceling struct {
	server suite
	client *suitetest.Client
	queue  *queueapi.Client
	worker *deafWorker
}

func newCanceling(t *testing.T, d driver, env ...string) *canceling {
	t.Helper()
	server := d.serve(t, env...)
	queue, err := queueapi.NewClient(server.URL, http.DefaultClient)
	require.NoError(t, err)
	c := &canceling{server: server, client: suitetest.Connect(t, server.URL), queue: queue, worker: newDeafWorker(t, server.URL)}
	c.client.AwaitWorker(t, "deaf")
	return c
}

// bring starts a task and waits until it is at the place.
func (c *canceling) bring(t *testing.T, p place) string {
	t.Helper()
	id, err := c.client.Tasks.CreateTask(t.Context(), schedulerapi.CreateTaskRequest{
		FlowVersionID: c.client.Publish(t, p.name, p.definition),
	})
	require.NoError(t, err)
	suitetest.Await(t, taskTimeout, func() error {
		task, err1 := c.client.Tasks.GetTask(t.Context(), id)
		runs, err2 := c.client.Tasks.ListRuns(t.Context(), id)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		var open []string
		for _, run := range runs {
			if run.FinishedAt == 0 {
				open = append(open, run.Path+" "+run.Status)
			}
		}
		slices.Sort(open)
		is := place{status: task.Status, open: open, calls: c.worker.calls(id)}
		if is.status != p.status || !slices.Equal(is.open, p.open) || is.calls != p.calls {
			return fmt.Errorf("the task is %v, not yet %v", is, p)
		}
		if p.script != "" {
			_, err := processID(p.script)
			return err
		}
		return nil
	})
	return id
}

// cancel cancels a task that is at the place, measures until it is canceled,
// and then does all that might change it.
func (c *canceling) cancel(t *testing.T, id string, p place) (time.Duration, told) {
	t.Helper()
	var job queueapi.Job
	if p.claim != "" {
		job = c.claim(t, p.claim)
		require.Equal(t, id, job.TaskID)
	}
	before, err := c.client.Tasks.ListRuns(t.Context(), id)
	require.NoError(t, err)

	begin := time.Now()
	require.NoError(t, c.client.Tasks.Cancel(t.Context(), id))
	task := c.awaitCanceled(t, id)
	took := time.Since(begin)
	require.Less(t, took, cancelBound)
	is := c.tell(t, id)
	require.Empty(t, task.CurrentNodeKey)
	require.NotZero(t, task.FinishedAt)
	require.Nil(t, task.Error)
	runs, err := c.client.Tasks.ListRuns(t.Context(), id)
	require.NoError(t, err)
	require.Len(t, runs, len(before))
	for i, run := range runs {
		want := before[i].Status
		if before[i].FinishedAt == 0 {
			want = "canceled"
		}
		require.Equal(t, want, run.Status, run.Path)
		require.NotZero(t, run.FinishedAt, run.Path)
	}

	// Its workers hear of it, those that can be told, and answer too late.
	if p.script != "" {
		pid, err := processID(p.script)
		require.NoError(t, err)
		suitetest.Await(t, cancelBound, func() error { return gone(pid) })
	}
	suitetest.Await(t, cancelBound, func() error { return c.worker.heard(id, p.calls) })
	c.worker.answer(t, id)
	suitetest.Await(t, cancelBound, func() error { return c.withdrawn(t.Context()) })
	if p.claim != "" {
		err := c.queue.Complete(t.Context(), queueapi.CompleteRequest{
			QueueID: job.ID, RunID: job.RunID, WorkerID: job.WorkerID, Token: job.Token, Result: json.RawMessage(`"late"`),
		})
		require.Equal(t, errs.TaskEnded, errs.CodeOf(err), "%v", err)
	}
	err = c.client.Tasks.Signal(t.Context(), schedulerapi.SignalRequest{TaskID: id, Key: "go", Value: json.RawMessage("true")})
	require.Equal(t, errs.TaskEnded, errs.CodeOf(err), "%v", err)
	require.NoError(t, c.client.Tasks.Cancel(t.Context(), id), "a repeat")
	c.stays(t, []told{is})
	return took, is
}

func (c *canceling) awaitCanceled(t *testing.T, id string) (task schedulerapi.Task) {
	t.Helper()
	suitetest.Await(t, cancelBound, func() (err error) {
		if task, err = c.client.Tasks.GetTask(t.Context(), id); err == nil && task.Status != "canceled" {
			err = fmt.Errorf("the task is %s", task.Status)
		}
		return err
	})
	return task
}

func (c *canceling) claim(t *testing.T, service string) queueapi.Job {
	t.Helper()
	jobs, err := c.queue.Poll(t.Context(), queueapi.PollParams{WorkerID: "puller", Services: []string{service}, Wait: taskTimeout})
	require.NoError(t, err)
	require.Len(t, jobs, 1)
	return jobs[0]
}

// withdrawn is nil when the queue has no job that a worker could get or has.
func (c *canceling) withdrawn(ctx context.Context) error {
	stats, err := c.queue.Stats(ctx)
	for _, s := range stats {
		if s.Ready+s.Claimed+s.Delayed > 0 {
			err = errors.Join(err, fmt.Errorf("there are jobs: %+v", s))
		}
	}
	return err
}

// told is all that a server tells about a task, to the byte.
type told struct{ id, task, runs, events string }

func (c *canceling) tell(t *testing.T, id string) told {
	t.Helper()
	get := func(path string) string {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.server.URL+path+id, http.NoBody)
		require.NoError(t, err)
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, response.StatusCode, "%s", body)
		return string(body)
	}
	return told{id: id, task: get("/tasks/get?id="), runs: get("/tasks/runs?task_id="), events: get("/tasks/events?task_id=")}
}

func (c *canceling) stays(t *testing.T, all []told) {
	t.Helper()
	for _, was := range all {
		require.Equal(t, was, c.tell(t, was.id))
	}
}

// processID reads what a script has written.
func processID(file string) (int, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	line, whole := strings.CutSuffix(string(text), "\n")
	if !whole {
		return 0, fmt.Errorf("%s has %q", file, text)
	}
	return strconv.Atoi(line)
}

// gone is nil when the process has ended.
func gone(pid int) error {
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("process %d lives on: %w", pid, err)
	}
	return nil
}

// deafWorker offers the service "deaf". It hears when an execution is aborted,
// goes on nevertheless, and answers when it is told to.
type deafWorker struct {
	mu     sync.Mutex
	byTask map[string]*deafTask
}

type deafTask struct {
	calls, aborted, answered int
	answer                   chan struct{}
}

func newDeafWorker(t *testing.T, base string) *deafWorker {
	t.Helper()
	d := &deafWorker{byTask: map[string]*deafTask{}}
	w, err := worker.New(worker.Config{
		Mode: worker.Push, Addr: suitetest.Addr(t), RegistryURL: base, Heartbeat: time.Second, Drain: time.Second,
	}, worker.Deps{})
	require.NoError(t, err)
	w.Handle("deaf", func(ctx context.Context, job worker.Job) (any, error) {
		task := d.task(job.TaskID)
		d.count(&task.calls)
		<-ctx.Done()
		d.count(&task.aborted)
		<-task.answer
		defer d.count(&task.answered)
		return "late", nil
	})
	ctx, stop := context.WithCancel(context.Background())
	var running errgroup.Group
	running.Go(func() error { return w.Run(ctx) })
	t.Cleanup(func() {
		stop()
		if err := running.Wait(); err != nil {
			t.Errorf("run the deaf worker: %v", err)
		}
	})
	return d
}

func (d *deafWorker) task(id string) *deafTask {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.byTask[id] == nil {
		d.byTask[id] = &deafTask{answer: make(chan struct{})}
	}
	return d.byTask[id]
}

func (d *deafWorker) count(n *int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	*n++
}

func (d *deafWorker) calls(id string) int {
	task := d.task(id)
	d.mu.Lock()
	defer d.mu.Unlock()
	return task.calls
}

// heard is nil when so many executions of a task have been aborted.
func (d *deafWorker) heard(id string, want int) error {
	task := d.task(id)
	d.mu.Lock()
	defer d.mu.Unlock()
	if task.aborted != want || task.calls != want {
		return fmt.Errorf("%d of %d executions are aborted, not %d", task.aborted, task.calls, want)
	}
	return nil
}

// answer lets the executions of a task answer.
func (d *deafWorker) answer(t *testing.T, id string) {
	t.Helper()
	task := d.task(id)
	close(task.answer)
	suitetest.Await(t, cancelBound, func() error {
		d.mu.Lock()
		defer d.mu.Unlock()
		if task.answered != task.calls {
			return fmt.Errorf("%d of %d executions have answered", task.answered, task.calls)
		}
		return nil
	})
}
