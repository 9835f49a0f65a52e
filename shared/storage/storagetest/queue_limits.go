package storagetest

import (
	"math"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

func setLimit(t *testing.T, store storage.Queue, limit storage.ServiceLimit) {
	t.Helper()
	require.NoError(t, store.SetLimit(t.Context(), limit))
}

// maxOf is a limit on claims at once, rateOf one on claims a second.
func maxOf(service string, most int) storage.ServiceLimit {
	return storage.ServiceLimit{Service: service, MaxClaimed: most, UpdatedAt: at(0)}
}

func rateOf(service string, perSecond float64, burst int) storage.ServiceLimit {
	return storage.ServiceLimit{Service: service, RatePerSecond: perSecond, Burst: burst, UpdatedAt: at(0)}
}

func nextChangeAt(t *testing.T, store storage.Queue, now time.Time) time.Time {
	t.Helper()
	change, err := store.NextChange(t.Context(), now)
	require.NoError(t, err)
	return change
}

func limitReadsBack(t *testing.T, store storage.Queue) {
	listed := func() []storage.ServiceLimit {
		t.Helper()
		limits, err := store.ListLimits(t.Context())
		require.NoError(t, err)
		require.NotNil(t, limits)
		return limits
	}
	require.Empty(t, listed())
	b := storage.ServiceLimit{Service: "b", MaxClaimed: 3, RatePerSecond: 0.1, Burst: 2, UpdatedAt: at(1)}
	a := storage.ServiceLimit{Service: "a", RatePerSecond: 1e6 / 3, Burst: storage.MaxBurst, UpdatedAt: at(2)}
	setLimit(t, store, b)
	setLimit(t, store, a)
	setLimit(t, store, maxOf("c", math.MaxInt32))
	require.Equal(t, []storage.ServiceLimit{a, b, maxOf("c", math.MaxInt32)}, listed())

	b.MaxClaimed, b.RatePerSecond, b.Burst, b.UpdatedAt = 5, 0, 0, at(3)
	setLimit(t, store, b)
	for range 2 {
		setLimit(t, store, storage.ServiceLimit{Service: "a", UpdatedAt: at(4)})
		setLimit(t, store, storage.ServiceLimit{Service: "c", UpdatedAt: at(4)})
		require.Equal(t, []storage.ServiceLimit{b}, listed())
	}
}

func limitBounds(t *testing.T, store storage.Queue) {
	for _, limit := range []storage.ServiceLimit{
		{MaxClaimed: -1},
		{RatePerSecond: -1, Burst: 1},
		{RatePerSecond: math.NaN(), Burst: 1},
		{RatePerSecond: math.Inf(1), Burst: 1},
		{RatePerSecond: storage.MinRatePerSecond / 2, Burst: 1},
		{RatePerSecond: storage.MaxRatePerSecond * 2, Burst: 1},
		{RatePerSecond: 1, Burst: 0},
		{RatePerSecond: 1, Burst: -1},
		{RatePerSecond: 1, Burst: storage.MaxBurst + 1},
	} {
		limit.Service, limit.UpdatedAt = "a", at(0)
		require.ErrorIs(t, store.SetLimit(t.Context(), limit), storage.ErrInvalidData)
	}
	limits, err := store.ListLimits(t.Context())
	require.NoError(t, err)
	require.Empty(t, limits)
}

func maxClaimedHolds(t *testing.T, store storage.Queue) {
	setLimit(t, store, maxOf("a", 3))
	put(t, store, jobsOf("a", 0, 10)...)
	first := claim(t, store, claimAt(at(20), 2, "a"))
	require.Equal(t, []string{aJob(0).ID, aJob(1).ID}, ids(first))
	second := claim(t, store, claimAt(at(20), 5, "a"))
	require.Equal(t, []string{aJob(2).ID}, ids(second))
	require.Empty(t, claim(t, store, claimAt(at(20), 5, "a")))

	complete(t, store, completion(first[0]))
	_, err := store.WithdrawJobs(t.Context(), []string{first[1].ID}, at(21))
	require.NoError(t, err)
	require.Equal(t, []string{aJob(3).ID, aJob(4).ID}, ids(claim(t, store, claimAt(at(21), 5, "a"))), "a place for each that ended")

	setLimit(t, store, maxOf("a", 4))
	require.Len(t, claim(t, store, claimAt(at(21), 5, "a")), 1)
	setLimit(t, store, maxOf("a", 0))
	require.Len(t, claim(t, store, claimAt(at(21), 5, "a")), 4)
}

func limitLowered(t *testing.T, store storage.Queue) {
	put(t, store, jobsOf("a", 0, 10)...)
	claimed := claim(t, store, claimAt(at(20), 5, "a"))
	setLimit(t, store, maxOf("a", 3))
	for i, job := range claimed {
		require.Equal(t, storage.JobClaimed, getJob(t, store, job.ID).Status)
		more := claim(t, store, claimAt(at(21), 1, "a"))
		require.Empty(t, more)
		complete(t, store, completion(job))
		if i == 2 {
			break
		}
	}
	require.Len(t, claim(t, store, claimAt(at(21), 5, "a")), 1)
}

func maxClaimedExpiry(t *testing.T, store storage.Queue) {
	ctx := t.Context()
	setLimit(t, store, maxOf("a", 2))
	put(t, store, jobsOf("a", 0, 4)...)
	require.Len(t, claim(t, store, claimAt(at(10), 5, "a")), 2)
	require.Empty(t, claim(t, store, claimAt(at(1000), 5, "a")), "their workers may still be at it")

	expired, err := store.ExpireClaims(ctx, at(1000), 5, 1, deadMessage)
	require.NoError(t, err)
	require.Len(t, expired, 1)
	require.Equal(t, ids(expired), ids(claim(t, store, claimAt(at(1000), 5, "a"))))
	expired, err = store.ExpireClaims(ctx, at(1000), 1, 5, deadMessage)
	require.NoError(t, err)
	require.Len(t, expired, 1)
	require.Equal(t, storage.JobDead, expired[0].Status)
	require.Equal(t, []string{aJob(2).ID}, ids(claim(t, store, claimAt(at(1000), 5, "a"))), "a dead job has no place")
}

func maxClaimedRevival(t *testing.T, store storage.Queue) {
	ctx := t.Context()
	setLimit(t, store, maxOf("a", 2))
	put(t, store, jobsOf("a", 0, 4)...)
	first := claim(t, store, claimAt(at(10), 2, "a"))
	expire := func(now time.Time) {
		t.Helper()
		_, err := store.ExpireClaims(ctx, now, 5, 5, deadMessage)
		require.NoError(t, err)
	}
	expire(at(1000))
	params := claimAt(at(1000), 1, "a")
	params.NewToken = func() string { return "token-other" }
	taken := claim(t, store, params)
	require.Equal(t, first[0].ID, taken[0].ID)
	put(t, store, jobsOf("a", 10, 1)...)

	refs := []storage.ClaimRef{{JobID: first[1].ID, Token: first[1].Token}, {JobID: first[1].ID, Token: first[1].Token}}
	outcomes, err := store.ExtendClaims(ctx, refs, at(2000))
	require.NoError(t, err)
	requireOutcomes(t, storage.Outcomes{nil, nil}, outcomes)
	require.Empty(t, claim(t, store, claimAt(at(1001), 5, "a")), "it has its place again")

	expire(at(3000))
	params.Now, params.Max = at(3000), 1
	params.VisibleUntil = at(4000)
	require.Len(t, claim(t, store, params), 1)
	setLimit(t, store, maxOf("a", 1))
	outcomes, err = store.ExtendClaims(ctx, refs[:1], at(4000))
	require.NoError(t, err)
	requireOutcomes(t, storage.Outcomes{storage.ErrClaimLost}, outcomes)
	require.Equal(t, storage.JobPending, getJob(t, store, first[1].ID).Status)
}

func maxClaimedOthers(t *testing.T, store storage.Queue) {
	setLimit(t, store, maxOf("a", 1))
	setLimit(t, store, maxOf("b", 2))
	put(t, store, jobsOf("a", 0, 5)...)
	put(t, store, jobsOf("b", 10, 5)...)
	put(t, store, jobsOf("c", 20, 3)...)
	served := func(jobs []storage.Job) map[string]int {
		counts := map[string]int{}
		for _, job := range jobs {
			counts[job.Service]++
		}
		return counts
	}
	require.Equal(t, map[string]int{"a": 1, "b": 2, "c": 1}, served(claim(t, store, claimAt(at(50), 4, "c", "b", "a"))))
	require.Equal(t, map[string]int{"c": 1}, served(claim(t, store, claimAt(at(50), 1, "a", "b", "c"))))
	require.Equal(t, map[string]int{"c": 1}, served(claim(t, store, claimAt(at(50), 9, "a", "b", "c"))))
	require.Empty(t, claim(t, store, claimAt(at(50), 9, "a", "b", "c")))

	// What is urgent of a service that is full does not stand in the way.
	urgent := jobsOf("a", 30, 1)
	urgent[0].Priority = 9
	put(t, store, append(urgent, jobsOf("c", 40, 1)...)...)
	require.Equal(t, map[string]int{"c": 1}, served(claim(t, store, claimAt(at(50), 1, "a", "c"))))
}

// As many claimers as places, at once: each gets one, and those after them none.
func maxClaimedConcurrently(t *testing.T, store storage.Queue) {
	ctx := t.Context()
	const most, claimers = 12, 20
	setLimit(t, store, maxOf("a", most))
	put(t, store, jobsOf("a", 0, 100)...)
	got := make([]int, claimers)
	errs := make([]error, claimers)
	var wg sync.WaitGroup
	for c := range claimers {
		wg.Go(func() {
			services := []string{"a", "b"}[:1+c%2]
			jobs, err := store.ClaimJobs(ctx, claimAt(at(1000), 1, services...))
			got[c], errs[c] = len(jobs), err
		})
	}
	wg.Wait()
	total := 0
	for c := range claimers {
		require.NoError(t, errs[c])
		total += got[c]
	}
	require.Equal(t, most, total)
}

func rateHolds(t *testing.T, store storage.Queue) {
	setLimit(t, store, rateOf("a", 2, 3))
	put(t, store, jobsOf("a", 0, 50)...)
	take := func(now time.Time) int {
		t.Helper()
		jobs := claim(t, store, claimAt(now, 10, "a"))
		for _, job := range jobs { // whatever becomes of them
			complete(t, store, completion(job))
		}
		return len(jobs)
	}
	now := at(100)
	half := 500 * time.Millisecond
	require.Equal(t, 3, take(now), "the burst")
	require.Zero(t, take(now))
	require.Zero(t, take(now.Add(half-time.Microsecond)))
	require.Equal(t, 1, take(now.Add(half)))
	require.Zero(t, take(now.Add(half)))
	require.Equal(t, 2, take(now.Add(3*half)))
	require.Equal(t, 3, take(now.Add(100*half)), "no more than the burst gathers")
	require.Zero(t, take(now.Add(100*half)))

	// A delivery is a delivery: a job that comes back takes a token again.
	jobs := claim(t, store, claimAt(now.Add(101*half), 1, "a"))
	require.Len(t, jobs, 1)
	_, err := store.ExpireClaims(t.Context(), now.Add(time.Hour), 5, 10, deadMessage)
	require.NoError(t, err)
	require.Equal(t, 3, take(now.Add(time.Hour)))
}

func rateOthers(t *testing.T, store storage.Queue) {
	setLimit(t, store, rateOf("a", 1, 1))
	setLimit(t, store, storage.ServiceLimit{Service: "b", MaxClaimed: 2, RatePerSecond: 1, Burst: 5, UpdatedAt: at(0)})
	put(t, store, jobsOf("a", 0, 5)...)
	put(t, store, jobsOf("b", 10, 5)...)
	put(t, store, jobsOf("c", 20, 5)...)
	jobs := claim(t, store, claimAt(at(50), 6, "a", "b", "c"))
	served := map[string]int{}
	for _, job := range jobs {
		served[job.Service]++
	}
	require.Equal(t, map[string]int{"a": 1, "b": 2, "c": 3}, served)
}

func rateTells(t *testing.T, store storage.Queue) {
	setLimit(t, store, rateOf("a", 0.3, 2))
	setLimit(t, store, rateOf("b", 0.1, 2))
	setLimit(t, store, maxOf("c", 1))
	put(t, store, jobsOf("a", 0, 5)...)
	put(t, store, jobsOf("c", 10, 5)...)
	now := at(100)
	var told map[string]time.Time
	take := func(now time.Time, most int, services ...string) int {
		t.Helper()
		told = map[string]time.Time{}
		params := claimAt(now, most, services...)
		params.VisibleUntil = at(1e6)
		params.HeldBack = func(service string, until time.Time) { told[service] = until }
		return len(claim(t, store, params))
	}
	require.Equal(t, 1, take(now, 1, "a"))
	require.Empty(t, told, "there is one left")
	require.Equal(t, at(1e6), nextChangeAt(t, store, now), "the time-out")

	interval := 3_333_334 * time.Microsecond // rounded up
	require.Equal(t, 2, take(now, 5, "a", "b", "c"))
	require.Equal(t, map[string]time.Time{"a": now.Add(interval)}, told, "c is held back by something else, b has no job")
	for range 2 {
		require.Equal(t, now.Add(interval), nextChangeAt(t, store, now))
		require.Zero(t, take(now, 1, "a"))
		require.Equal(t, map[string]time.Time{"a": now.Add(interval)}, told)
	}
	require.Zero(t, take(now.Add(interval-time.Microsecond), 1, "a"))
	require.Equal(t, at(1e6), nextChangeAt(t, store, now.Add(interval)), "it lets one through, which is no change to come")
	require.Equal(t, 1, take(now.Add(interval), 1, "a"))
}

// One process whose clock is ahead of another's must not let more through.
func rateSkewedClocks(t *testing.T, store storage.Queue) {
	setLimit(t, store, rateOf("a", 1, 4))
	put(t, store, jobsOf("a", 0, 50)...)
	ahead := 2 * time.Second
	count := 0
	for n := range 10 {
		now := at(100 + n)
		count += len(claim(t, store, claimAt(now.Add(ahead), 10, "a"))) + len(claim(t, store, claimAt(now, 10, "a")))
	}
	require.Equal(t, 4+9, count)
}

func limitChange(t *testing.T, store storage.Queue) {
	put(t, store, jobsOf("a", 0, 50)...)
	take := func(now time.Time) int { return len(claim(t, store, claimAt(now, 10, "a"))) }
	limit := rateOf("a", 1, 4)
	setLimit(t, store, limit)
	require.Equal(t, 4, take(at(100)))

	// Setting it again and again gives nothing.
	for n := range 10 {
		limit.UpdatedAt = at(100).Add(time.Duration(n) * 100 * time.Millisecond)
		setLimit(t, store, limit)
		require.Zero(t, take(limit.UpdatedAt))
	}
	require.Equal(t, 1, take(at(101)), "and takes nothing")

	limit.RatePerSecond, limit.Burst, limit.UpdatedAt = 10, 100, at(101)
	setLimit(t, store, limit)
	require.Zero(t, take(at(101)))
	require.Equal(t, 5, take(at(101).Add(500*time.Millisecond)))

	limit.Burst, limit.UpdatedAt = 2, at(200)
	setLimit(t, store, limit)
	require.Equal(t, 2, take(at(200)))
}

func limitHints(t *testing.T, store storage.Queue) {
	ctx := t.Context()
	hints := subscribe(t, store)
	eventually(t, func() bool {
		setLimit(t, store, maxOf("full", 4))
		return hints.hears("full", 100*time.Millisecond)
	}, "the subscription stands; setting a limit is heard of")

	put(t, store, jobsOf("full", 0, 8)...)
	put(t, store, jobsOf("free", 10, 2)...)
	jobs := claim(t, store, claimAt(at(20), 8, "full"))
	free := claim(t, store, claimAt(at(20), 2, "free"))
	hears := func(what string) {
		t.Helper()
		require.True(t, hints.hears("full", 10*time.Second), what)
		hints.forget()
	}
	require.True(t, hints.hears("free", 10*time.Second))
	hints.forget()
	complete(t, store, completion(free[0]))
	complete(t, store, completion(jobs[0]))
	select {
	case heard := <-hints.heard:
		require.Equal(t, storage.JobHint{Service: "full"}, heard, "without a limit nobody waits for a claim's end")
	case <-time.After(10 * time.Second):
		require.Fail(t, "a claim that was answered")
	}
	_, err := store.WithdrawJobs(ctx, []string{jobs[1].ID}, at(21))
	require.NoError(t, err)
	hears("a claim that was withdrawn")
	_, err = store.ExpireClaims(ctx, at(100), 1, 10, deadMessage)
	require.NoError(t, err)
	hears("a claim whose job died")
	requireOutcomes(t, storage.Outcomes{nil}, requeue(t, store, at(101), jobs[2].ID))
	hears("a job that was requeued")
}
