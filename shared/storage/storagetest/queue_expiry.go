package storagetest

import (
	"encoding/json"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// deadMessage is the result message of a job that was delivered too often.
func deadMessage(job storage.Job) json.RawMessage {
	return json.RawMessage(`{"dead": "` + job.ID + `","deliveries": ` + strconv.Itoa(job.Deliveries) + `,"status":"` + string(job.Status) + `"}`)
}

func extendMoves(t *testing.T, store storage.Queue) {
	job := claimOne(t, store, 1)
	outcomes, err := store.ExtendClaims(t.Context(), []storage.ClaimRef{{JobID: job.ID, WorkerID: job.WorkerID, Token: job.Token}}, at(77))
	require.NoError(t, err)
	requireOutcomes(t, storage.Outcomes{nil}, outcomes)
	job.TimeoutAt = at(77)
	require.Equal(t, bare(job), getJob(t, store, job.ID))
	expired, err := store.ExpireClaims(t.Context(), at(76), 5, 10, deadMessage)
	require.NoError(t, err)
	require.Empty(t, expired)
}

func extendOutcomes(t *testing.T, store storage.Queue) {
	ctx := t.Context()
	claimed, withdrawn, completed := claimOne(t, store, 1), claimOne(t, store, 2), claimOne(t, store, 3)
	put(t, store, aJob(500))
	_, err := store.WithdrawJobs(ctx, []string{withdrawn.ID}, at(4))
	require.NoError(t, err)
	complete(t, store, completion(completed))
	outcomes, err := store.ExtendClaims(ctx, []storage.ClaimRef{
		{JobID: "job-none", Token: "t"},
		{JobID: claimed.ID, Token: "token-other", WorkerID: claimed.WorkerID},
		{JobID: claimed.ID, WorkerID: "w-2"},
		{JobID: claimed.ID, WorkerID: claimed.WorkerID},
		{JobID: claimed.ID},
		{JobID: withdrawn.ID, Token: withdrawn.Token},
		{JobID: completed.ID, Token: completed.Token},
		{JobID: aJob(500).ID},
		{JobID: aJob(500).ID, WorkerID: "w-1"},
	}, at(60))
	require.NoError(t, err)
	requireOutcomes(t, storage.Outcomes{
		storage.ErrNotFound, storage.ErrClaimLost, storage.ErrClaimLost, nil, nil,
		storage.ErrEnded, storage.ErrClaimLost, storage.ErrClaimLost, storage.ErrClaimLost,
	}, outcomes)
	require.Equal(t, at(60), getJob(t, store, claimed.ID).TimeoutAt)
	require.Equal(t, bare(aJob(500)), getJob(t, store, aJob(500).ID))
}

func extendReclaims(t *testing.T, store storage.Queue) {
	ctx := t.Context()
	job := claimOne(t, store, 1)
	_, err := store.ExpireClaims(ctx, job.TimeoutAt, 5, 10, deadMessage)
	require.NoError(t, err)
	outcomes, err := store.ExtendClaims(ctx, []storage.ClaimRef{{JobID: job.ID}, {JobID: job.ID, Token: job.Token}}, at(60))
	require.NoError(t, err)
	requireOutcomes(t, storage.Outcomes{storage.ErrClaimLost, nil}, outcomes)
	require.Empty(t, claim(t, store, claimAt(at(30), 1, "transform")), "nobody else gets it")
	job.TimeoutAt = at(60)
	require.Equal(t, bare(job), getJob(t, store, job.ID))

	_, err = store.ExpireClaims(ctx, at(60), 5, 10, deadMessage)
	require.NoError(t, err)
	require.Len(t, claim(t, store, claimAt(at(61), 1, "transform")), 1)
	outcomes, err = store.ExtendClaims(ctx, []storage.ClaimRef{{JobID: job.ID, Token: "token-1", WorkerID: "w-1"}, {JobID: job.ID, Token: "gone"}}, at(90))
	require.NoError(t, err)
	requireOutcomes(t, storage.Outcomes{nil, storage.ErrClaimLost}, outcomes)
}

func releaseUndoes(t *testing.T, store storage.Queue) {
	ctx := t.Context()
	limit := storage.ServiceLimit{Service: "transform", MaxClaimed: 1, UpdatedAt: at(0)}
	require.NoError(t, store.SetLimit(ctx, limit))
	put(t, store, aJob(2))
	job := claimOne(t, store, 1)
	refs := []storage.ClaimRef{{JobID: job.ID, Token: job.Token}}
	require.NoError(t, store.ReleaseClaims(ctx, append(refs, refs...)))
	want := bare(job)
	want.Status, want.Deliveries = storage.JobPending, 0
	require.Equal(t, want, getJob(t, store, job.ID))

	again := claim(t, store, claimAt(at(3), 2, "transform"))
	require.Equal(t, []string{job.ID}, ids(again), "the first in line, and the limit's one place is free")
	require.Equal(t, 1, again[0].Deliveries)
	require.Equal(t, job.Input, again[0].Input)

	again[0].Token = "token-other"
	require.NoError(t, store.ReleaseClaims(ctx, []storage.ClaimRef{{JobID: job.ID, Token: again[0].Token}}))
	require.Equal(t, storage.JobClaimed, getJob(t, store, job.ID).Status, "another's claim")

	// The worker may have got it after all.
	require.NoError(t, store.ReleaseClaims(ctx, []storage.ClaimRef{{JobID: job.ID, Token: getJob(t, store, job.ID).Token}}))
	late := completion(job)
	late.Token = getJob(t, store, job.ID).Token
	requireOutcomes(t, storage.Outcomes{nil}, complete(t, store, late))
}

func releaseOthers(t *testing.T, store storage.Queue) {
	ctx := t.Context()
	completed, dead, withdrawn := claimOne(t, store, 1), claimOne(t, store, 2), claimOne(t, store, 3)
	complete(t, store, completion(completed))
	_, err := store.WithdrawJobs(ctx, []string{withdrawn.ID}, at(4))
	require.NoError(t, err)
	_, err = store.ExpireClaims(ctx, dead.TimeoutAt, 1, 10, deadMessage)
	require.NoError(t, err)
	put(t, store, aJob(500))
	refs := []storage.ClaimRef{{JobID: "job-none", Token: "t"}, {JobID: aJob(500).ID}}
	before := map[string]storage.Job{aJob(500).ID: bare(aJob(500))}
	for _, job := range []storage.Job{completed, dead, withdrawn} {
		refs = append(refs, storage.ClaimRef{JobID: job.ID, Token: job.Token})
		before[job.ID] = getJob(t, store, job.ID)
	}
	require.NoError(t, store.ReleaseClaims(ctx, refs))
	for id, job := range before {
		require.Equal(t, job, getJob(t, store, id))
	}
}

func withdrawOutcomes(t *testing.T, store storage.Queue) {
	ctx := t.Context()
	claimed, completed, failed, dead := claimOne(t, store, 1), claimOne(t, store, 2), claimOne(t, store, 3), claimOne(t, store, 4)
	fail := completion(failed)
	fail.Failed = true
	complete(t, store, completion(completed), fail)
	_, err := store.ExtendClaims(ctx, []storage.ClaimRef{{JobID: claimed.ID}}, at(900))
	require.NoError(t, err)
	_, err = store.ExpireClaims(ctx, at(800), 1, 10, deadMessage)
	require.NoError(t, err)
	put(t, store, aJob(5))

	list := []string{claimed.ID, "job-none", completed.ID, failed.ID, dead.ID, aJob(5).ID, aJob(5).ID}
	want := storage.Outcomes{nil, nil, storage.ErrEnded, storage.ErrEnded, storage.ErrEnded, nil, nil}
	for _, n := range []int{70, 71} { // a repeat answers the same and changes nothing
		outcomes, err := store.WithdrawJobs(ctx, list, at(n))
		require.NoError(t, err)
		requireOutcomes(t, want, outcomes)
	}
	withdrawn := getJob(t, store, aJob(5).ID)
	require.Equal(t, storage.JobWithdrawn, withdrawn.Status)
	require.Equal(t, at(70), withdrawn.FinishedAt)
	require.Equal(t, storage.JobDead, getJob(t, store, dead.ID).Status)
	require.Empty(t, claim(t, store, claimAt(at(80), 9, "transform")))
}

func withdrawOvertakesPut(t *testing.T, store storage.Queue) {
	ctx := t.Context()
	early := aJob(1)
	outcomes, err := store.WithdrawJobs(ctx, []string{early.ID, early.ID}, at(70))
	require.NoError(t, err)
	requireOutcomes(t, storage.Outcomes{nil, nil}, outcomes)
	withdrawn := storage.Job{
		ID: early.ID, Status: storage.JobWithdrawn,
		AvailableAt: at(70), CreatedAt: at(70), FinishedAt: at(70),
	}
	require.Equal(t, withdrawn, getJob(t, store, early.ID))

	put(t, store, early, aJob(2))
	require.Equal(t, withdrawn, getJob(t, store, early.ID), "the job that comes after it does not live")
	require.Equal(t, []string{aJob(2).ID}, ids(claim(t, store, claimAt(at(80), 9, "transform"))))
	outcomes, err = store.WithdrawJobs(ctx, []string{early.ID}, at(81))
	require.NoError(t, err)
	requireOutcomes(t, storage.Outcomes{nil}, outcomes)
	requireOutcomes(t, storage.Outcomes{storage.ErrEnded}, complete(t, store, completion(early)))
	require.Equal(t, withdrawn, getJob(t, store, early.ID))
}

func withdrawRacesPut(t *testing.T, store storage.Queue) {
	ctx := t.Context()
	const n = 40
	jobs := jobsOf("transform", 0, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if err := store.PutJobs(ctx, []storage.Job{jobs[i], jobs[(i+1)%n]}); err != nil {
				t.Errorf("put: %v", err)
			}
		})
		wg.Go(func() {
			outcomes, err := store.WithdrawJobs(ctx, []string{jobs[(i+1)%n].ID, jobs[i].ID}, at(n))
			if err != nil || outcomes[0] != nil || outcomes[1] != nil {
				t.Errorf("withdraw: %v, %v", outcomes, err)
			}
		})
	}
	wg.Wait()
	require.Empty(t, claim(t, store, claimAt(at(n), n, "transform")))
}

