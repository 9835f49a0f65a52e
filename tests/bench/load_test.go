//go:build linux

package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
)

const (
	// countEvery is how often the server is asked how many tasks are completed,
	// once the worker has carried out all.
	countEvery = 10 * time.Millisecond
	// readBack is how many tasks of a measurement are read one by one.
	readBack = 100
)

// paramsOf are the params of a task: its number, and what makes it the size of
// an order or a message.
func paramsOf(n int64) json.RawMessage {
	return fmt.Appendf(nil, `{"n":%d,"order":{"customer":"c-48213","currency":"EUR","lines":[{"sku":"A-1001","quantity":2},{"sku":"B-2002","quantity":1}],"note":"leave it with the neighbour"}}`, n)
}

// sample is a measurement of many tasks.
type sample struct {
	tasks int
	took  time.Duration
	each  []time.Duration // what each took, where they are measured one by one
	usage usage
}

// and is both measurements as one.
func (s sample) and(other sample) sample {
	return sample{
		tasks: s.tasks + other.tasks, took: s.took + other.took,
		each: append(s.each, other.each...), usage: s.usage.and(other.usage),
	}
}

// made is a task that was created, and the number that it was given.
type made struct {
	id string
	n  int64
}

// flood keeps so many tasks in flight for a time, waits until the server says
// that all are completed, and holds each to what it is to have become.
func (s *system) flood(b *testing.B, w workload, inFlight int, d time.Duration) sample {
	b.Helper()
	version := s.version(b, w)
	s.forgetPeak(b)
	before, begin := s.usage(b), time.Now()
	tasks := s.create(b, version, inFlight, d, func(ctx context.Context, task made) error {
		select {
		case <-s.account.await(task.id, w.effects):
			return nil
		case <-ctx.Done():
			return fmt.Errorf("task %s is not carried out: %w", task.id, ctx.Err())
		}
	})
	s.awaitCount(b, version, w.end, len(tasks))
	took := time.Since(begin)
	result := sample{tasks: len(tasks), took: took, usage: s.usage(b).since(before)}
	s.verify(b, version, w, tasks)
	return result
}

// create has so many clients create tasks for a time, each the next one after
// what follows has returned.
func (s *system) create(b *testing.B, version string, clients int, d time.Duration, then func(ctx context.Context, task made) error) []made {
	b.Helper()
	var (
		numbers atomic.Int64
		mu      sync.Mutex
		tasks   []made
	)
	deadline := time.Now().Add(d)
	ctx, cancel := context.WithDeadline(b.Context(), deadline.Add(patience))
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	for range clients {
		group.Go(func() error {
			for time.Now().Before(deadline) {
				task := made{n: numbers.Add(1)}
				var err error
				task.id, err = s.client.Tasks.CreateTask(ctx, schedulerapi.CreateTaskRequest{FlowVersionID: version, Params: paramsOf(task.n)})
				if err != nil {
					return fmt.Errorf("create a task: %w", err)
				}
				mu.Lock()
				tasks = append(tasks, task)
				mu.Unlock()
				if err := then(ctx, task); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(b, group.Wait(), s.setup)
	return tasks
}

// counted is how many tasks of a version are to have a status.
type counted struct {
	version, status string
	want            int
}

// awaitCount waits until the server says that so many tasks of the version have
// the status.
func (s *system) awaitCount(b *testing.B, version, status string, want int) {
	b.Helper()
	s.awaitCountEvery(b, countEvery, counted{version: version, status: status, want: want})
}

func (s *system) awaitCountEvery(b *testing.B, pause time.Duration, c counted) {
	b.Helper()
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for deadline := time.Now().Add(patience); ; <-ticker.C {
		page, err := s.client.Tasks.ListTasks(b.Context(), schedulerapi.TasksQuery{FlowVersionID: c.version, Status: c.status, PageSize: 1})
		require.NoError(b, err)
		if page.Total == c.want {
			return
		}
		require.Less(b, page.Total, c.want, "%s: tasks that are %s", s.setup, c.status)
		require.True(b, time.Now().Before(deadline), "%s: %d of %d tasks are %s", s.setup, page.Total, c.want, c.status)
	}
}

// verify holds the tasks of a measurement to the worker's account, all of them,
// and to what the server says of them, a good part.
func (s *system) verify(b *testing.B, version string, w workload, tasks []made) {
	b.Helper()
	page, err := s.client.Tasks.ListTasks(b.Context(), schedulerapi.TasksQuery{FlowVersionID: version, PageSize: 1})
	require.NoError(b, err)
	require.Equal(b, len(tasks), page.Total, "%s: tasks that the server has", s.setup)
	for _, task := range tasks {
		require.NoError(b, s.account.settle(task.id), s.setup)
	}
	for i := 0; i < len(tasks); i += max(1, len(tasks)/readBack) {
		require.NoError(b, s.check(b.Context(), w, tasks[i]), s.setup)
	}
}

// check reads a task and holds it to what it is to have become.
func (s *system) check(ctx context.Context, w workload, task made) error {
	got, err := s.client.Tasks.GetTask(ctx, task.id)
	if err != nil {
		return err
	}
	if got.Status != w.end {
		return fmt.Errorf("task %s is %s", task.id, got.Status)
	}
	shared := map[string]int64{}
	if err := json.Unmarshal([]byte(got.SharedJSON), &shared); err != nil {
		return fmt.Errorf("shared state of task %s, %s: %w", task.id, got.SharedJSON, err)
	}
	if len(shared) != w.effects {
		return fmt.Errorf("task %s of number %d has the shared state %s", task.id, task.n, got.SharedJSON)
	}
	for i := 1; i <= w.effects; i++ {
		if shared[fmt.Sprintf("s%d", i)] != task.n+int64(i) {
			return fmt.Errorf("task %s of number %d has the shared state %s", task.id, task.n, got.SharedJSON)
		}
	}
	return nil
}
