package storagetest

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// buried puts jobs and lets them die at now; it returns them as ListDead does.
func buried(t *testing.T, store storage.Queue, now time.Time, jobs ...storage.Job) []storage.Job {
	t.Helper()
	put(t, store, jobs...)
	services := make([]string, len(jobs))
	for i, job := range jobs {
		services[i] = job.Service
	}
	params := claimAt(now.Add(-time.Minute), len(jobs), services...)
	params.NewToken = func() string { return "token-of-the-dead" }
	require.Len(t, claim(t, store, params), len(jobs))
	dead, err := store.ExpireClaims(t.Context(), now, 1, len(jobs), deadMessage)
	require.NoError(t, err)
	require.Len(t, dead, len(jobs))
	for i := range dead {
		kept := slices.IndexFunc(jobs, func(j storage.Job) bool { return j.ID == dead[i].ID })
		dead[i].Input = jobs[kept].Input
	}
	return dead
}

func requeue(t *testing.T, store storage.Queue, now time.Time, ids ...string) storage.Outcomes {
	t.Helper()
	outcomes, err := store.RequeueJobs(t.Context(), ids, now)
	require.NoError(t, err)
	return outcomes
}

func discard(t *testing.T, store storage.Queue, now time.Time, ids ...string) storage.Outcomes {
	t.Helper()
	outcomes, err := store.DiscardJobs(t.Context(), ids, now)
	require.NoError(t, err)
	return outcomes
}

func deadPages(t *testing.T, store storage.Queue) {
	ctx := t.Context()
	page, err := store.ListDead(ctx, storage.DeadQuery{ListOptions: storage.ListOptions{Limit: 3}})
	require.NoError(t, err)
	require.Equal(t, storage.Page[storage.Job]{Items: []storage.Job{}}, page)

	dead := buried(t, store, at(1000), append(jobsOf("a", 0, 4), jobsOf("b", 10, 3)...)...)
	slices.SortFunc(dead, func(a, b storage.Job) int { return -compareIDs(a, b) })
	put(t, store, aJob(99))
	claimOne(t, store, 98)
	for service, want := range map[string][]storage.Job{"": dead, "b": dead[:3], "a": dead[3:], "transform": nil} {
		all := []storage.Job{}
		query := storage.DeadQuery{Service: service, ListOptions: storage.ListOptions{Limit: 2}}
		for {
			page, err := store.ListDead(ctx, query)
			require.NoError(t, err)
			require.Equal(t, len(want), page.Total)
			require.LessOrEqual(t, len(page.Items), 2)

			byOffset, err := store.ListDead(ctx, storage.DeadQuery{Service: service, ListOptions: storage.ListOptions{Limit: 2, Offset: len(all)}})
			require.NoError(t, err)
			require.Equal(t, page, byOffset)
			all = append(all, page.Items...)
			if query.Cursor = page.Next; page.Next == "" {
				break
			}
		}
		require.Equal(t, append([]storage.Job{}, want...), all)
	}
}

func compareIDs(a, b storage.Job) int {
	if a.ID < b.ID {
		return -1
	}
	return 1
}

// lives makes a job of each status that is not dead.
func lives(t *testing.T, store storage.Queue) (pending, claimed, completed, withdrawn storage.Job) {
	t.Helper()
	completed, withdrawn, claimed = claimOne(t, store, 1), claimOne(t, store, 2), claimOne(t, store, 3)
	complete(t, store, completion(completed))
	_, err := store.WithdrawJobs(t.Context(), []string{withdrawn.ID}, at(5))
	require.NoError(t, err)
	put(t, store, aJob(6))
	return getJob(t, store, aJob(6).ID), getJob(t, store, claimed.ID), getJob(t, store, completed.ID), getJob(t, store, withdrawn.ID)
}

