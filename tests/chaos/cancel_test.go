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
	"path/filepath"
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

// place is where a task can stand still, until it is canceled there.
type place struct {
	name       string
	definition string
	// What tells that the task is there.
	status string
	open   []string // runs that have not ended, each "PATH STATUS", sorted
	calls  int      // executions that the worker has under way
	script string   // file that a script of the task has written its process id to
	claim  string   // service of a job that is claimed then
}

func (p place) String() string {
	return fmt.Sprintf("%s with runs %v and %d calls", p.status, p.open, p.calls)
}

// places are the states of every kind in which time passes. Files are made in
// dir.
func places(dir string) []place {
	script := filepath.Join(dir, "script")
	return []place{
		{
			name: "HTTP/Executing", status: "running", open: []string{"only running"}, calls: 1,
			definition: oneStep("deaf", ""),
		}, {
			name: "HTTP/BeforeAFirstWorker", status: "running", open: []string{"only running"},
			definition: oneStep("nobody", ""),
		}, {
			name: "HTTP/BehindOthers", status: "running", open: []string{"second running"}, calls: 1,
			definition: `{"start": "first", "edges": [{"from": "first", "to": "second"}], "nodes": {
				"first": {"kind": "executor", "exec_type": "local_func", "func": "upper", "params": {"text": "x"}, "post": {"output_key": "x"}},
				"second": {"kind": "executor", "service": "deaf"}}}`,
		}, {
			name: "Queue/Ready", status: "waiting_queue", open: []string{"only queued"},
			definition: oneStep("ready", `, "exec_type": "queue"`),
		}, {
			name: "Queue/Claimed", status: "waiting_queue", open: []string{"only queued"}, claim: "claimed",
			definition: oneStep("claimed", `, "exec_type": "queue"`),
		}, {
			name: "Script/Executing", status: "running", open: []string{"only running"}, script: script,
			definition: `{"start": "only", "nodes": {"only": {"kind": "executor", "exec_type": "local_script", "timeout_ms": 600000, "script": {
				"language": "sh", "code": "echo $$ > \"$1\"; exec sleep 600", "args": [` + strconv.Quote(script) + `]}}}}`,
		}, {
			name: "RetryDelay", status: "waiting",
			definition: `{"start": "only", "nodes": {"only": {
				"kind": "executor", "exec_type": "local_func", "func": "mul", "max_retries": 1, "wait_ms": 86400000}}}`,
		}, {
			name: "Timer", status: "waiting", open: []string{"only running"},
			definition: `{"start": "only", "nodes": {"only": {"kind": "timer", "delay_ms": 86400000}}}`,
		}, {
			name: "WaitEvent", status: "waiting", open: []string{"only running"},
			definition: `{"start": "only", "nodes": {"only": {"kind": "wait_event", "signal_key": "go"}}}`,
		}, {
			name: "WaitEvent/WithTimeout", status: "waiting", open: []string{"only running"},
			definition: `{"start": "only", "nodes": {"only": {"kind": "wait_event", "signal_key": "go", "timeout_ms": 86400000}}}`,
		},
	}
}

// A cancel ends a task wherever it is, and nothing that comes later changes
// anything of it: answers of its workers, signals, another cancel, a restart.
func TestCancel_AtEveryPlaceIsQuickAndStays(t *testing.T) {
	t.Parallel()
	c := newCanceling(t, "SCHEDULER_SCRIPT_ALLOW=sh")
	var canceled []told
	var slowest time.Duration
	for _, p := range places(t.TempDir()) {
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
	server *suitetest.Server
	client *suitetest.Client
	queue  *queueapi.Client
	worker *deafWorker
}

func newCanceling(t *testing.T, env ...string) *canceling {
	t.Helper()
	server := suitetest.Serve(t, suitetest.Addr(t), suitetest.Command{
		Program: suitetest.PocketFlow, Args: []string{"serve", "--data=" + t.TempDir()}, Env: env,
	})
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
	if p.claim != "" {
		err := c.queue.Complete(t.Context(), queueapi.CompleteRequest{
			QueueID: job.ID, RunID: job.RunID, WorkerID: job.WorkerID, Token: job.Token, Result: json.RawMessage(`"late"`),
		})
		require.Equal(t, errs.TaskEnded, errs.CodeOf(err), "%v", err)
	}
	suitetest.Await(t, cancelBound, func() error { return c.withdrawn(t.Context()) })
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
