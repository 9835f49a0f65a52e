package storagetest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

const modelMaxDeliveries = 2

// runQueueModel does random things to a queue and to a model of it that fits
// into a map, and compares all there is to see after each.
func runQueueModel(t *testing.T, open func(t *testing.T) storage.Queue) {
	store := open(t)
	var round atomic.Int64
	rapid.Check(t, func(rt *rapid.T) {
		// Rounds share the store: names of its own keep each round's jobs
		// apart, and clear leaves nothing unfinished to the next.
		model := newQueueModel(store, fmt.Sprintf("round%06d", round.Add(1)))
		defer model.clear(t)
		rt.Repeat(map[string]func(*rapid.T){
			"":              model.compare,
			"put":           model.put,
			"claim":         model.claim,
			"complete":      model.complete,
			"extend":        model.extend,
			"release":       model.release,
			"withdraw":      model.withdraw,
			"expire":        model.expire,
			"claim_results": model.claimResults,
			"ack_results":   model.ackResults,
			"set_limit":     model.setLimit,
			"requeue":       model.requeue,
			"discard":       model.discard,
			"time_passes":   model.pass,
		})
	})
}

type queueModel struct {
	store    storage.Queue
	prefix   string
	services []string
	now      time.Time
	jobs     map[string]storage.Job
	results  map[string]storage.JobResult
	limits   map[string]modelLimit
	newToken func() string
}

func newQueueModel(store storage.Queue, prefix string) *queueModel {
	return &queueModel{
		store: store, prefix: prefix, services: []string{prefix + "-a", prefix + "-b"}, now: at(0),
		jobs: map[string]storage.Job{}, results: map[string]storage.JobResult{},
		limits: map[string]modelLimit{}, newToken: tokens(),
	}
}

func (m *queueModel) clear(t *testing.T) {
	all := slices.Collect(maps.Keys(m.jobs))
	_, err := m.store.WithdrawJobs(context.Background(), all, m.now)
	require.NoError(t, err)
	require.NoError(t, m.store.AckResults(context.Background(), all))
	for service := range m.limits {
		setLimit(t, m.store, storage.ServiceLimit{Service: service, UpdatedAt: m.now})
	}
}

func (m *queueModel) anyID(rt *rapid.T) string {
	return fmt.Sprintf("%s-%d", m.prefix, rapid.IntRange(0, 7).Draw(rt, "job"))
}

func (m *queueModel) anyTime(rt *rapid.T) time.Time {
	return m.now.Add(time.Duration(rapid.IntRange(0, 6).Draw(rt, "seconds")) * time.Second)
}

func (m *queueModel) pass(rt *rapid.T) {
	m.now = m.anyTime(rt).Add(time.Microsecond)
}

func (m *queueModel) put(rt *rapid.T) {
	var batch []storage.Job
	for range rapid.IntRange(1, 3).Draw(rt, "size") {
		id := m.anyID(rt)
		job := storage.Job{
			ID: id, TaskID: "t" + id, RunID: "r" + id, NodeKey: "n", Path: "n", Visit: 1, Attempt: 1,
			Service:  rapid.SampledFrom(m.services).Draw(rt, "service"),
			Input:    json.RawMessage(rapid.SampledFrom([]string{`{}`, `{"input":"four"}`}).Draw(rt, "input")),
			Priority: rapid.IntRange(0, 1).Draw(rt, "priority"), Status: storage.JobPending,
			AvailableAt: m.anyTime(rt), CreatedAt: m.now,
		}
		batch = append(batch, job)
		if _, known := m.jobs[id]; !known {
			m.jobs[id] = job
		}
	}
	require.NoError(rt, m.store.PutJobs(context.Background(), batch))
}