func requeueOutcomes(t *testing.T, store storage.Queue) {
	dead := buried(t, store, at(500), jobsOf("grave", 100, 2)...)
	pending, claimed, completed, withdrawn := lives(t, store)
	requireOutcomes(t,
		storage.Outcomes{nil, storage.ErrNotFound, storage.ErrConflict, storage.ErrConflict, storage.ErrEnded, storage.ErrEnded, storage.ErrConflict, nil},
		requeue(t, store, at(600), dead[0].ID, "job-none", pending.ID, claimed.ID, completed.ID, withdrawn.ID, dead[0].ID, dead[1].ID))
	for _, job := range []storage.Job{pending, claimed, completed, withdrawn} {
		require.Equal(t, bare(job), getJob(t, store, job.ID), "untouched")
	}
	requireOutcomes(t, storage.Outcomes{storage.ErrConflict}, requeue(t, store, at(601), dead[0].ID))
}

func requeueStartsAfresh(t *testing.T, store storage.Queue) {
	ctx := t.Context()
	dead := buried(t, store, at(500), aJob(1))[0]
	require.NoError(t, store.AckResults(ctx, []string{dead.ID}))
	requireOutcomes(t, storage.Outcomes{nil}, requeue(t, store, at(600), dead.ID))
	want := aJob(1)
	want.AvailableAt = at(600)
	require.Equal(t, bare(want), getJob(t, store, dead.ID))

	requireOutcomes(t, storage.Outcomes{storage.ErrClaimLost}, complete(t, store, completion(dead)))
	extended, err := store.ExtendClaims(ctx, []storage.ClaimRef{{JobID: dead.ID, Token: dead.Token}, {JobID: dead.ID, WorkerID: dead.WorkerID}}, at(700))
	require.NoError(t, err)
	requireOutcomes(t, storage.Outcomes{storage.ErrClaimLost, storage.ErrClaimLost}, extended)

	require.Empty(t, claim(t, store, claimAt(at(599), 1, "transform")))
	jobs := claim(t, store, claimAt(at(600), 1, "transform"))
	require.Len(t, jobs, 1)
	require.Equal(t, 1, jobs[0].Deliveries)
	requireOutcomes(t, storage.Outcomes{nil}, complete(t, store, completion(jobs[0])))
	messages := results(t, store)
	require.Len(t, messages, 1)
	require.Equal(t, completion(jobs[0]).Result, messages[0].Payload)
}

func requeueTakesBackMessage(t *testing.T, store storage.Queue) {
	dead := buried(t, store, at(500), aJob(1), aJob(2))
	requireOutcomes(t, storage.Outcomes{nil}, requeue(t, store, at(600), dead[0].ID))
	messages := results(t, store)
	require.Len(t, messages, 1)
	require.Equal(t, dead[1].ID, messages[0].JobID)

	// It may die again, and then there is a message again.
	again := claim(t, store, claimAt(at(600), 1, "transform"))
	require.Len(t, again, 1)
	_, err := store.ExpireClaims(t.Context(), again[0].TimeoutAt, 1, 10, deadMessage)
	require.NoError(t, err)
	require.Len(t, results(t, store), 2)
}

func requeueConcurrently(t *testing.T, store storage.Queue) {
	ctx := t.Context()
	const n, callers = 30, 5
	jobs := buried(t, store, at(500), jobsOf("grave", 0, n)...)
	accepted := make([]int, callers)
	errs := make([]error, callers)
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			var list []string
			for i := range n { // each in another order
				list = append(list, jobs[(i*7+c*3)%n].ID)
			}
			change := store.RequeueJobs
			if c%2 == 1 {
				change = store.DiscardJobs
			}
			outcomes, err := change(ctx, list, at(600+c))
			errs[c] = err
			for _, outcome := range outcomes {
				if outcome == nil {
					accepted[c]++
				}
			}
		})
	}
	wg.Wait()
	requeued := 0
	for c := range callers {
		require.NoError(t, errs[c])
		if c%2 == 0 {
			requeued += accepted[c]
		}
	}
	require.Len(t, claim(t, store, claimAt(at(700), n, "grave")), requeued)
}