func withdrawEndsClaim(t *testing.T, store storage.Queue) {
	ctx := t.Context()
	job := claimOne(t, store, 1)
	_, err := store.WithdrawJobs(ctx, []string{job.ID}, at(2))
	require.NoError(t, err)
	requireOutcomes(t, storage.Outcomes{storage.ErrEnded}, complete(t, store, completion(job)))
	expired, err := store.ExpireClaims(ctx, at(500), 5, 10, deadMessage)
	require.NoError(t, err)
	require.Empty(t, expired)
	require.Equal(t, storage.JobWithdrawn, getJob(t, store, job.ID).Status)
	require.Empty(t, results(t, store))
}

func expireToDead(t *testing.T, store storage.Queue) {
	ctx := t.Context()
	const maxDeliveries = 3
	put(t, store, aJob(1), aJob(50_000))
	for delivery := 1; delivery <= maxDeliveries; delivery++ {
		now := at(delivery * 100)
		jobs := claim(t, store, claimAt(now, 5, "transform"))
		require.Len(t, jobs, 1)
		require.Equal(t, delivery, jobs[0].Deliveries)

		expired, err := store.ExpireClaims(ctx, jobs[0].TimeoutAt.Add(-1000), maxDeliveries, 10, deadMessage)
		require.NoError(t, err)
		require.Empty(t, expired, "its time-out has not come")

		expired, err = store.ExpireClaims(ctx, jobs[0].TimeoutAt, maxDeliveries, 10, deadMessage)
		require.NoError(t, err)
		want := bare(jobs[0])
		want.Status = storage.JobPending
		if delivery == maxDeliveries {
			want.Status, want.FinishedAt = storage.JobDead, jobs[0].TimeoutAt
		}
		require.Equal(t, []storage.Job{want}, expired)
		require.Equal(t, want, getJob(t, store, want.ID))
	}
	require.Empty(t, claim(t, store, claimAt(at(1000), 5, "transform")))

	messages := results(t, store)
	require.Len(t, messages, 1)
	dead := getJob(t, store, aJob(1).ID)
	require.Equal(t, deadMessage(dead), messages[0].Payload, "made of the job as it is after it")
	require.Equal(t, []string{dead.ID, dead.TaskID, dead.RunID}, []string{messages[0].JobID, messages[0].TaskID, messages[0].RunID})
}