// ready lists a service's ready jobs in the order of claiming.
func (m *queueModel) ready(service string) []storage.Job {
	var list []storage.Job
	for _, job := range m.jobs {
		if job.Service == service && job.Status == storage.JobPending && !job.AvailableAt.After(m.now) {
			list = append(list, job)
		}
	}
	slices.SortFunc(list, func(a, b storage.Job) int {
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), a.AvailableAt.Compare(b.AvailableAt), cmp.Compare(a.ID, b.ID))
	})
	return list
}

func (m *queueModel) claim(rt *rapid.T) {
	params := storage.ClaimJobs{
		WorkerID: rapid.SampledFrom([]string{"w-1", "w-2"}).Draw(rt, "worker"),
		Services: rapid.SampledFrom([][]string{m.services, m.services[:1], m.services[1:]}).Draw(rt, "services"),
		Max:      rapid.IntRange(1, 4).Draw(rt, "max"), MaxBytes: rapid.SampledFrom([]int{0, 10, 20}).Draw(rt, "max_bytes"),
		Now: m.now, VisibleUntil: m.anyTime(rt).Add(time.Second), NewToken: m.newToken,
	}
	told := map[string]time.Time{}
	params.HeldBack = func(service string, until time.Time) { told[service] = until }
	left := map[string][]storage.Job{}
	want := 0
	for _, service := range params.Services {
		ready := m.ready(service)
		left[service] = ready[:m.places(service, len(ready))]
		want += len(left[service])
	}
	got, err := m.store.ClaimJobs(context.Background(), params)
	require.NoError(rt, err)
	want = min(want, params.Max)
	bytes := 0
	for _, job := range got {
		// Each comes from the front of its service, and no other service has a
		// higher priority to offer. Whose turn it is is another test's matter.
		require.NotEmpty(rt, left[job.Service])
		next := left[job.Service][0]
		bytes += len(job.Input)
		left[job.Service] = left[job.Service][1:]
		for _, others := range left {
			require.False(rt, len(others) > 0 && others[0].Priority > next.Priority)
		}
		next.Status, next.Deliveries = storage.JobClaimed, next.Deliveries+1
		next.WorkerID, next.Token, next.StartedAt, next.TimeoutAt = params.WorkerID, job.Token, m.now, params.VisibleUntil
		require.Equal(rt, next, job)
		m.jobs[job.ID] = next
	}
	full := false
	if params.MaxBytes > 0 {
		require.True(rt, len(got) <= 1 || bytes <= params.MaxBytes)
		for _, others := range left {
			full = full || len(others) > 0 && bytes+len(others[0].Input) > params.MaxBytes
		}
	}
	require.True(rt, len(got) == want || full && len(got) > 0 && len(got) < want)
	m.spend(got)
	m.checkHeldBack(rt, params, got, told)
}

// anyRef draws what a caller says of a claim: the truth, nothing, or else.
func (m *queueModel) anyRef(rt *rapid.T) storage.ClaimRef {
	id := m.anyID(rt)
	job := m.jobs[id]
	return storage.ClaimRef{
		JobID:    id,
		WorkerID: rapid.SampledFrom([]string{"", job.WorkerID, "w-1", "w-2"}).Draw(rt, "worker"),
		Token:    rapid.SampledFrom([]string{"", job.Token, "token-0"}).Draw(rt, "token"),
	}
}

func (m *queueModel) holds(ref storage.ClaimRef, unnamed bool) bool {
	job := m.jobs[ref.JobID]
	if ref.Token != "" {
		return ref.Token == job.Token
	}
	if ref.WorkerID != "" {
		return ref.WorkerID == job.WorkerID
	}
	return unnamed
}

