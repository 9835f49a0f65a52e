package storagetest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// BenchFinished is how many finished jobs a queue has that is compared with an
// empty one.
const BenchFinished = 1_000_000

// CompareQueues measures a claim and its answer, each a durable commit, on two
// queues in turn, so that whatever else the machine does befalls both. It
// reports the medians and how many times as long the other one's takes. Polls
// are for one service and for three by turns.
func CompareQueues(b *testing.B, base, other storage.Queue) {
	queues := []*comparedQueue{{store: base}, {store: other}}
	for b.Loop() {
		for _, queue := range queues {
			queue.round(b)
		}
	}
	medians := make([]float64, len(queues))
	for i, queue := range queues {
		slices.Sort(queue.took)
		medians[i] = float64(queue.took[len(queue.took)/2].Microseconds())
	}
	b.ReportMetric(medians[0], "base-µs")
	b.ReportMetric(medians[1], "other-µs")
	b.ReportMetric(medians[1]/medians[0], "ratio")
}

// LimitOthers sets a thousand limits, on services that CompareQueues does not
// ask for.
func LimitOthers(b *testing.B, store storage.Queue) {
	for n := range 1000 {
		require.NoError(b, store.SetLimit(b.Context(), storage.ServiceLimit{
			Service: fmt.Sprintf("other-%d", n), MaxClaimed: 10, RatePerSecond: 10, Burst: 10, UpdatedAt: storage.Now(),
		}))
	}
}

// LimitPolled sets limits, which are never reached, on the services that
// CompareQueues asks for.
func LimitPolled(b *testing.B, store storage.Queue) {
	for _, service := range comparedServices() {
		require.NoError(b, store.SetLimit(b.Context(), storage.ServiceLimit{
			Service: service, MaxClaimed: 1000, RatePerSecond: storage.MaxRatePerSecond, Burst: storage.MaxBurst, UpdatedAt: storage.Now(),
		}))
	}
}

func comparedServices() []string { return []string{"a", "b", "c"} }

type comparedQueue struct {
	store storage.Queue
	n     int
	took  []time.Duration
}

func (q *comparedQueue) round(b *testing.B) {
	ctx := context.Background()
	q.n++
	services := comparedServices()
	if q.n%2 == 0 {
		services = services[:1]
	}
	now := storage.Now()
	job := aJob(0)
	job.ID, job.Service, job.AvailableAt, job.CreatedAt = fmt.Sprintf("job-%012d", q.n), services[q.n%len(services)], now, now
	require.NoError(b, q.store.PutJobs(ctx, []storage.Job{job}))

	start := time.Now()
	jobs, err := q.store.ClaimJobs(ctx, storage.ClaimJobs{
		WorkerID: "w", Services: services, Max: 1, Now: now, VisibleUntil: now.Add(time.Minute), NewToken: func() string { return job.ID },
	})
	require.NoError(b, err)
	require.Len(b, jobs, 1)
	outcomes, err := q.store.CompleteJobs(ctx, []storage.JobCompletion{{
		JobID: job.ID, Token: job.ID, Result: json.RawMessage(`{}`), Hash: "h", At: now,
	}})
	q.took = append(q.took, time.Since(start))
	require.NoError(b, err)
	require.NoError(b, outcomes[0])
	require.NoError(b, q.store.AckResults(ctx, []string{job.ID}))
}

// BenchmarkQueueBatches measures a life of jobs in calls of 10, 100 and 1,000
// items; the time for each job falls as batches grow.
func BenchmarkQueueBatches(b *testing.B, open func(b *testing.B) storage.Queue) {
	for _, size := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("Of%d", size), func(b *testing.B) {
			store := open(b)
			calls := 0
			for b.Loop() {
				batchLife(b, store, calls*size, size)
				calls++
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(calls*size), "µs/job")
		})
	}
}

func batchLife(b *testing.B, store storage.Queue, first, size int) {
	ctx := context.Background()
	jobs := make([]storage.Job, size)
	for i := range jobs {
		jobs[i] = aJob(0)
		jobs[i].ID = fmt.Sprintf("job-%012d", first+i)
	}
	require.NoError(b, store.PutJobs(ctx, jobs))
	claimed, err := store.ClaimJobs(ctx, claimAt(at(1), size, jobs[0].Service))
	require.NoError(b, err)
	require.Len(b, claimed, size)
	refs := make([]storage.ClaimRef, size)
	answers := make([]storage.JobCompletion, size)
	for i, job := range claimed {
		refs[i], answers[i] = storage.ClaimRef{JobID: job.ID, Token: job.Token}, completion(job)
	}
	extended, err := store.ExtendClaims(ctx, refs, at(60))
	require.NoError(b, err)
	require.Equal(b, make(storage.Outcomes, size), extended)
	completed, err := store.CompleteJobs(ctx, answers)
	require.NoError(b, err)
	require.Equal(b, make(storage.Outcomes, size), completed)
}