func expireLimit(t *testing.T, store storage.Queue) {
	ctx := t.Context()
	for _, n := range []int{3, 1, 2} {
		put(t, store, aJob(n))
	}
	for n := 3; n >= 1; n-- { // the one claimed last times out first
		params := claimAt(at(10), 1, "transform")
		params.VisibleUntil = at(10 + n)
		claim(t, store, params)
	}
	expired, err := store.ExpireClaims(ctx, at(100), 5, 2, deadMessage)
	require.NoError(t, err)
	require.Equal(t, []string{aJob(3).ID, aJob(2).ID}, ids(expired))
	expired, err = store.ExpireClaims(ctx, at(100), 5, 2, deadMessage)
	require.NoError(t, err)
	require.Equal(t, []string{aJob(1).ID}, ids(expired))
	expired, err = store.ExpireClaims(ctx, at(100), 5, 2, deadMessage)
	require.NoError(t, err)
	require.Empty(t, expired)
}

func expireDeadIsFinal(t *testing.T, store storage.Queue) {
	ctx := t.Context()
	job := claimOne(t, store, 1)
	_, err := store.ExpireClaims(ctx, at(100), 1, 10, deadMessage)
	require.NoError(t, err)
	requireOutcomes(t, storage.Outcomes{storage.ErrClaimLost}, complete(t, store, completion(job)))
	outcomes, err := store.ExtendClaims(ctx, []storage.ClaimRef{{JobID: job.ID, Token: job.Token}}, at(200))
	require.NoError(t, err)
	requireOutcomes(t, storage.Outcomes{storage.ErrClaimLost}, outcomes)
	require.Len(t, results(t, store), 1)
}

