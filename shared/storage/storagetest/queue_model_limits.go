package storagetest

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// modelLimit is a service's limit, and when its rate has the whole burst again.
type modelLimit struct {
	storage.ServiceLimit
	full time.Time
}

// interval is the time of one token; the model's rates have whole nanoseconds.
func (l modelLimit) interval() time.Duration {
	return time.Duration(float64(time.Second) / l.RatePerSecond)
}

func (l modelLimit) tokens(now time.Time) int {
	if !l.full.After(now) {
		return l.Burst
	}
	missing := l.full.Sub(now)
	return l.Burst - int((missing+l.interval()-1)/l.interval())
}

func (l *modelLimit) take(now time.Time, n int) {
	if l.full.Before(now) {
		l.full = now
	}
	l.full = l.full.Add(time.Duration(n) * l.interval())
}

// nextToken is zero when there is one.
func (l modelLimit) nextToken(now time.Time) time.Time {
	if l.RatePerSecond == 0 || l.tokens(now) > 0 {
		return time.Time{}
	}
	return l.full.Add(-time.Duration(l.Burst-1) * l.interval())
}

func (m *queueModel) setLimit(rt *rapid.T) {
	limit := storage.ServiceLimit{
		Service:       rapid.SampledFrom(m.services).Draw(rt, "service"),
		MaxClaimed:    rapid.IntRange(0, 2).Draw(rt, "max_claimed"),
		RatePerSecond: rapid.SampledFrom([]float64{0, 0, 0.25, 0.5, 2}).Draw(rt, "rate"),
		UpdatedAt:     m.now,
	}
	if limit.RatePerSecond > 0 {
		limit.Burst = rapid.IntRange(1, 3).Draw(rt, "burst")
	}
	require.NoError(rt, m.store.SetLimit(context.Background(), limit))
	before := m.limits[limit.Service]
	if limit.MaxClaimed == 0 && limit.RatePerSecond == 0 {
		delete(m.limits, limit.Service)
		return
	}
	after := modelLimit{ServiceLimit: limit}
	switch {
	case before.RatePerSecond == 0 || limit.RatePerSecond == 0:
	case before.RatePerSecond == limit.RatePerSecond && before.Burst == limit.Burst:
		after.full = before.full
	default:
		after.take(m.now, max(0, limit.Burst-before.tokens(m.now)))
	}
	m.limits[limit.Service] = after
}

// places is how many jobs of a service may be claimed, up to most.
func (m *queueModel) places(service string, most int) int {
	limit := m.limits[service]
	if limit.MaxClaimed > 0 {
		most = max(0, min(most, limit.MaxClaimed-m.claimedOf(service)))
	}
	if limit.RatePerSecond > 0 {
		most = min(most, limit.tokens(m.now))
	}
	return most
}

// hasPlace tells whether a claim may come to life again, which takes no token.
func (m *queueModel) hasPlace(service string) bool {
	most := m.limits[service].MaxClaimed
	return most == 0 || m.claimedOf(service) < most
}

func (m *queueModel) claimedOf(service string) (count int) {
	for _, job := range m.jobs {
		if job.Service == service && job.Status == storage.JobClaimed {
			count++
		}
	}
	return count
}

// spend takes the tokens of what was claimed.
func (m *queueModel) spend(claimed []storage.Job) {
	for _, job := range claimed {
		if limit := m.limits[job.Service]; limit.RatePerSecond > 0 {
			limit.take(m.now, 1)
			m.limits[job.Service] = limit
		}
	}
}

// checkHeldBack compares what a claim told of rates with what is left of them.
func (m *queueModel) checkHeldBack(rt *rapid.T, params storage.ClaimJobs, got []storage.Job, told map[string]time.Time) {
	for service, until := range told {
		require.Contains(rt, params.Services, service)
		require.False(rt, until.IsZero())
		require.Equal(rt, m.limits[service].nextToken(m.now), until)
	}
	for _, service := range params.Services {
		if until := m.limits[service].nextToken(m.now); !until.IsZero() && params.MaxBytes == 0 && len(got) < params.Max && len(m.ready(service)) > 0 {
			require.Equal(rt, until, told[service])
		}
	}
}

func (m *queueModel) requeue(rt *rapid.T) {
	id, at := m.anyID(rt), m.anyTime(rt)
	job, want := m.unlessDead(id)
	switch {
	case want != nil:
	case job.Status == storage.JobWithdrawn:
		want = storage.ErrEnded
	default:
		job.Status, job.Deliveries, job.AvailableAt, job.FinishedAt = storage.JobPending, 0, at, time.Time{}
		job.WorkerID, job.Token, job.StartedAt, job.TimeoutAt = "", "", time.Time{}, time.Time{}
		m.jobs[id] = job
		delete(m.results, id)
	}
	got, err := m.store.RequeueJobs(context.Background(), []string{id}, at)
	require.NoError(rt, err)
	requireOutcomes(rt, storage.Outcomes{want}, got)
}

func (m *queueModel) discard(rt *rapid.T) {
	id := m.anyID(rt)
	job, want := m.unlessDead(id)
	if want == nil && job.Status == storage.JobDead {
		job.Status, job.FinishedAt = storage.JobWithdrawn, m.now
		m.jobs[id] = job
	}
	got, err := m.store.DiscardJobs(context.Background(), []string{id}, m.now)
	require.NoError(rt, err)
	requireOutcomes(rt, storage.Outcomes{want}, got)
}

// unlessDead is the job, and the outcome of what is for dead ones.
func (m *queueModel) unlessDead(id string) (storage.Job, error) {
	job, known := m.jobs[id]
	if !known {
		return job, storage.ErrNotFound
	}
	switch job.Status {
	case storage.JobPending, storage.JobClaimed:
		return job, storage.ErrConflict
	case storage.JobCompleted, storage.JobFailed:
		return job, storage.ErrEnded
	case storage.JobDead, storage.JobWithdrawn:
	}
	return job, nil
}

// compareLists looks at the dead jobs and the limits.
func (m *queueModel) compareLists(rt *rapid.T) {
	ctx := context.Background()
	limits, err := m.store.ListLimits(ctx)
	require.NoError(rt, err)
	require.Len(rt, limits, len(m.limits))
	for _, limit := range limits {
		require.Equal(rt, m.limits[limit.Service].ServiceLimit, limit)
	}
	for _, service := range m.services {
		want := []storage.Job{}
		for _, job := range m.jobs {
			if job.Service == service && job.Status == storage.JobDead {
				want = append(want, job)
			}
		}
		slices.SortFunc(want, func(a, b storage.Job) int { return cmp.Compare(b.ID, a.ID) })
		page, err := m.store.ListDead(ctx, storage.DeadQuery{Service: service, ListOptions: storage.ListOptions{Limit: 100}})
		require.NoError(rt, err)
		require.Equal(rt, storage.Page[storage.Job]{Items: want, Total: len(want)}, page)
	}
}
