package queue

import (
	"context"
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/connect"
)

// hooked is a store that calls hooks before and after each claim.
type hooked struct {
	storage.Queue
	before, after func()
}

func (s *hooked) ClaimJobs(ctx context.Context, claim storage.ClaimJobs) ([]storage.Job, error) {
	s.before()
	defer s.after()
	return s.Queue.ClaimJobs(ctx, claim)
}

func nothing() {}

func setup(t *testing.T) (*Queue, *hooked) {
	t.Helper()
	dsn := "sqlite://" + filepath.Join(t.TempDir(), "queue.db")
	store, err := connect.Queue(t.Context(), dsn, connect.Options{Migration: connect.MigrateOnOpen})
	require.NoError(t, err)
	hooks := &hooked{store, nothing, nothing}
	q := New(hooks, nil, Config{Log: zap.NewNop(), MaxDeliveries: 5, Visibility: time.Minute})
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return q, hooks
}

func (q *Queue) putOne(t *testing.T, id, service string) {
	t.Helper()
	require.NoError(t, q.Put(t.Context(), []storage.Job{{
		ID: id, TaskID: "task", RunID: "run-" + id, Service: service, Input: json.RawMessage(`{}`),
	}}))
}

func TestPoll_CallerThatHangsUpDuringTheClaimKeepsNothing(t *testing.T) {
	t.Parallel()
	ctx, hangUp := context.WithCancel(t.Context())
	q, hooks := setup(t)
	hooks.before = hangUp
	q.putOne(t, "1", "upper")
	_, err := q.Poll(ctx, PollParams{WorkerID: "gone", Services: []string{"upper"}, Max: 1})
	require.ErrorIs(t, err, context.Canceled)

	_, err = q.expire(t.Context())
	require.NoError(t, err)
	jobs, err := q.Poll(t.Context(), PollParams{WorkerID: "w1", Services: []string{"upper"}, Max: 1})
	require.NoError(t, err)
	require.Len(t, jobs, 1)
	require.Equal(t, 2, jobs[0].Deliveries)
}

func TestPoll_CallerThatIsGoneClaimsNothing(t *testing.T) {
	t.Parallel()
	q, _ := setup(t)
	q.putOne(t, "1", "upper")
	ctx, hangUp := context.WithCancel(t.Context())
	hangUp()
	_, err := q.Poll(ctx, PollParams{WorkerID: "gone", Services: []string{"upper"}, Max: 1})
	require.ErrorIs(t, err, context.Canceled)
	job, err := q.store.GetJob(t.Context(), "1")
	require.NoError(t, err)
	require.Equal(t, storage.JobPending, job.Status)
	require.Zero(t, job.Deliveries)
}

func TestPoll_JobPutAsTheClaimEndsIsNotMissed(t *testing.T) {
	t.Parallel()
	// The claim found nothing, the poll does not wait yet, and the only hint
	// comes now.
	q, hooks := setup(t)
	hooks.after = func() {
		hooks.after = nothing
		q.putOne(t, "1", "upper")
		q.bell.ring("upper")
	}
	jobs, err := q.Poll(t.Context(), PollParams{WorkerID: "w1", Services: []string{"upper"}, Max: 1, Wait: time.Minute})
	require.NoError(t, err)
	require.Len(t, jobs, 1)
}

// count is how many polls wait for a service.
func (b *bell) count(service string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.waiting[service])
}

func TestBell_WakesTwoAndPassesOnWhatIsNotUsed(t *testing.T) {
	t.Parallel()
	q, _ := setup(t)
	waiters := make([]*waiter, 5)
	for i := range waiters {
		waiters[i] = q.bell.enter([]string{"a", "b"})
	}
	q.bell.ring("a")
	require.Equal(t, 3, q.bell.count("a"))
	require.Equal(t, 3, q.bell.count("b"), "a woken poll waits for nothing any more")

	woken := func() (n int) {
		for _, w := range waiters {
			select {
			case <-w.woken:
				n++
			default:
			}
		}
		return n
	}
	require.Equal(t, 2, woken())
	for _, w := range waiters {
		select {
		case <-w.woken:
			q.quit(w) // its caller has gone
			require.Greater(t, woken(), 2)
			return
		default:
		}
	}
}

func TestBell_RingAllWakesOnePerService(t *testing.T) {
	t.Parallel()
	b := newBell()
	b.enter([]string{"a"})
	b.enter([]string{"a"})
	b.enter([]string{"b"})
	b.ringAll()
	require.Equal(t, 1, b.count("a"))
	require.Zero(t, b.count("b"))
	b.ring("none")
}