func resultsDue(t *testing.T, store storage.Queue) {
	ctx := t.Context()
	var order []string
	for _, n := range []int{3, 1, 2} {
		done := completion(claimOne(t, store, n))
		done.At = at(10 + n)
		done.Token = "" // the claim may look expired to nobody
		complete(t, store, done)
	}
	for _, n := range []int{1, 2, 3} {
		order = append(order, aJob(n).ID)
	}
	take := func(now, until, limit int) []string {
		t.Helper()
		messages, err := store.ClaimResults(ctx, at(now), at(until), limit)
		require.NoError(t, err)
		require.NotNil(t, messages)
		list := []string{}
		for _, message := range messages {
			require.Equal(t, at(until), message.NextAt)
			list = append(list, message.JobID)
		}
		return list
	}
	require.Equal(t, order[:2], take(12, 40, 10), "the third is not due")
	require.Empty(t, take(12, 40, 10))
	require.Equal(t, order[2:], take(13, 30, 10))
	require.Equal(t, []string{order[2], order[0]}, take(40, 50, 2), "due again, earliest first")

	require.NoError(t, store.AckResults(ctx, []string{order[0], order[2]}))
	messages, err := store.ClaimResults(ctx, at(60), at(70), 10)
	require.NoError(t, err)
	require.Len(t, messages, 1)
	require.Equal(t, order[1], messages[0].JobID)
	require.Equal(t, 2, messages[0].Attempts)
}

