//go:build unix

package chaos

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

const (
	queueKillTasks      = 2000
	shortQueueKillTasks = 200
	// queueKills are those of each of the three.
	queueKills      = 5
	shortQueueKills = 1
	queueKillSlots  = 32
	queueKillDelay  = 20 * time.Millisecond
)

func TestQueueKill_OfWorkerGatewayAndSchedulerAppliesEachResultOnce(t *testing.T) {
	t.Parallel()
	for _, d := range drivers {
		t.Run(string(d), func(t *testing.T) {
			size, kills := queueKillTasks, queueKills
			if testing.Short() {
				size, kills = shortQueueKillTasks, shortQueueKills
			}
			killQueue(t, d.startParts(t), size, kills)
		})
	}
}

// killQueue lets tasks of one job each be done while the worker, the
// queue-gateway and the scheduler are killed in a random order, so many times
// each.
func killQueue(t *testing.T, p parts, size, kills int) {
	t.Helper()
	random, journal := seeded(t), suitetest.NewJournal(t)
	worker := p.pullWorker(t, journal, "--slots="+strconv.Itoa(queueKillSlots), "--delay="+queueKillDelay.String())
	b := queuedBatch(t, p, size, journal)

	var victims []*suitetest.Server
	for range kills {
		victims = append(victims, worker, p.queue, p.scheduler)
	}
	random.Shuffle(len(victims), func(i, j int) { victims[i], victims[j] = victims[j], victims[i] })
	begin := time.Now()
	hits := b.endure(t, b.create, moments(random, len(victims), b.steps()), victims...)
	require.NotZero(t, hits, "kills come too late to prove anything")
	b.awaitEnd(t, p.client.Tasks)
	t.Logf("%d tasks in %v, with %d kills, %d of them with work left to start",
		size, time.Since(begin).Round(time.Millisecond), len(victims), hits)

	again := b.verifyQueued(t, p.scheduler.URL, p.client.Tasks)
	t.Logf("%d executions were begun again", again)
	// A worker loses what it has with its life, and with a claim that runs out
	// while the queue-gateway comes back.
	require.LessOrEqual(t, again, 2*kills*queueKillSlots)
}

// A power cut takes all of them, and they come back in any order.
func TestQueueKill_OfAllAtOnceAppliesEachResultOnce(t *testing.T) {
	t.Parallel()
	for _, d := range drivers {
		t.Run(string(d), func(t *testing.T) {
			p, journal := d.startParts(t), suitetest.NewJournal(t)
			worker := p.pullWorker(t, journal, "--slots="+strconv.Itoa(queueKillSlots), "--delay="+queueKillDelay.String())
			b := queuedBatch(t, p, shortQueueKillTasks, journal)
			var creation errgroup.Group
			creation.Go(func() error { return b.create(t.Context()) })
			random, seen := seeded(t), map[string]bool{}
			moment := 1 + random.IntN(b.size/2)
			suitetest.Await(t, batchTimeout, func() error {
				if n := b.executions(t, seen); n < moment {
					return fmt.Errorf("%d of %d executions have started", n, moment)
				}
				return nil
			})
			all := []*suitetest.Server{worker, p.scheduler, p.queue}
			for _, server := range all {
				server.Kill(t)
			}
			random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			for _, server := range all {
				server.Restart(t)
			}
			require.NoError(t, creation.Wait())
			b.awaitEnd(t, p.client.Tasks)
			again := b.verifyQueued(t, p.scheduler.URL, p.client.Tasks)
			t.Logf("all were killed after %d of %d executions, %d were begun again", moment, b.size, again)
			require.LessOrEqual(t, again, queueKillSlots)
		})
	}
}

func queuedBatch(t *testing.T, p parts, size int, journal *suitetest.Journal) *batch {
	t.Helper()
	return &batch{
		version: p.client.Publish(t, "queued-"+strconv.Itoa(size), queuedTripling),
		size:    size, each: 1, journal: journal, schedulers: []*schedulerapi.Client{p.client.Tasks},
	}
}

// verifyQueued checks of a batch of the flow queuedTripling that there are
// exactly its tasks, each completed by one run whose end it was told once, and
// that the worker had that run alone. It returns how many executions came on top
// of one for each task.
func (b *batch) verifyQueued(t *testing.T, base string, tasks *schedulerapi.Client) (again int) {
	t.Helper()
	all, err := tasks.ListTasks(t.Context(), schedulerapi.TasksQuery{FlowVersionID: b.version, PageSize: 1})
	require.NoError(t, err)
	require.Equal(t, b.size, all.Total)

	asked := map[string]map[string]int{} // executions by task and run
	for _, e := range b.journal.Executions(t) {
		if asked[e.Task] == nil {
			asked[e.Task] = map[string]int{}
		}
		asked[e.Task][e.IdempotencyKey]++
		again++
	}
	for i, id := range b.ids {
		task, err := tasks.GetTask(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, "completed", task.Status, id)
		require.JSONEq(t, fmt.Sprintf(`{"n": %d}`, 3*(i+1)), task.SharedJSON, id)
		require.Equal(t, 1, task.StepCount, id)

		runs, err := tasks.ListRuns(t.Context(), id)
		require.NoError(t, err)
		require.Len(t, runs, 1, id)
		require.Equal(t, "ok", runs[0].Status, id)
		require.Equal(t, 1, runs[0].AttemptNo, id)
		require.JSONEq(t, strconv.Itoa(3*(i+1)), runs[0].ExecOutputJSON, id)
		require.Len(t, asked[id], 1, "runs that the worker was asked for: %v", asked[id])
		require.Contains(t, asked[id], runs[0].ID)
		require.Equal(t, onceEach(runs[0].ID), heard(t, base, id), id)
	}
	return again - b.size
}

// heard is how often a task heard of each thing, by its history.
func heard(t *testing.T, base, task string) map[string]int {
	t.Helper()
	times := map[string]int{}
	for _, event := range history(t, base, task) {
		var data struct {
			RunID string `json:"run_id"`
		}
		require.NoError(t, json.Unmarshal(event.Data, &data))
		times[strings.TrimSpace(event.Kind+" "+data.RunID)]++
	}
	return times
}

// onceEach is what a task of one run has to hear.
func onceEach(runID string) map[string]int {
	return map[string]int{"started": 1, "run_finished " + runID: 1}
}
