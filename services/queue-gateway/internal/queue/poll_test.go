package queue

import (
	"context"
	"encoding/json"
	"path/filepath"
	"sync"
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

	jobs, err := q.Poll(t.Context(), PollParams{WorkerID: "w1", Services: []string{"upper"}, Max: 1})
	require.NoError(t, err)
	require.Len(t, jobs, 1)
	require.Equal(t, 1, jobs[0].Deliveries, "nobody got it before")
}

func TestPoll_CallerThatIsGoneClaimsNothing(t *testing.T) {
	t.Parallel()
	q, _ := setup(t)
	q.putOne(t, "1", "upper")
	ctx, hangUp := context.WithCancel(t.Context())
	hangUp()
	_, err := q.Poll(ctx, PollParams{WorkerID: "gone", Services: []string{"upper"}, Max: 1})
	require.ErrorIs(t, err, context.Canceled)
	jobs, err := q.store.GetJobs(t.Context(), []string{"1"})
	require.NoError(t, err)
	require.Equal(t, storage.JobPending, jobs["1"].Status)
	require.Zero(t, jobs["1"].Deliveries)
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

// enterMany has polls wait.
func (b *bell) enterMany(n int, services ...string) []*waiter {
	waiters := make([]*waiter, n)
	for i := range waiters {
		waiters[i] = b.enter(services)
	}
	return waiters
}

// wokenOf are the woken ones.
func wokenOf(waiters []*waiter) []*waiter {
	var woken []*waiter
	for _, w := range waiters {
		select {
		case <-w.woken:
			woken = append(woken, w)
		default:
		}
	}
	return woken
}

func TestBell_HintWakesOneAndThoseThatFillUpWakeMore(t *testing.T) {
	t.Parallel()
	b := newBell()
	waiters := b.enterMany(20, "a", "b")
	b.ring("a")
	woken := wokenOf(waiters)
	require.Len(t, woken, 1)
	require.Equal(t, 19, b.count("b"), "a woken poll waits for nothing any more")

	b.ringOn(woken[0])
	require.Len(t, wokenOf(waiters), 2)
	for _, w := range wokenOf(waiters) {
		if w.round == 1 {
			b.ringOn(w)
		}
	}
	require.Len(t, wokenOf(waiters), 4)
	b.ring("none")
}

func TestBell_WakeThatIsNotUsedIsAnothers(t *testing.T) {
	t.Parallel()
	b := newBell()
	waiters := b.enterMany(5, "a", "b")
	b.ring("b")
	first := wokenOf(waiters)[0]
	b.leave(first) // its caller has gone
	woken := wokenOf(waiters)
	require.Len(t, woken, 2)
	require.Equal(t, []string{"b"}, woken[0].sought)
	require.Equal(t, []string{"b"}, woken[1].sought)
}

func TestBell_KnowsWhatIsWaitedFor(t *testing.T) {
	t.Parallel()
	b := newBell()
	require.Empty(t, b.services())
	b.enterMany(2, "a", "b")
	w := b.enter([]string{"c"})
	require.ElementsMatch(t, []string{"a", "b", "c"}, b.services())
	b.leave(w)
	require.ElementsMatch(t, []string{"a", "b"}, b.services())
}

func TestWatch_FindsTheJobThatNobodyHeardOf(t *testing.T) {
	t.Parallel()
	q, hooks := setup(t)
	ctx, stop := context.WithCancel(t.Context())
	var loops sync.WaitGroup
	loops.Go(func() { q.watch(ctx) }) // and nobody listens
	defer loops.Wait()
	defer stop()
	looked := make(chan struct{}, 1)
	hooks.after = func() { kick(looked) }
	loops.Go(func() {
		<-looked
		q.putOne(t, "1", "b")
	})
	jobs, err := q.Poll(t.Context(), PollParams{WorkerID: "w1", Services: []string{"a", "b"}, Max: 1, Wait: MaxWait})
	require.NoError(t, err)
	require.Len(t, jobs, 1)
}
