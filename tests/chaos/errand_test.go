//go:build unix

package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/pause"
	"github.com/pocketflowgo/pocketflow/shared/worker"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

// errand goes through composite nodes of every kind: items and branches that
// are executed in every way and fail at first, a published flow, a wait two
// subflows deep, and an approval. Every value is a multiple of n.
const errand = `{
  "start": "each",
  "nodes": {
    "each":  {"kind": "foreach", "parallel_mode": "concurrent", "service": "transform",
              "params": {"op": "mul", "by": "$params.n", "items": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]},
              "prep": {"input_key": "$params.items"}, "post": {"output_key": "each"}},
    "mixed": {"kind": "parallel", "parallel_mode": "concurrent", "max_retries": 1, "wait_ms": 5, "prep": {"input_key": "$params.n"},
              "parallel_execs": [
                {"service": "flaky", "params": {"failures": 1}, "post": {"output_key": "flaky"}},
                {"exec_type": "queue", "service": "reluctant"},
                {"exec_type": "local_func", "func": "mul", "params": {"by": 100}}],
              "post": {"output_key": "mixed"}},
    "ref":   {"kind": "subflow", "flow": {"name": "part"}, "prep": {"input_map": {"n": "$params.n"}}, "post": {"output_key": "ref"}},
    "deep":  {"kind": "subflow", "post": {"output_key": "deep"}, "subflow": {"start": "deeper", "nodes": {
      "deeper": {"kind": "subflow", "post": {"output_key": "deeper"}, "subflow": {"start": "wait", "nodes": {
        "wait": {"kind": "wait_event", "signal_key": "go", "post": {"output_key": "heard"}}}}}}}},
    "ask":   {"kind": "approval", "approval_key": "decision", "prep": {"input_key": "$shared.mixed"}},
    "last":  {"kind": "executor", "service": "transform", "params": {"op": "mul"},
              "prep": {"input_map": {"a": "$shared.mixed[1]", "b": 3}}, "post": {"output_key": "last"}}
  },
  "edges": [
    {"from": "each", "to": "mixed"}, {"from": "mixed", "to": "ref"}, {"from": "ref", "to": "deep"},
    {"from": "deep", "to": "ask"}, {"from": "ask", "action": "approved", "to": "last"}
  ]
}`

// errandPart is what errand refers to by its name.
const errandPart = `{
  "start": "each",
  "nodes": {
    "each": {"kind": "foreach", "parallel_mode": "concurrent", "service": "flaky",
             "failure_strategy": "retry", "max_retries": 1, "wait_ms": 5,
             "params": {"failures": 1, "items": ["$params.n", 1, 2]},
             "prep": {"input_key": "$params.items"}, "post": {"output_key": "each"}},
    "nap":  {"kind": "timer", "delay_ms": NAP}
  },
  "edges": [{"from": "each", "to": "nap"}]
}`

const (
	errands          = 40
	errandItems      = 12
	errandKills      = 5
	shortErrands     = 15
	shortErrandKills = 2
	errandDelay      = 10 * time.Millisecond
	errandNap        = 20 * time.Millisecond
	// errandPushes are the executions of one errand by the worker with the
	// journal: the items, flaky twice, three items twice, and the last node.
	errandPushes = errandItems + 2 + 2*3 + 1
	approver     = "a client"
	// claimTime is how long a job is lost that the queue had just given to the
	// worker, when that was never told.
	claimTime = time.Second
)

func TestKill_OfTheAllInOneEndsCompositeNodesOnce(t *testing.T) {
	t.Parallel()
	server := suitetest.Serve(t, suitetest.Addr(t), suitetest.Command{
		Program: suitetest.PocketFlow, Args: []string{"serve", "--data=" + t.TempDir()},
	})
	client, journal := suitetest.Connect(t, server.URL), suitetest.NewJournal(t)
	suitetest.Serve(t, suitetest.Addr(t), suitetest.Command{
		Program: suitetest.DemoWorker,
		Args:    []string{"--base=" + server.URL, "--journal=" + journal.Path, "--delay=" + errandDelay.String()},
	})
	b := newErrands(t, client, errandBatch{
		batch:     &batch{journal: journal, schedulers: []*schedulerapi.Client{client.Tasks}},
		reluctant: startReluctant(t, server.URL, server.URL),
	})
	hits := b.endure(t, b.serve, b.moments(t), server)
	require.NotZero(t, hits, "kills come too late to prove anything")
	b.verify(t, server.URL, client.Tasks)
}