func discardOutcomes(t *testing.T, store storage.Queue) {
	dead := buried(t, store, at(500), jobsOf("grave", 100, 2)...)
	pending, claimed, completed, withdrawn := lives(t, store)
	list := []string{dead[0].ID, "job-none", pending.ID, claimed.ID, completed.ID, withdrawn.ID, dead[0].ID, dead[1].ID}
	want := storage.Outcomes{nil, storage.ErrNotFound, storage.ErrConflict, storage.ErrConflict, storage.ErrEnded, nil, nil, nil}
	for n := range 2 { // a repeat answers the same
		requireOutcomes(t, want, discard(t, store, at(600+n), list...))
	}
	for _, job := range []storage.Job{pending, claimed, completed, withdrawn} {
		require.Equal(t, bare(job), getJob(t, store, job.ID), "untouched")
	}
	requireOutcomes(t, storage.Outcomes{storage.ErrEnded}, requeue(t, store, at(602), dead[0].ID))
}

func discardIsFinal(t *testing.T, store storage.Queue) {
	ctx := t.Context()
	dead := buried(t, store, at(500), aJob(1))[0]
	requireOutcomes(t, storage.Outcomes{nil}, discard(t, store, at(600), dead.ID))
	want := dead
	want.Status, want.FinishedAt = storage.JobWithdrawn, at(600)
	require.Equal(t, bare(want), getJob(t, store, dead.ID))

	put(t, store, aJob(1))
	require.Equal(t, bare(want), getJob(t, store, dead.ID), "it does not come back")
	requireOutcomes(t, storage.Outcomes{storage.ErrEnded}, complete(t, store, completion(dead)))
	page, err := store.ListDead(ctx, storage.DeadQuery{ListOptions: storage.ListOptions{Limit: 10}})
	require.NoError(t, err)
	require.Empty(t, page.Items)
	stats, err := store.Stats(ctx, at(700))
	require.NoError(t, err)
	require.Empty(t, stats)
	require.Len(t, results(t, store), 1, "the scheduler hears of the death")
}

func resultsHeld(t *testing.T, store storage.Queue) {
	ctx := t.Context()
	dead := buried(t, store, at(500), jobsOf("grave", 100, 3)...)
	ids := []string{dead[2].ID, dead[0].ID, "job-none", dead[1].ID}
	heldUntil := func(until time.Time) []string {
		var asked []storage.HeldResult
		for _, id := range ids {
			asked = append(asked, storage.HeldResult{JobID: id, Until: until})
		}
		held, err := store.HeldResults(ctx, asked)
		require.NoError(t, err)
		return held
	}
	claimed, err := store.ClaimResults(ctx, at(600), at(700), 10)
	require.NoError(t, err)
	require.Len(t, claimed, 3)
	requireOutcomes(t, storage.Outcomes{nil}, requeue(t, store, at(600), dead[0].ID))

	require.Equal(t, []string{dead[2].ID, dead[1].ID}, heldUntil(at(700)))
	require.Empty(t, heldUntil(at(701)), "they are held until another time")
}

func resultsHeldFromTheStart(t *testing.T, store storage.Queue) {
	ctx := t.Context()
	done := completion(claimOne(t, store, 1))
	done.At, done.Token, done.HeldUntil = at(5), "", at(60)
	requireOutcomes(t, storage.Outcomes{nil}, complete(t, store, done))
	held, err := store.HeldResults(ctx, []storage.HeldResult{{JobID: done.JobID, Until: at(60)}})
	require.NoError(t, err)
	require.Equal(t, []string{done.JobID}, held)
	undelivered, err := store.Undelivered(ctx)
	require.NoError(t, err)
	require.Equal(t, storage.UndeliveredResults{Count: 1, Oldest: at(5)}, undelivered)

	early, err := store.ClaimResults(ctx, at(59), at(90), 10)
	require.NoError(t, err)
	require.Empty(t, early)
	late, err := store.ClaimResults(ctx, at(60), at(90), 10)
	require.NoError(t, err)
	require.Len(t, late, 1)
	require.Equal(t, done.Result, late[0].Payload)
}