func (m *queueModel) complete(rt *rapid.T) {
	var batch []storage.JobCompletion
	var want storage.Outcomes
	for range rapid.IntRange(1, 3).Draw(rt, "size") {
		ref := m.anyRef(rt)
		done := storage.JobCompletion{
			JobID: ref.JobID, WorkerID: ref.WorkerID, Token: ref.Token, Failed: rapid.Bool().Draw(rt, "failed"),
			Result: json.RawMessage(`[1]`), Hash: rapid.SampledFrom([]string{"h1", "h2"}).Draw(rt, "hash"), At: m.now,
		}
		batch = append(batch, done)
		want = append(want, m.completeOne(done, ref))
	}
	got, err := m.store.CompleteJobs(context.Background(), batch)
	require.NoError(rt, err)
	requireOutcomes(rt, want, got)
}

func (m *queueModel) completeOne(done storage.JobCompletion, ref storage.ClaimRef) error {
	job, known := m.jobs[done.JobID]
	switch job.Status {
	case storage.JobCompleted, storage.JobFailed:
		if job.ResultHash == done.Hash && m.holds(ref, true) {
			return nil
		}
		return storage.ErrClaimLost
	case storage.JobWithdrawn:
		return storage.ErrEnded
	case storage.JobDead:
		return storage.ErrClaimLost
	case storage.JobPending, storage.JobClaimed:
	}
	if !known {
		return storage.ErrNotFound
	}
	if !m.holds(ref, job.Status == storage.JobClaimed && m.now.Before(job.TimeoutAt)) {
		return storage.ErrClaimLost
	}
	job.Status = storage.JobCompleted
	if done.Failed {
		job.Status = storage.JobFailed
	}
	job.FinishedAt, job.ResultHash = m.now, done.Hash
	m.finish(job, done.Result)
	return nil
}

func (m *queueModel) finish(job storage.Job, payload json.RawMessage) {
	m.jobs[job.ID] = job
	m.results[job.ID] = storage.JobResult{JobID: job.ID, TaskID: job.TaskID, RunID: job.RunID, Payload: payload, NextAt: m.now}
}

func (m *queueModel) extend(rt *rapid.T) {
	ref, until := m.anyRef(rt), m.anyTime(rt)
	var want error
	job, known := m.jobs[ref.JobID]
	switch {
	case !known:
		want = storage.ErrNotFound
	case job.Status == storage.JobWithdrawn:
		want = storage.ErrEnded
	case job.Status != storage.JobPending && job.Status != storage.JobClaimed, !m.holds(ref, job.Status == storage.JobClaimed):
		want = storage.ErrClaimLost
	case job.Status == storage.JobPending && !m.hasPlace(job.Service):
		want = storage.ErrClaimLost
	default:
		job.Status, job.TimeoutAt = storage.JobClaimed, until
		m.jobs[ref.JobID] = job
	}
	got, err := m.store.ExtendClaims(context.Background(), []storage.ClaimRef{ref}, until)
	require.NoError(rt, err)
	requireOutcomes(rt, storage.Outcomes{want}, got)
}

func (m *queueModel) release(rt *rapid.T) {
	ref := m.anyRef(rt)
	if job := m.jobs[ref.JobID]; job.Status == storage.JobClaimed && job.Token == ref.Token {
		job.Status, job.Deliveries = storage.JobPending, job.Deliveries-1
		m.jobs[ref.JobID] = job
	}
	require.NoError(rt, m.store.ReleaseClaims(context.Background(), []storage.ClaimRef{ref}))
}

func (m *queueModel) withdraw(rt *rapid.T) {
	id := m.anyID(rt)
	var want error
	job, known := m.jobs[id]
	switch {
	case !known:
		m.jobs[id] = storage.Job{
			ID: id, Status: storage.JobWithdrawn,
			AvailableAt: m.now, CreatedAt: m.now, FinishedAt: m.now,
		}
	case job.Status == storage.JobPending || job.Status == storage.JobClaimed:
		job.Status, job.FinishedAt = storage.JobWithdrawn, m.now
		m.jobs[id] = job
	case job.Status != storage.JobWithdrawn:
		want = storage.ErrEnded
	}
	got, err := m.store.WithdrawJobs(context.Background(), []string{id}, m.now)
	require.NoError(rt, err)
	requireOutcomes(rt, storage.Outcomes{want}, got)
}

