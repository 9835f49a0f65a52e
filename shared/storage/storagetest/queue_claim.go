package storagetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

func claimReturns(t *testing.T, store storage.Queue) {
	put(t, store, aJob(1))
	params := claimAt(at(5), 3, "transform")
	jobs := claim(t, store, params)
	want := aJob(1)
	want.Status, want.Deliveries = storage.JobClaimed, 1
	want.WorkerID, want.Token, want.StartedAt, want.TimeoutAt = "w-1", "token-1", at(5), at(15)
	require.Equal(t, []storage.Job{want}, jobs)
	require.Equal(t, bare(want), getJob(t, store, want.ID))
	require.Empty(t, claim(t, store, params), "a claimed job is not ready")
}

func claimOrder(t *testing.T, store storage.Queue) {
	low, old, young, high := aJob(1), aJob(2), aJob(3), aJob(4)
	low.Priority, high.Priority = -1, 5
	old.AvailableAt, young.AvailableAt = at(6), at(7)
	sameAge := aJob(5)
	sameAge.AvailableAt = young.AvailableAt
	put(t, store, sameAge, young, low, high, old)
	require.Equal(t, []string{high.ID, old.ID, young.ID}, ids(claim(t, store, claimAt(at(10), 3, "transform"))))
	require.Equal(t, []string{sameAge.ID, low.ID}, ids(claim(t, store, claimAt(at(10), 3, "transform"))))
}

func claimSkips(t *testing.T, store storage.Queue) {
	foreign := aJob(1)
	foreign.Service = "route"
	urgent := aJob(20)
	urgent.Priority = 100
	put(t, store, foreign, aJob(10), urgent)
	require.Empty(t, claim(t, store, claimAt(at(9), 5, "transform")))
	require.Equal(t, []string{aJob(10).ID}, ids(claim(t, store, claimAt(at(10), 5, "transform"))), "ready from the very moment on")
	require.Equal(t, []string{foreign.ID}, ids(claim(t, store, claimAt(at(10), 5, "route"))))
}

func claimPriorityAcross(t *testing.T, store storage.Queue) {
	put(t, store, jobsOf("a", 1, 3)...)
	urgent := jobsOf("b", 10, 2)
	for i := range urgent {
		urgent[i].Priority = 1
	}
	put(t, store, urgent...)
	jobs := claim(t, store, claimAt(at(50), 4, "a", "b"))
	require.Equal(t, []string{urgent[0].ID, urgent[1].ID, aJob(1).ID, aJob(2).ID}, ids(jobs))
}

func claimFairness(t *testing.T, store storage.Queue) {
	// A backlog of one service is older than anything of the two others.
	put(t, store, jobsOf("busy", 0, 60)...)
	put(t, store, jobsOf("b", 100, 5)...)
	put(t, store, jobsOf("c", 200, 5)...)
	served := map[string]int{}
	for i := range 15 {
		// Another worker, with another list, must not upset the turns.
		list := []string{"busy", "b", "c"}
		if i%2 == 0 {
			list = []string{"c", "busy", "b"}
			require.Len(t, claim(t, store, claimAt(at(1000), 1, "busy")), 1)
		}
		jobs := claim(t, store, claimAt(at(1000), 1, list...))
		require.Len(t, jobs, 1)
		served[jobs[0].Service]++
	}
	require.GreaterOrEqual(t, served["b"], 4)
	require.GreaterOrEqual(t, served["c"], 4)
	require.GreaterOrEqual(t, served["busy"], 1)
}

func claimBatchFairness(t *testing.T, store storage.Queue) {
	put(t, store, jobsOf("busy", 0, 20)...)
	put(t, store, jobsOf("b", 100, 2)...)
	put(t, store, jobsOf("c", 200, 20)...)
	jobs := claim(t, store, claimAt(at(1000), 10, "b", "busy", "c"))
	served := map[string]int{}
	for _, job := range jobs {
		served[job.Service]++
	}
	require.Equal(t, map[string]int{"busy": 4, "b": 2, "c": 4}, served, "what one has too few of, the others share")
	require.Equal(t, []string{"busy", "b", "c", "busy", "b", "c"}, []string{
		jobs[0].Service, jobs[1].Service, jobs[2].Service, jobs[3].Service, jobs[4].Service, jobs[5].Service,
	}, "the oldest first, then in turn")
}

