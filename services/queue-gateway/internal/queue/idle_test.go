package queue

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/shared/pause"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// counted is a store that counts the calls that polls and loops make.
type counted struct {
	storage.Queue
	claims, looks, other atomic.Int64
}

func (s *counted) ClaimJobs(ctx context.Context, claim storage.ClaimJobs) ([]storage.Job, error) {
	s.claims.Add(1)
	return s.Queue.ClaimJobs(ctx, claim)
}

func (s *counted) NextChange(ctx context.Context, now time.Time) (time.Time, error) {
	s.looks.Add(1)
	return s.Queue.NextChange(ctx, now)
}

func (s *counted) ReadyServices(ctx context.Context, services []string, now time.Time) ([]string, error) {
	s.looks.Add(1)
	return s.Queue.ReadyServices(ctx, services, now)
}

func (s *counted) ClaimResults(ctx context.Context, now, until time.Time, limit int) ([]storage.JobResult, error) {
	s.looks.Add(1)
	return s.Queue.ClaimResults(ctx, now, until, limit)
}

func (s *counted) GetJobs(ctx context.Context, ids []string) (map[string]storage.Job, error) {
	s.other.Add(1)
	return s.Queue.GetJobs(ctx, ids)
}

func (s *counted) ListLimits(ctx context.Context) ([]storage.ServiceLimit, error) {
	s.other.Add(1)
	return s.Queue.ListLimits(ctx)
}

func (s *counted) Stats(ctx context.Context, now time.Time) ([]storage.ServiceStats, error) {
	s.other.Add(1)
	return s.Queue.Stats(ctx, now)
}

// crowd is many polls that wait on a queue that runs.
type crowd struct {
	*Queue
	store *counted
	got   chan storage.Job
	stop  func() // ends the polls and the queue, and waits for them
}

// gather starts polls for the services and returns once all of them wait.
func gather(t *testing.T, polls int, services ...string) *crowd {
	t.Helper()
	_, hooks := setup(t)
	c := &crowd{store: &counted{Queue: hooks.Queue}, got: make(chan storage.Job, polls)}
	c.Queue = New(c.store, nil, Config{Log: zap.NewNop(), MaxDeliveries: 5, Visibility: time.Minute})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { c.Run(ctx) })
	for i := range polls {
		running.Go(func() {
			jobs, err := c.Poll(ctx, PollParams{WorkerID: fmt.Sprint(i), Services: services, Max: 1, Wait: MaxWait})
			if err == nil && len(jobs) == 1 {
				c.got <- jobs[0]
			}
		})
	}
	c.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	t.Cleanup(c.stop)
	c.settle(t, polls)
	return c
}

// settle waits until so many polls wait, and none of them is claiming.
func (c *crowd) settle(t *testing.T, polls int) {
	t.Helper()
	claims := int64(-1)
	require.Eventually(t, func() bool {
		before := claims
		claims = c.store.claims.Load()
		c.bell.mu.Lock()
		defer c.bell.mu.Unlock()
		waiting := map[*waiter]struct{}{}
		for _, service := range c.bell.waiting {
			for w := range service {
				waiting[w] = struct{}{}
			}
		}
		return len(waiting) == polls && claims == before
	}, 20*time.Second, 50*time.Millisecond)
}

// ticks is how often the floor may have come since start.
func ticks(start time.Time) int64 { return int64(time.Since(start)/floor) + 1 }

func TestPoll_WaitingAsksTheDatabaseNothing(t *testing.T) {
	t.Parallel()
	const polls, seconds = 500, 3
	c := gather(t, polls, "a", "b", "c")
	start := time.Now()
	claims, looks, other := c.store.claims.Load(), c.store.looks.Load(), c.store.other.Load()
	require.True(t, pause.For(t.Context(), seconds*time.Second))
	claims, looks, other = c.store.claims.Load()-claims, c.store.looks.Load()-looks, c.store.other.Load()-other
	t.Logf("%d polls for %v: %d claims, %d looks at what is due", polls, time.Since(start), claims, looks)
	require.Zero(t, claims)
	require.LessOrEqual(t, looks, 3*ticks(start), "the watch, which looks for all, and the delivery")
	require.Zero(t, other)
}

func TestPoll_JobsWakeAsManyAsTheyNeed(t *testing.T) {
	t.Parallel()
	const polls, jobs = 500, 40
	c := gather(t, polls, "a")
	start, before := time.Now(), c.store.claims.Load()
	c.putOne(t, "lone", "a")
	require.Equal(t, "lone", (<-c.got).ID)
	c.settle(t, polls-1)
	lone := c.store.claims.Load() - before
	t.Logf("a lone job took %d claims", lone)
	require.LessOrEqual(t, lone, 2+ticks(start), "one more than needed, and what the floor asks meanwhile")

	start, before = time.Now(), c.store.claims.Load()
	batch := make([]storage.Job, jobs)
	for i := range batch {
		batch[i] = storage.Job{ID: fmt.Sprint(i), TaskID: "task", RunID: "run", Service: "a", Input: []byte(`{}`)}
	}
	require.NoError(t, c.Put(t.Context(), batch))
	for range jobs {
		<-c.got
	}
	c.settle(t, polls-1-jobs)
	burst := c.store.claims.Load() - before
	t.Logf("%d jobs at once took %d claims", jobs, burst)
	require.LessOrEqual(t, burst, 2*jobs+ticks(start))
}