// The worker that pulls hands its results to a queue-gateway that knows the
// first scheduler alone: they wait until that is back.
func TestReplicas_EndCompositeNodesOnceWhenEachIsKilledInTurn(t *testing.T) {
	t.Parallel()
	p := newPair(t, errandDelay)
	queue := suitetest.Serve(t, p.queue, suitetest.Command{
		Program: suitetest.Queue, Args: []string{"--db=" + t.TempDir() + "/queue.db", "--scheduler-url=" + p.a.URL},
	})
	b := newErrands(t, p.b.client, errandBatch{
		batch:     &batch{journal: p.journal, schedulers: []*schedulerapi.Client{p.a.client.Tasks, p.b.client.Tasks}},
		reluctant: startReluctant(t, p.bases.Registry, queue.URL),
	})
	hits := b.endure(t, b.serve, b.moments(t), p.a.Server, p.b.Server)
	require.NotZero(t, hits, "kills come too late to prove anything")
	b.verify(t, p.b.URL, p.b.client.Tasks)
}

// errandBatch is a number of errands, with everybody who has a part in them.
type errandBatch struct {
	*batch
	reluctant *reluctant
}

// newErrands publishes the flows of a batch of errands.
func newErrands(t *testing.T, client *suitetest.Client, b errandBatch) *errandBatch {
	t.Helper()
	client.Publish(t, "part", strings.Replace(errandPart, "NAP", fmt.Sprint(errandNap.Milliseconds()), 1))
	b.version, b.each, b.size = client.Publish(t, "errand", errand), errandPushes, errands
	if testing.Short() {
		b.size = shortErrands
	}
	return &b
}

// moments are some at any time, and one amid the decisions, after which there is
// but the last node.
func (b *errandBatch) moments(t *testing.T) []int {
	t.Helper()
	n := errandKills
	if testing.Short() {
		n = shortErrandKills
	}
	return append(moments(seeded(t), n-1, b.steps()), b.steps()-b.size/2)
}

// serve starts the errands and attends to them.
func (b *errandBatch) serve(ctx context.Context) error {
	if err := b.create(ctx); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	return b.attend(ctx)
}

// attend sends each errand the signal that it waits for, and decides
// what it asks, until all have completed. Like clients do that want each done
// once, both repeat what was not answered. Every other signal is sent before
// its errand waits for it.
func (b *errandBatch) attend(ctx context.Context) error {
	ctx, stop := context.WithTimeout(ctx, batchTimeout)
	defer stop()
	group, ctx := errgroup.WithContext(ctx)
	for i, id := range b.ids {
		if i%2 == 0 {
			group.Go(func() error { return b.signal(ctx, i, id) })
		}
	}
	group.Go(func() error {
		return b.until(ctx, func() (bool, error) { return b.signalThoseThatWait(ctx) })
	})
	group.Go(func() error {
		return b.until(ctx, func() (bool, error) { return b.decideAll(ctx) })
	})
	return group.Wait()
}

// until repeats work until it says that all is done.
func (b *errandBatch) until(ctx context.Context, work func() (done bool, err error)) error {
	for {
		if done, err := work(); done || err != nil {
			return err
		}
		if !pause.For(ctx, retryPause) {
			return context.Cause(ctx)
		}
	}
}

// ask repeats a request until a scheduler answers it.
func (b *errandBatch) ask(ctx context.Context, request func(*schedulerapi.Client) error) error {
	next := 0
	return insist(ctx, func() error {
		err := request(b.schedulers[next%len(b.schedulers)])
		next++
		return err
	})
}

