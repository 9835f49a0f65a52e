//go:build linux

package bench

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
)

const (
	pullWorkers = 8
	// single and batched are how pull workers go about it, as setups are named.
	single  setup = ", single polls"
	batched setup = ", batches of 32"

	batchSize = 32
	// batchedInFlight are enough tasks to fill the batches of all workers.
	batchedInFlight = pullWorkers * batchSize

	idlePolls = 500
	// idleServices share the idle polls.
	idleServices = 10
)

// oneJob is a flow whose only node goes through the queue.
var oneJob = workload{floor: "queue", effects: 1, end: "completed", definition: `{
  "start": "s1",
  "nodes": {"s1": {"kind": "executor", "exec_type": "queue", "service": "bench",
            "prep": {"input_key": "$params.n"}, "post": {"output_key": "s1"}}}
}`}

// pull is W3.
func pull(b *testing.B, r *report) {
	systems := start(b, floorSQLite, allInOne)
	for _, mode := range []struct {
		name            setup
		batch, inFlight int
	}{{single, 1, inFlight}, {batched, batchSize, batchedInFlight}} {
		for _, s := range systems {
			s.pulled(b, mode.batch, mode.inFlight, warmUp)
		}
		turns{
			b: b, name: string(mode.name), systems: systems, span: 3 * time.Second,
			measure: func(s *system, d time.Duration) sample { return s.pulled(b, mode.batch, mode.inFlight, d) },
			record: func(round int, s *system, got sample) {
				r.addRate(round, &system{setup: s.setup + mode.name, against: floorSQLite + mode.name}, got)
			},
		}.run()
	}
}

// pulled is flood with pull workers.
func (s *system) pulled(b *testing.B, batch, inFlight int, d time.Duration) sample {
	b.Helper()
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	var workers errgroup.Group
	for i := range pullWorkers {
		workers.Go(func() error { return s.work(ctx, fmt.Sprintf("puller-%d", i), batch) })
	}
	got := s.flood(b, oneJob, inFlight, d)
	stop()
	require.NoError(b, workers.Wait(), s.setup)
	return got
}

// work is a pull worker: it polls, does what is asked, answers, until ctx ends.
func (s *system) work(ctx context.Context, name string, batch int) error {
	for ctx.Err() == nil {
		jobs, err := s.queue.Poll(ctx, queueapi.PollParams{WorkerID: name, Services: []string{service}, Max: batch, Wait: pollWait})
		if err := unlessOver(ctx, err); err != nil {
			return fmt.Errorf("poll: %w", err)
		}
		if len(jobs) == 0 {
			continue
		}
		completions := make([]queueapi.CompleteRequest, len(jobs))
		for i, job := range jobs {
			result, err := answer(inputOf([]byte(job.InputJSON)))
			if err != nil {
				return fmt.Errorf("input of job %s, %s: %w", job.ID, job.InputJSON, err)
			}
			completions[i] = queueapi.CompleteRequest{QueueID: job.ID, Token: job.Token, WorkerID: name, Result: result}
		}
		if err := s.answerAll(ctx, completions); err != nil {
			return fmt.Errorf("complete: %w", err)
		}
		for _, job := range jobs {
			s.account.add(job.TaskID, job.RunID)
		}
	}
	return nil
}

func (s *system) answerAll(ctx context.Context, completions []queueapi.CompleteRequest) error {
	if len(completions) == 1 {
		return s.queue.Complete(ctx, completions[0])
	}
	outcomes, err := s.queue.CompleteAll(ctx, queueapi.CompleteBatch{Completions: completions})
	if err != nil {
		return err
	}
	for _, outcome := range outcomes {
		if err := outcome.Err(); err != nil {
			return fmt.Errorf("job %s: %w", outcome.QueueID, err)
		}
	}
	return nil
}

// pickup is W3l.
func pickup(b *testing.B, r *report) {
	systems := start(b, floorSQLite, allInOne)
	for _, s := range systems {
		idle(b, s)
		s.pickups(b, warmUp)
	}
	turns{
		b: b, name: "pickup", systems: systems, span: 3 * time.Second,
		measure: func(s *system, d time.Duration) sample { return s.pickups(b, d) },
		record:  r.addPercentiles,
	}.run()
}

// idle has many long polls wait for work that never comes until the benchmark
// ends.
func idle(b *testing.B, s *system) {
	b.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var polls errgroup.Group
	for i := range idlePolls {
		polls.Go(func() error {
			for ctx.Err() == nil {
				_, err := s.queue.Poll(ctx, queueapi.PollParams{
					WorkerID: fmt.Sprintf("idle-%d", i), Services: []string{fmt.Sprintf("idle-%d", i%idleServices)}, Wait: pollWait,
				})
				if err := unlessOver(ctx, err); err != nil {
					return err
				}
			}
			return nil
		})
	}
	b.Cleanup(func() {
		stop()
		require.NoError(b, polls.Wait(), "idle polls of %s", s.setup)
	})
}

// pickups orders one job after the other for a worker that waits for it, and
// returns how long each took to be with it.
func (s *system) pickups(b *testing.B, d time.Duration) (all sample) {
	b.Helper()
	s.forgetPeak(b)
	before := s.usage(b)
	version := s.version(b, oneJob)
	arrived := make(chan time.Time, 1)
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	var polling errgroup.Group
	polling.Go(func() error { return take(ctx, s.queue, service, arrived) })
	var tasks []made
	for deadline := time.Now().Add(d); time.Now().Before(deadline); {
		<-time.After(arrival)
		task := made{n: int64(len(tasks) + 1)}
		begin := time.Now()
		var err error
		task.id, err = s.client.Tasks.CreateTask(b.Context(), schedulerapi.CreateTaskRequest{FlowVersionID: version, Params: paramsOf(task.n)})
		require.NoError(b, err)
		all.each = append(all.each, (<-arrived).Sub(begin))
		tasks = append(tasks, task)
	}
	s.awaitCount(b, version, "completed", len(tasks))
	stop()
	require.NoError(b, polling.Wait())
	all.tasks, all.usage = len(tasks), s.usage(b).since(before)
	return all
}
