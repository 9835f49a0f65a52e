package storagetest

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// benchClients is how many workers go at the queue at once.
const benchClients = 64

// BenchmarkQueue measures the life of a job: put, claimed by a poll for two
// services, answered, its message acknowledged. Every step is a durable commit
// of its own, and the finished jobs stay.
func BenchmarkQueue(b *testing.B, open func(b *testing.B) storage.Queue) {
	store := open(b)
	ctx := context.Background()
	services := []string{"a", "b"}
	newToken := tokens()
	var number atomic.Int64
	b.SetParallelism(max(1, benchClients/runtime.GOMAXPROCS(0)))
	b.ResetTimer() // opening starts servers
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			n := number.Add(1)
			now := storage.Now()
			job := aJob(0)
			job.ID, job.Service = fmt.Sprintf("job-%012d", n), services[n%2]
			job.AvailableAt, job.CreatedAt = now, now
			require.NoError(b, store.PutJobs(ctx, []storage.Job{job}))

			now = storage.Now()
			jobs, err := store.ClaimJobs(ctx, storage.ClaimJobs{
				WorkerID: "w", Services: services, Max: 1, Now: now, VisibleUntil: now.Add(time.Minute), NewToken: newToken,
			})
			require.NoError(b, err)
			for _, job := range jobs {
				outcomes, err := store.CompleteJobs(ctx, []storage.JobCompletion{{
					JobID: job.ID, Token: job.Token, Result: json.RawMessage(`{}`), Hash: "h", At: storage.Now(),
				}})
				require.NoError(b, err)
				require.NoError(b, outcomes[0])
				require.NoError(b, store.AckResults(ctx, []string{job.ID}))
			}
		}
	})
	b.ReportMetric(float64(number.Load())/b.Elapsed().Seconds(), "jobs/s")
}
