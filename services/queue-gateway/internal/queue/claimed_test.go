package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// pollOne claims one job, which is there.
func (q *Queue) pollOne(t *testing.T, service string) storage.Job {
	t.Helper()
	jobs, err := q.Poll(t.Context(), PollParams{WorkerID: "w1", Services: []string{service}, Max: 1})
	require.NoError(t, err)
	require.Len(t, jobs, 1)
	return jobs[0]
}

func (q *Queue) answer(t *testing.T, claim storage.ClaimRef) error {
	t.Helper()
	outcomes, err := q.Complete(t.Context(), []Answer{{Claim: claim, Result: json.RawMessage(`1`)}})
	require.NoError(t, err)
	return outcomes[0]
}

func TestComplete_ReadsNoJobThatWasClaimedHere(t *testing.T) {
	t.Parallel()
	q, hooks := setup(t)
	store := &counted{Queue: hooks.Queue}
	q.store = store
	q.putOne(t, "1", "upper")
	job := q.pollOne(t, "upper")
	ref := storage.ClaimRef{JobID: job.ID, Token: job.Token}
	require.NoError(t, q.answer(t, ref))
	require.Zero(t, store.other.Load())
	require.NoError(t, q.answer(t, ref), "a repeat")
	require.EqualValues(t, 1, store.other.Load(), "what was answered is not remembered")
	require.Len(t, q.accepted.First(), 1, "and brings no second message")
}

func TestComplete_JudgesAClaimThatIsRememberedByTheDatabase(t *testing.T) {
	t.Parallel()
	q, _ := setup(t)
	q.putOne(t, "1", "upper")
	job := q.pollOne(t, "upper")
	require.NoError(t, q.Withdraw(t.Context(), []string{job.ID}))
	require.ErrorIs(t, q.answer(t, storage.ClaimRef{JobID: job.ID, Token: job.Token}), storage.ErrEnded)
	require.ErrorIs(t, q.answer(t, storage.ClaimRef{JobID: "2", Token: job.Token}), storage.ErrNotFound)
	require.Empty(t, q.accepted.First())
}

func TestClaimed_KeepsTheLatest(t *testing.T) {
	t.Parallel()
	c := newClaimed()
	ref := func(i int) storage.ClaimRef {
		return storage.ClaimRef{JobID: fmt.Sprint("job-", i), Token: fmt.Sprint("token-", i)}
	}
	const all = 2 * maxRemembered
	for i := range all {
		c.remember([]storage.Job{{ID: ref(i).JobID, Token: ref(i).Token, Input: json.RawMessage(`{}`)}})
	}
	require.LessOrEqual(t, len(c.newer)+len(c.old), maxRemembered)
	for i := all - maxRemembered/2; i < all; i++ {
		job, known := c.find(ref(i))
		require.True(t, known)
		require.Empty(t, job.Input)
	}
	_, known := c.find(ref(0))
	require.False(t, known)
	c.forget(ref(all - 1).Token)
	_, known = c.find(ref(all - 1))
	require.False(t, known)
}

// taking is a scheduler that takes results.
type taking struct {
	results chan schedulerapi.JobResult
}

func (s taking) DeliverResults(_ context.Context, results []json.RawMessage) error {
	for _, data := range results {
		var result schedulerapi.JobResult
		if err := json.Unmarshal(data, &result); err != nil {
			return err
		}
		s.results <- result
	}
	return nil
}

func (taking) ReportProgress(context.Context, []schedulerapi.RunProgress) error { return nil }

func TestRun_DeliversWhatWasAcceptedBeforeItStops(t *testing.T) {
	t.Parallel()
	q, _ := setup(t)
	scheduler := taking{make(chan schedulerapi.JobResult, 10)}
	q.scheduler = scheduler
	q.putOne(t, "1", "upper")
	job := q.pollOne(t, "upper")
	require.NoError(t, q.answer(t, storage.ClaimRef{JobID: job.ID, Token: job.Token}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	q.Run(ctx)
	require.Equal(t, "run-1", (<-scheduler.results).RunID)
	undelivered, err := q.store.Undelivered(t.Context())
	require.NoError(t, err)
	require.Zero(t, undelivered)
	<-q.stopping
	require.True(t, q.holdNew(storage.Now()).IsZero(), "from now on results are anybody's")
}