func (b *errandBatch) signal(ctx context.Context, i int, id string) error {
	return b.ask(ctx, func(tasks *schedulerapi.Client) error {
		return tasks.Signal(ctx, schedulerapi.SignalRequest{TaskID: id, Key: "go", Value: fmt.Appendf(nil, "%d", 7*(i+1)), SignalID: "go"})
	})
}

func (b *errandBatch) signalThoseThatWait(ctx context.Context) (done bool, err error) {
	var completed, waiting []schedulerapi.Task
	err = b.ask(ctx, func(tasks *schedulerapi.Client) error {
		all, err := tasks.ListTasks(ctx, schedulerapi.TasksQuery{FlowVersionID: b.version, PageSize: b.size})
		completed, waiting = nil, nil
		for _, task := range all.Data {
			switch {
			case task.Status == "completed":
				completed = append(completed, task)
			case task.Status == "waiting" && task.CurrentNodeKey == "deep":
				waiting = append(waiting, task)
			}
		}
		return err
	})
	for _, task := range waiting {
		if err := b.signal(ctx, slices.Index(b.ids, task.ID), task.ID); err != nil {
			return false, fmt.Errorf("signal %s: %w", task.ID, err)
		}
	}
	return len(completed) == b.size, err
}

func (b *errandBatch) decideAll(ctx context.Context) (done bool, err error) {
	var asked []schedulerapi.Approval
	err = b.ask(ctx, func(tasks *schedulerapi.Client) error {
		list, err1 := tasks.ListApprovals(ctx, schedulerapi.ApprovalsQuery{PageSize: b.size})
		all, err2 := tasks.ListTasks(ctx, schedulerapi.TasksQuery{FlowVersionID: b.version, Status: "completed", PageSize: 1})
		asked, done = list.Data, all.Total == b.size
		return errors.Join(err1, err2)
	})
	for _, a := range asked {
		err := b.ask(ctx, func(tasks *schedulerapi.Client) error {
			err := tasks.Decide(ctx, schedulerapi.DecideRequest{
				TaskID: a.TaskID, RunID: a.RunID, Digest: a.Digest, Decision: json.RawMessage("true"), DecidedBy: approver,
			})
			if errs.CodeOf(err) == errs.LeaseHeld {
				return errs.New(errs.Unavailable, "%v", err)
			}
			return err
		})
		if err != nil {
			return false, fmt.Errorf("decide %s: %w", a.TaskID, err)
		}
	}
	return done, err
}

// reluctant is a pull worker that refuses the first run of each task for which
// it is asked, however often that is delivered, and multiplies by ten for any
// other.
type reluctant struct {
	mu      sync.Mutex
	refused map[string]string          // run by task
	runs    map[string]map[string]bool // by task
}

func startReluctant(t *testing.T, registry, queue string) *reluctant {
	t.Helper()
	r := &reluctant{refused: map[string]string{}, runs: map[string]map[string]bool{}}
	w, err := worker.New(worker.Config{
		Mode: worker.Pull, RegistryURL: registry, QueueURL: queue, Slots: creators, Visibility: claimTime, Drain: time.Second,
	}, worker.Deps{})
	require.NoError(t, err)
	w.Handle("reluctant", r.do)
	ctx, stop := context.WithCancel(context.Background())
	var running errgroup.Group
	running.Go(func() error { return w.Run(ctx) })
	t.Cleanup(func() {
		stop()
		if err := running.Wait(); err != nil {
			t.Errorf("run the reluctant worker: %v", err)
		}
	})
	return r
}

func (r *reluctant) do(_ context.Context, job worker.Job) (any, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.runs[job.TaskID] == nil {
		r.runs[job.TaskID] = map[string]bool{}
		r.refused[job.TaskID] = job.RunID
	}
	r.runs[job.TaskID][job.RunID] = true
	if r.refused[job.TaskID] == job.RunID {
		return nil, errors.New("not at once")
	}
	var n int
	if err := json.Unmarshal(job.Input, &n); err != nil {
		return nil, worker.Permanent(err)
	}
	return 10 * n, nil
}

// asked are the runs of a task that it was asked for.
func (r *reluctant) asked(task string) map[string]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.runs[task])
}