func claimRepeatedService(t *testing.T, store storage.Queue) {
	put(t, store, jobsOf("a", 1, 4)...)
	require.Len(t, claim(t, store, claimAt(at(100), 3, "a", "a", "a")), 3)
	require.Len(t, claim(t, store, claimAt(at(100), 3, "b", "a", "b")), 1)
}

func claimConcurrently(t *testing.T, store storage.Queue) {
	ctx := t.Context()
	const jobs, claimers = 200, 8
	services := []string{"a", "b", "c"}
	for i, service := range services {
		put(t, store, jobsOf(service, i*1000, jobs)...)
	}
	newToken := tokens()
	claimed := make([][]storage.Job, claimers)
	errs := make([]error, claimers)
	var wg sync.WaitGroup
	for c := range claimers {
		wg.Go(func() {
			params := claimAt(at(10_000), 1+c, services[c%3], services[(c+1)%3], services[(c+2)%3])
			params.WorkerID, params.NewToken = fmt.Sprintf("w-%d", c), newToken
			for {
				got, err := store.ClaimJobs(ctx, params)
				if err != nil || len(got) == 0 {
					errs[c] = err
					return
				}
				claimed[c] = append(claimed[c], got...)
			}
		})
	}
	wg.Wait()
	owner, token := map[string]string{}, map[string]bool{}
	for c := range claimers {
		require.NoError(t, errs[c])
		for _, job := range claimed[c] {
			require.Empty(t, owner[job.ID], "%s was claimed twice", job.ID)
			require.Equal(t, 1, job.Deliveries)
			require.False(t, token[job.Token], "token of two claims")
			owner[job.ID], token[job.Token] = job.WorkerID, true
		}
	}
	require.Len(t, owner, jobs*len(services))
}

// claimExactly has as many claimers as jobs: each that asks for one must get
// one, also while the others hold locks on theirs.
func claimExactly(t *testing.T, store storage.Queue) {
	ctx := t.Context()
	const n = 12
	put(t, store, append(jobsOf("a", 0, n/2), jobsOf("b", 100, n/2)...)...)
	got := make([]int, n)
	errs := make([]error, n)
	var wg sync.WaitGroup
	for c := range n {
		wg.Go(func() {
			jobs, err := store.ClaimJobs(ctx, claimAt(at(1000), 1, "a", "b"))
			got[c], errs[c] = len(jobs), err
		})
	}
	wg.Wait()
	for c := range n {
		require.NoError(t, errs[c])
		require.Equal(t, 1, got[c], "claimer %d", c)
	}
}

func subscribeHears(t *testing.T, store storage.Queue) {
	ctx := t.Context()
	hints := subscribe(t, store)
	// Hints of the time before the subscription stands may be lost: knock
	// until it hears.
	n := 0
	eventually(t, func() bool {
		n++
		knock := aJob(n)
		knock.Service = "knock"
		put(t, store, knock)
		return hints.hears("knock", 100*time.Millisecond)
	}, "the subscription stands")

	put(t, store, jobsOf("news", 2000, 3)...)
	require.True(t, hints.hears("news", 10*time.Second), "a job that is put")

	job := claim(t, store, claimAt(at(3000), 3, "news"))[0]
	hints.forget()
	_, err := store.ExpireClaims(ctx, job.TimeoutAt, 5, 10, deadMessage)
	require.NoError(t, err)
	require.True(t, hints.hears("news", 10*time.Second), "a claim that timed out")

	delayed := jobsOf("later", 4000, 3)
	for i, seconds := range []int{4900, 4300, 4700} {
		delayed[i].AvailableAt = at(seconds)
	}
	put(t, store, delayed...)
	require.True(t, hints.hearsOf(storage.JobHint{Service: "later", ReadyAt: at(4300)}, 10*time.Second), "the first of them")
}

func subscribeEnds(t *testing.T, store storage.Queue) {
	hints := subscribe(t, store)
	hints.stop()
	require.NoError(t, hints.wait())
}
