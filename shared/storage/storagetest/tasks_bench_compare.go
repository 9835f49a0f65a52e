package storagetest

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// CompareTasks measures two stores in turn, so that whatever else the machine
// does befalls both: the life of a task (created, claimed, ended, each a durable
// commit), what is asked while nothing happens, and the lists of readers. It
// reports how many times as long the other one's medians take.
func CompareTasks(b *testing.B, base, other storage.Tasks) {
	stores := []*comparedTasks{{store: base}, {store: other}}
	for b.Loop() {
		for _, tasks := range stores {
			tasks.life(b)
			tasks.idle(b)
		}
	}
	// Afterwards, because they would push the pages of the others out of memory.
	for range listRounds {
		for _, tasks := range stores {
			tasks.lists(b)
		}
	}
	for _, part := range []comparedPart{partLife, partIdle, partLists} {
		b.ReportMetric(stores[1].median(part)/stores[0].median(part), string(part)+"-ratio")
	}
	b.ReportMetric(stores[1].median(partLists), "lists-µs")
}

type comparedPart string

const (
	partLife  comparedPart = "life"
	partIdle  comparedPart = "idle"
	partLists comparedPart = "lists"
)

type comparedTasks struct {
	store storage.Tasks
	n     int
	took  map[comparedPart][]time.Duration
}

const listRounds = 20

func (c *comparedTasks) life(b *testing.B) {
	c.n++
	c.measure(partLife, func() {
		created := pendingTask(0)
		created.Task.ID = benchID(c.n)
		outcomes, err := c.store.CreateTasks(b.Context(), []storage.NewTask{created})
		require.NoError(b, err)
		require.NoError(b, outcomes[0].Err)
		claimed, err := c.store.ClaimTasks(b.Context(), storage.ClaimParams{Owner: "alpha", Now: start, Until: after(time.Minute)}, 10)
		require.NoError(b, err)
		require.Len(b, claimed, 1)
		step := endStep(0, claimed[0].Lease.Epoch)
		step.Lease.TaskID = created.Task.ID
		ends, err := c.store.SettleSteps(b.Context(), []storage.TaskStep{step})
		require.NoError(b, err)
		require.NoError(b, ends[0].Err)
	})
}

func (c *comparedTasks) idle(b *testing.B) {
	c.measure(partIdle, func() {
		_, err := c.store.NextRunnable(b.Context())
		require.NoError(b, err)
		_, err = c.store.Stats(b.Context())
		require.NoError(b, err)
		_, err = c.store.ClaimOutbox(b.Context(), start, after(time.Minute), 10)
		require.NoError(b, err)
	})
}

func (c *comparedTasks) lists(b *testing.B) {
	c.measure(partLists, func() {
		for _, query := range []storage.TaskQuery{
			{}, {Status: storage.TaskCompleted}, {Status: storage.TaskFailed}, {Status: storage.TaskRunning, FlowID: "flow-1"},
			{Status: storage.TaskFailed, FlowID: "flow-1"}, {FlowVersionID: "ver-1"}, {WaitsFor: storage.WaitApproval},
		} {
			query.Limit = 10
			_, err := c.store.ListTasks(b.Context(), query)
			require.NoError(b, err)
		}
	})
}

func (c *comparedTasks) measure(part comparedPart, run func()) {
	begin := time.Now()
	run()
	if c.took == nil {
		c.took = map[comparedPart][]time.Duration{}
	}
	c.took[part] = append(c.took[part], time.Since(begin))
}

func (c *comparedTasks) median(part comparedPart) float64 {
	slices.Sort(c.took[part])
	return float64(c.took[part][len(c.took[part])/2].Microseconds())
}
