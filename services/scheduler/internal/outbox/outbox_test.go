package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/connect"
)

const patience = 20 * time.Second

// queue is a queue-gateway that can be away.
type queue struct {
	mu        sync.Mutex
	away      bool
	jobs      map[string]queueapi.NewJob
	withdrawn []string
	calls     []string
}

func (q *queue) PutJobs(_ context.Context, jobs []queueapi.NewJob) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.calls = append(q.calls, "put")
	if q.away {
		return errors.New("away")
	}
	for _, job := range jobs {
		q.jobs[job.ID] = job
	}
	return nil
}

func (q *queue) WithdrawJobs(_ context.Context, ids []string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.calls = append(q.calls, "withdraw")
	q.withdrawn = append(q.withdrawn, ids...)
	return nil
}

func (q *queue) set(away bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.away = away
}

func (q *queue) count() (jobs, calls int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.jobs), len(q.calls)
}

func openStore(t *testing.T) storage.Tasks {
	t.Helper()
	store, err := connect.Tasks(t.Context(), filepath.Join(t.TempDir(), "scheduler.db"), connect.Options{Migration: connect.MigrateOnOpen})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

// commit stores messages with a task, as a step does.
func commit(t *testing.T, store storage.Tasks, messages ...storage.OutboxMessage) {
	t.Helper()
	now := storage.Now()
	outcomes, err := store.CreateTasks(t.Context(), []storage.NewTask{{
		Task: storage.Task{
			ID: "task-1", FlowID: "f", FlowVersionID: "v", Status: storage.TaskWaitingQueue,
			Params: json.RawMessage(`{}`), Shared: json.RawMessage(`{}`), State: json.RawMessage(`{}`), CreatedAt: now, UpdatedAt: now,
		},
		Outbox: messages,
	}})
	require.NoError(t, err)
	require.NoError(t, outcomes[0].Err)
}

func start(t *testing.T, store storage.Tasks, q Queue, now func() time.Time) *Deliverer {
	t.Helper()
	d := New(Deps{Store: store, Queue: q, Log: zap.NewNop(), Now: now})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return d
}

func execution() engine.Execution {
	return engine.Execution{
		RunID: "run-0197", NodeKey: "n", Path: "sf/n", Visit: 3, Attempt: 2, Exec: &flow.Exec{Type: flow.ExecQueue, Service: "s"},
		Input: json.RawMessage(`{"n":1.10}`), Params: json.RawMessage(`{"priority":7}`),
	}
}

func outboxEmpty(t *testing.T, store storage.Tasks) bool {
	t.Helper()
	far := storage.Now().Add(time.Hour)
	left, err := store.ClaimOutbox(t.Context(), far, far, 10)
	require.NoError(t, err)
	return len(left) == 0
}

func TestOffer_IsDeliveredAndAcknowledged(t *testing.T) {
	t.Parallel()
	store, q := openStore(t), &queue{jobs: map[string]queueapi.NewJob{}}
	put, err := PutJob("task-1", execution(), storage.Now())
	require.NoError(t, err)
	withdraw := Withdraw("task-1", "run-0197", storage.Now())
	commit(t, store, withdraw, put)
	start(t, store, q, storage.Now).Offer([]storage.OutboxMessage{withdraw, put})
	require.Eventually(t, func() bool { return outboxEmpty(t, store) }, patience, time.Millisecond)

	job := q.jobs["job-0197"]
	require.Equal(t, "run-0197", job.RunID)
	require.Equal(t, "task-1", job.TaskID)
	require.Equal(t, "sf/n", job.Path)
	require.Equal(t, 7, job.Priority)
	require.JSONEq(t, `{"input":{"n":1.10},"params":{"priority":7},"run_id":"run-0197"}`, string(job.Input))
	require.Contains(t, string(job.Input), "1.10")
	require.Equal(t, []string{"job-0197"}, q.withdrawn)
	require.Equal(t, []string{"put", "withdraw"}, q.calls, "a job goes before its withdrawal")
}

func TestScan_DeliversWhatNobodyOffered(t *testing.T) {
	t.Parallel()
	store, q := openStore(t), &queue{jobs: map[string]queueapi.NewJob{}}
	put, err := PutJob("task-1", execution(), storage.Now())
	require.NoError(t, err)
	commit(t, store, put)
	start(t, store, q, func() time.Time { return storage.Now().Add(firstDelivery) })
	require.Eventually(t, func() bool { jobs, _ := q.count(); return jobs == 1 }, patience, time.Millisecond)
}

func TestDelivery_IsRepeatedUntilTheQueueIsBack(t *testing.T) {
	t.Parallel()
	store, q := openStore(t), &queue{jobs: map[string]queueapi.NewJob{}, away: true}
	put, err := PutJob("task-1", execution(), storage.Now())
	require.NoError(t, err)
	commit(t, store, put)
	// A clock that is always far ahead of what it has set: every scan finds it.
	var mu sync.Mutex
	now := storage.Now()
	start(t, store, q, func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(time.Minute)
		return now
	})
	require.Eventually(t, func() bool { _, calls := q.count(); return calls >= 2 }, patience, time.Millisecond)
	q.set(false)
	require.Eventually(t, func() bool { jobs, _ := q.count(); return jobs == 1 }, patience, time.Millisecond)
}
