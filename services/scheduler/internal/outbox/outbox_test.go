package outbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/parcel"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/connect"
)

const patience = 20 * time.Second

// queue is a queue-gateway that can be away and refuses what it is told to. It
// takes in results as well, those of the jobs that it refused.
type queue struct {
	mu        sync.Mutex
	away      bool
	refused   map[string]errs.Code // by job id
	results   []schedulerapi.JobResult
	largest   int // bytes of the inputs in one call
	jobs      map[string]queueapi.NewJob
	withdrawn []string
	calls     []string
}

func (q *queue) PutEncodedJobs(_ context.Context, encoded []json.RawMessage) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.calls = append(q.calls, "put")
	if q.away {
		return errs.New(errs.Unavailable, "away")
	}
	size := 0
	jobs := make([]queueapi.NewJob, len(encoded))
	for i, data := range encoded {
		if err := json.Unmarshal(data, &jobs[i]); err != nil {
			return errs.New(errs.InvalidArgument, "%v", err)
		}
	}
	for _, job := range jobs {
		size += len(job.Input)
		if code := q.refused[job.ID]; code != "" {
			return errs.New(code, "not this one")
		}
	}
	q.largest = max(q.largest, size)
	for _, job := range jobs {
		q.jobs[job.ID] = job
	}
	return nil
}

func (q *queue) DeliverResults(_ context.Context, results []schedulerapi.JobResult) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.results = append(q.results, results...)
	if len(q.results) == 1 {
		return errors.New("the first try fails")
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

func start(t *testing.T, store storage.Tasks, q *queue, now func() time.Time) *Deliverer {
	t.Helper()
	d := New(Deps{Store: store, Queue: q, Results: q, Log: zap.NewNop(), Now: now})
	run(t, d)
	return d
}

func run(t *testing.T, d *Deliverer) {
	t.Helper()
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
}

// racing is a clock that is always far ahead of what was set by it, so that
// every scan finds everything.
func racing() func() time.Time {
	var mu sync.Mutex
	now := storage.Now()
	return func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(time.Minute)
		return now
	}
}

