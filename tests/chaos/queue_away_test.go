//go:build unix

package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

const (
	// awayVariable sets for how long a service is away.
	awayVariable  = "POCKETFLOW_CHAOS_AWAY"
	awayTime      = 30 * time.Second
	shortAwayTime = 3 * time.Second

	awayTasks = 300
	awaySlots = 8
	awayDelay = 20 * time.Millisecond
	// awayPollers answer, unlike a worker, in calls of which each is looked at.
	awayPollers = 4
)

func timeAway(t *testing.T) time.Duration {
	t.Helper()
	if text := os.Getenv(awayVariable); text != "" {
		d, err := time.ParseDuration(text)
		require.NoError(t, err, awayVariable)
		return d
	}
	if testing.Short() {
		return shortAwayTime
	}
	return awayTime
}

// Some tasks have jobs that were claimed, some jobs that wait, and some are
// created while there is nobody to give their jobs to.
func TestQueueAway_TasksWaitForTheQueueGatewayAndGoOn(t *testing.T) {
	t.Parallel()
	for _, d := range drivers {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			queueAway(t, d.startParts(t))
		})
	}
}

func queueAway(t *testing.T, p parts) {
	t.Helper()
	journal := suitetest.NewJournal(t)
	p.pullWorker(t, journal, "--slots="+strconv.Itoa(awaySlots), "--delay="+awayDelay.String())
	b := queuedBatch(t, p, awayTasks, journal)
	var creation errgroup.Group
	creation.Go(func() error { return b.create(t.Context()) })
	seen := map[string]bool{}
	suitetest.Await(t, taskTimeout, func() error {
		if n := b.executions(t, seen); n < awayTasks/10 {
			return fmt.Errorf("%d executions have started", n)
		}
		return nil
	})
	p.queue.Kill(t)
	gone := time.Now()
	require.NoError(t, creation.Wait())
	<-time.After(timeAway(t) - time.Since(gone))

	completed, waiting := b.count(t, p, "completed"), b.count(t, p, "waiting_queue")
	require.Equal(t, b.size, completed+waiting, "all tasks have completed or wait for the queue, and none failed")
	require.NotZero(t, waiting)
	p.queue.Restart(t)
	back := time.Now()
	b.awaitEnd(t, p.client.Tasks)
	t.Logf("the queue-gateway was away for %v, with %d tasks completed and %d waiting; these completed within %v",
		back.Sub(gone).Round(time.Millisecond), completed, waiting, time.Since(back).Round(time.Millisecond))
	again := b.verifyQueued(t, p.scheduler.URL, p.client.Tasks)
	require.LessOrEqual(t, again, awaySlots)
}

func (b *batch) count(t *testing.T, p parts, status string) int {
	t.Helper()
	page, err := p.client.Tasks.ListTasks(t.Context(), schedulerapi.TasksQuery{FlowVersionID: b.version, Status: status, PageSize: 1})
	require.NoError(t, err)
	return page.Total
}

func TestQueueAway_ResultsWaitForTheScheduler(t *testing.T) {
	t.Parallel()
	for _, d := range drivers {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			schedulerAway(t, d.startParts(t))
		})
	}
}

func schedulerAway(t *testing.T, p parts) {
	t.Helper()
	b := queuedBatch(t, p, awayTasks, suitetest.NewJournal(t))
	require.NoError(t, b.create(t.Context()))
	suitetest.Await(t, taskTimeout, func() error {
		stats, err := p.jobs.Stats(t.Context())
		if err == nil && (len(stats) != 1 || stats[0].Ready != b.size) {
			err = fmt.Errorf("the queue has %+v", stats)
		}
		return err
	})
	p.scheduler.Kill(t)
	gone := time.Now()

	group, ctx := errgroup.WithContext(t.Context())
	for i := range awayPollers {
		group.Go(func() error { return completeAll(ctx, p.jobs, "poller-"+strconv.Itoa(i)) })
	}
	require.NoError(t, group.Wait(), "workers notice nothing")
	answered := time.Since(gone)
	<-time.After(timeAway(t) - answered)
	p.scheduler.Restart(t)
	back := time.Now()
	b.awaitEnd(t, p.client.Tasks)
	t.Logf("the scheduler was away for %v; %d jobs were answered in %v meanwhile, their tasks completed within %v",
		back.Sub(gone).Round(time.Millisecond), b.size, answered.Round(time.Millisecond), time.Since(back).Round(time.Millisecond))
	for i, id := range b.ids {
		task, err := p.client.Tasks.GetTask(t.Context(), id)
		require.NoError(t, err)
		require.JSONEq(t, fmt.Sprintf(`{"n": "%d times three"}`, i+1), task.SharedJSON)
		runs, err := p.client.Tasks.ListRuns(t.Context(), id)
		require.NoError(t, err)
		require.Len(t, runs, 1)
		require.Equal(t, "ok", runs[0].Status)
		require.Equal(t, onceEach(runs[0].ID), heard(t, p.scheduler.URL, id))
	}
}

// completeAll takes and answers jobs of queuedTripling until there are none.
// Every answer has to be taken at once.
func completeAll(ctx context.Context, client *queueapi.Client, id string) error {
	for {
		jobs, err := client.Poll(ctx, queueapi.PollParams{WorkerID: id, Services: []string{"transform"}})
		if err != nil || len(jobs) == 0 {
			return err
		}
		n, err := factor(jobs[0])
		if err != nil {
			return err
		}
		err = client.Complete(ctx, queueapi.CompleteRequest{
			QueueID: jobs[0].ID, Token: jobs[0].Token, RunID: jobs[0].RunID, Result: fmt.Appendf(nil, `"%d times three"`, n),
		})
		if err != nil {
			return fmt.Errorf("complete: %w", err)
		}
	}
}

// factor is the n of a job of queuedTripling.
func factor(job queueapi.Job) (int, error) {
	var payload struct {
		Input struct{ A int } `json:"input"`
	}
	err := json.Unmarshal([]byte(job.InputJSON), &payload)
	return payload.Input.A, err
}