func (m *queueModel) expire(rt *rapid.T) {
	limit := rapid.IntRange(1, 4).Draw(rt, "limit")
	var due []storage.Job
	for _, job := range m.jobs {
		if job.Status == storage.JobClaimed && !job.TimeoutAt.After(m.now) {
			due = append(due, job)
		}
	}
	slices.SortFunc(due, func(a, b storage.Job) int {
		return cmp.Or(a.TimeoutAt.Compare(b.TimeoutAt), cmp.Compare(a.ID, b.ID))
	})
	var want []storage.Job
	for _, job := range due[:min(limit, len(due))] {
		if job.Deliveries < modelMaxDeliveries {
			job.Status = storage.JobPending
			m.jobs[job.ID] = job
		} else {
			job.Status, job.FinishedAt = storage.JobDead, m.now
			m.finish(job, deadMessage(job))
		}
		want = append(want, bare(job))
	}
	got, err := m.store.ExpireClaims(context.Background(), m.now, modelMaxDeliveries, limit, deadMessage)
	require.NoError(rt, err)
	require.ElementsMatch(rt, want, got)
}

func (m *queueModel) claimResults(rt *rapid.T) {
	until := m.anyTime(rt)
	want := []storage.JobResult{}
	for id, result := range m.results {
		if !result.NextAt.After(m.now) {
			result.NextAt = until
			result.Attempts++
			m.results[id] = result
			want = append(want, result)
		}
	}
	got, err := m.store.ClaimResults(context.Background(), m.now, until, 100)
	require.NoError(rt, err)
	require.ElementsMatch(rt, want, got)
}

func (m *queueModel) ackResults(rt *rapid.T) {
	id := m.anyID(rt)
	delete(m.results, id)
	require.NoError(rt, m.store.AckResults(context.Background(), []string{id}))
}

// compare looks at everything a reader can see.
func (m *queueModel) compare(rt *rapid.T) {
	ctx := context.Background()
	var next time.Time
	stats := map[string]storage.ServiceStats{}
	kept, err := m.store.GetJobs(ctx, slices.Collect(maps.Keys(m.jobs)))
	require.NoError(rt, err)
	require.Len(rt, kept, len(m.jobs))
	for id, want := range m.jobs {
		require.Equal(rt, bare(want), kept[id])
		s := stats[want.Service]
		s.Service = want.Service
		var change time.Time
		switch want.Status {
		case storage.JobPending:
			if want.AvailableAt.After(m.now) {
				s.Delayed++
				change = want.AvailableAt
				break
			}
			s.Ready++
			if s.OldestReadyAt.IsZero() || want.AvailableAt.Before(s.OldestReadyAt) {
				s.OldestReadyAt = want.AvailableAt
			}
		case storage.JobClaimed:
			s.Claimed++
			change = want.TimeoutAt
		case storage.JobDead:
			s.Dead++
		case storage.JobCompleted, storage.JobFailed, storage.JobWithdrawn:
			continue
		}
		stats[want.Service] = s
		if !change.IsZero() && (next.IsZero() || change.Before(next)) {
			next = change
		}
	}
	for _, limit := range m.limits {
		if change := limit.nextToken(m.now); !change.IsZero() && (next.IsZero() || change.Before(next)) {
			next = change
		}
	}
	got, err := m.store.NextChange(ctx, m.now)
	require.NoError(rt, err)
	require.Equal(rt, next, got)
	m.compareLists(rt)

	list, err := m.store.Stats(ctx, m.now)
	require.NoError(rt, err)
	for _, s := range list {
		if slices.Contains(m.services, s.Service) { // other rounds left dead jobs
			require.Equal(rt, stats[s.Service], s)
			delete(stats, s.Service)
		}
	}
	require.Empty(rt, stats)
}