// putJob is the message of a job with an input of so many bytes.
func putJob(t *testing.T, runID string, bytes int) storage.OutboxMessage {
	t.Helper()
	x := execution()
	x.RunID, x.Input = runID, json.RawMessage(`"`+strings.Repeat("x", bytes-2)+`"`)
	put, err := PutJob(Origin{TaskID: "task-1"}, x, storage.Now())
	require.NoError(t, err)
	return put
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

func TestStart_DeliversWhatACrashLeftWhenNobodyElseCan(t *testing.T) {
	t.Parallel()
	store, q := openStore(t), &queue{jobs: map[string]queueapi.NewJob{}}
	commit(t, store, putJob(t, "run-1", 10))
	now := storage.Now()
	run(t, New(Deps{Store: store, Queue: q, Results: q, Alone: true, Log: zap.NewNop(), Now: func() time.Time { return now }}))
	require.Eventually(t, func() bool {
		jobs, _ := q.count()
		return jobs == 1
	}, 10*time.Second, time.Millisecond)
}

func TestOffer_IsDeliveredAndAcknowledged(t *testing.T) {
	t.Parallel()
	store, q := openStore(t), &queue{jobs: map[string]queueapi.NewJob{}}
	put, err := PutJob(Origin{TaskID: "task-1"}, execution(), storage.Now())
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

func TestStop_DeliversWhatHasBeenOffered(t *testing.T) {
	t.Parallel()
	for _, away := range []bool{false, true} {
		store, q := openStore(t), &queue{jobs: map[string]queueapi.NewJob{}, away: away}
		d := New(Deps{Store: store, Queue: q, Results: q, Log: zap.NewNop(), Now: storage.Now})
		ctx, stop := context.WithCancel(t.Context())
		stop()
		put := putJob(t, "run-1", 10)
		commit(t, store, put)
		d.Offer([]storage.OutboxMessage{put})
		d.Run(ctx)
		jobs, calls := q.count()
		require.LessOrEqual(t, calls, 2, "a stop does not wait for a queue that is away")
		require.Equal(t, away, jobs == 0)
		require.Equal(t, !away, outboxEmpty(t, store))
	}
}

func TestOffer_KeepsBoundedMemoryWhileNobodyDelivers(t *testing.T) {
	t.Parallel()
	d := New(Deps{Log: zap.NewNop(), Now: storage.Now})
	message := putJob(t, "run-1", 8<<20)
	for range 3 {
		d.Offer([]storage.OutboxMessage{message, message, message})
	}
	waiting := d.offered.First()
	require.Len(t, waiting, 7)
	require.Len(t, d.offered.Take(t.Context(), <-waiting, batch), 7)
	d.Offer([]storage.OutboxMessage{message})
	require.Len(t, waiting, 1, "there is room again")
}

func TestScan_DeliversWhatNobodyOffered(t *testing.T) {
	t.Parallel()
	store, q := openStore(t), &queue{jobs: map[string]queueapi.NewJob{}}
	put, err := PutJob(Origin{TaskID: "task-1"}, execution(), storage.Now())
	require.NoError(t, err)
	commit(t, store, put)
	start(t, store, q, func() time.Time { return storage.Now().Add(firstDelivery) })
	require.Eventually(t, func() bool { jobs, _ := q.count(); return jobs == 1 }, patience, time.Millisecond)
}

func TestDelivery_IsRepeatedUntilTheQueueIsBack(t *testing.T) {
	t.Parallel()
	store, q := openStore(t), &queue{jobs: map[string]queueapi.NewJob{}, away: true}
	put, err := PutJob(Origin{TaskID: "task-1"}, execution(), storage.Now())
	require.NoError(t, err)
	commit(t, store, put)
	start(t, store, q, racing())
	require.Eventually(t, func() bool { _, calls := q.count(); return calls >= 2 }, patience, time.Millisecond)
	q.set(false)
	require.Eventually(t, func() bool { jobs, _ := q.count(); return jobs == 1 }, patience, time.Millisecond)
}

func TestDelivery_ManyLargeJobsGoInCallsThatTheQueueReads(t *testing.T) {
	t.Parallel()
	store, q := openStore(t), &queue{jobs: map[string]queueapi.NewJob{}}
	var messages []storage.OutboxMessage
	for i := range 30 {
		messages = append(messages, putJob(t, fmt.Sprintf("run-%d", i), 300<<10))
	}
	commit(t, store, messages...)
	start(t, store, q, storage.Now).Offer(messages)
	require.Eventually(t, func() bool { jobs, _ := q.count(); return jobs == 30 }, patience, time.Millisecond)
	require.Eventually(t, func() bool { return outboxEmpty(t, store) }, patience, time.Millisecond)
	require.LessOrEqual(t, q.largest, parcel.Bytes)
	require.Greater(t, q.largest, 600<<10, "as many as fit")
}

func TestDelivery_JobThatIsRefusedEndsItsRunAndHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	q := &queue{jobs: map[string]queueapi.NewJob{}, refused: map[string]errs.Code{"job-3": errs.InvalidArgument}}
	var messages []storage.OutboxMessage
	for i := range 6 {
		messages = append(messages, putJob(t, fmt.Sprintf("run-%d", i), 100))
	}
	commit(t, store, messages...)
	start(t, store, q, racing()).Offer(messages)
	// A result that is not taken in is repeated with its job.
	require.Eventually(t, func() bool {
		q.mu.Lock()
		defer q.mu.Unlock()
		return len(q.results) == 2
	}, patience, time.Millisecond)
	require.Eventually(t, func() bool { return outboxEmpty(t, store) }, patience, 10*time.Millisecond)
	require.Len(t, q.jobs, 5)
	require.NotContains(t, q.jobs, "job-3")
	require.Len(t, q.results, 2)
	result := q.results[1]
	require.Equal(t, "task-1", result.TaskID)
	require.Equal(t, "run-3", result.RunID)
	require.Equal(t, "job_refused", result.ErrorCode)
	require.Equal(t, "the queue-gateway does not take the job: not this one", result.Error)
	require.False(t, *result.Retryable)
}

func TestDelivery_AJobThatIsNotTakenStopsNoOther(t *testing.T) {
	t.Parallel()
	store, q := openStore(t), &queue{jobs: map[string]queueapi.NewJob{}, refused: map[string]errs.Code{"job-0": errs.Internal}}
	var messages []storage.OutboxMessage
	for i := range 10 {
		messages = append(messages, putJob(t, fmt.Sprintf("run-%d", i), 100))
	}
	commit(t, store, messages...)
	d := start(t, store, q, storage.Now)
	d.Offer(messages[:1])
	d.Offer(messages[1:])
	require.Eventually(t, func() bool {
		jobs, _ := q.count()
		return jobs == 9
	}, patience, time.Millisecond)
}

func TestDelivery_JobThatIsTooLargeIsNotSent(t *testing.T) {
	t.Parallel()
	store, q := openStore(t), &queue{jobs: map[string]queueapi.NewJob{}}
	q.results = make([]schedulerapi.JobResult, 1)
	message := putJob(t, "run-1", 100)
	commit(t, store, message)
	d := New(Deps{Store: store, Queue: q, Results: q, Log: zap.NewNop(), Now: storage.Now})
	message.Payload = append(message.Payload, bytes.Repeat([]byte(" "), httpx.MaxInternalBody-len(message.Payload))...)
	require.NoError(t, d.put(t.Context(), []storage.OutboxMessage{message}))
	require.Empty(t, q.calls)
	require.Equal(t, "run-1", q.results[1].RunID)
	require.Equal(t, CodeJobRefused, q.results[1].ErrorCode)
	require.Contains(t, q.results[1].Error, "the job is 33554432 bytes when encoded, at most 33550336 are taken")
	require.True(t, outboxEmpty(t, store))
}