func resultsConcurrently(t *testing.T, store storage.Queue) {
	ctx := t.Context()
	const n, claimers = 60, 6
	for i := range n {
		complete(t, store, completion(claimOne(t, store, i)))
	}
	got := make([][]storage.JobResult, claimers)
	errs := make([]error, claimers)
	var wg sync.WaitGroup
	for c := range claimers {
		wg.Go(func() {
			for {
				messages, err := store.ClaimResults(ctx, at(1000), at(2000), 7)
				if err != nil || len(messages) == 0 {
					errs[c] = err
					return
				}
				got[c] = append(got[c], messages...)
			}
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for c := range claimers {
		require.NoError(t, errs[c])
		for _, message := range got[c] {
			require.False(t, seen[message.JobID], "two claimers got %s", message.JobID)
			seen[message.JobID] = true
		}
	}
	// A claimer may stop early while another holds the last messages.
	rest, err := store.ClaimResults(ctx, at(1000), at(2000), n)
	require.NoError(t, err)
	require.Len(t, seen, n-len(rest))
}

func resultsAck(t *testing.T, store storage.Queue) {
	ctx := t.Context()
	job := claimOne(t, store, 1)
	complete(t, store, completion(job))
	for range 2 {
		require.NoError(t, store.AckResults(ctx, []string{"job-none", job.ID, job.ID}))
	}
	require.Empty(t, results(t, store))
	require.Equal(t, storage.JobCompleted, getJob(t, store, job.ID).Status, "the job stays")
}

// Of an answer and a withdrawal at the same moment one comes first, and the
// other hears of it.
func withdrawRacesCompletion(t *testing.T, store storage.Queue) {
	ctx := t.Context()
	const n = 60
	put(t, store, jobsOf("transform", 0, n)...)
	jobs := claim(t, store, claimAt(at(n), n, "transform"))
	var batch []storage.JobCompletion
	for _, job := range jobs {
		batch = append(batch, completion(job))
	}
	var completed, withdrawn storage.Outcomes
	var completeErr, withdrawErr error
	var wg sync.WaitGroup
	for i := range n { // one withdrawal each, while the answers go as a batch
		wg.Go(func() {
			outcomes, err := store.WithdrawJobs(ctx, []string{jobs[i].ID, jobs[(i+1)%n].ID}, at(n))
			if err != nil || len(outcomes) != 2 {
				t.Errorf("withdraw: %v, %v", outcomes, err)
			}
		})
		if i == n/4 {
			wg.Go(func() { completed, completeErr = store.CompleteJobs(ctx, batch) })
		}
	}
	wg.Wait()
	require.NoError(t, completeErr)
	withdrawn, withdrawErr = store.WithdrawJobs(ctx, ids(jobs), at(n))
	require.NoError(t, withdrawErr)

	accepted := 0
	for i, job := range jobs {
		status := getJob(t, store, job.ID).Status
		if completed[i] == nil {
			accepted++
			require.Equal(t, storage.JobCompleted, status)
			require.ErrorIs(t, withdrawn[i], storage.ErrEnded)
		} else {
			require.ErrorIs(t, completed[i], storage.ErrEnded)
			require.Equal(t, storage.JobWithdrawn, status)
			require.NoError(t, withdrawn[i])
		}
	}
	require.Len(t, results(t, store), accepted)
}

func readyServices(t *testing.T, store storage.Queue) {
	ready := func(now int) []string {
		t.Helper()
		services, err := store.ReadyServices(t.Context(), []string{"b", "none", "claimed", "no\x00text", "a"}, at(now))
		require.NoError(t, err)
		return services
	}
	require.Equal(t, []string{}, ready(1000))
	put(t, store, slices.Concat(jobsOf("a", 10, 2), jobsOf("b", 20, 1), jobsOf("claimed", 30, 1), jobsOf("unasked", 1, 1))...)
	require.Equal(t, []string{}, ready(9))
	require.Equal(t, []string{"a"}, ready(10))
	require.Equal(t, []string{"b", "claimed", "a"}, ready(30))
	require.Len(t, claim(t, store, claimAt(at(30), 1, "claimed")), 1)
	setLimit(t, store, storage.ServiceLimit{Service: "a", MaxClaimed: 1, UpdatedAt: at(30)})
	require.Len(t, claim(t, store, claimAt(at(30), 1, "a")), 1)
	require.Equal(t, []string{"b", "a"}, ready(30), "a limit hides its jobs from claims alone")
}
