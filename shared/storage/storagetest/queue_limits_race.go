package storagetest

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

func limitsRace(t *testing.T, store storage.Queue) { RaceLimits(t, store, store) }

// RaceLimits lets workers claim, answer, extend, withdraw and expire at random
// over several stores of one database, and checks that no limit is exceeded at
// any moment that can be seen, nor a rate over any window.
func RaceLimits(t *testing.T, stores ...storage.Queue) {
	const jobs, workers, steps, most, burst, rate = 400, 8, 60, 5, 3, 200.0
	race := &limitsRacing{clock: at(10_000), newToken: tokens()}
	setLimit(t, stores[0], maxOf("max", most))
	setLimit(t, stores[0], rateOf("rate", rate, burst))
	setLimit(t, stores[0], storage.ServiceLimit{Service: "both", MaxClaimed: most, RatePerSecond: rate, Burst: burst, UpdatedAt: at(0)})
	for i, service := range []string{"max", "rate", "both", "free"} {
		put(t, stores[0], jobsOf(service, i*1000, jobs)...)
	}

	var wg, watcher sync.WaitGroup
	done := make(chan struct{})
	watcher.Go(func() {
		for {
			stats, err := stores[len(stores)-1].Stats(context.Background(), race.now(0))
			if err != nil {
				t.Errorf("stats: %v", err)
			}
			for _, s := range stats {
				if (s.Service == "max" || s.Service == "both") && s.Claimed > most {
					t.Errorf("%d jobs of %s are claimed at once", s.Claimed, s.Service)
				}
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	for w := range workers {
		wg.Go(func() {
			worker := &limitsWorker{race: race, store: stores[w%len(stores)], name: fmt.Sprintf("w-%d", w)}
			for range steps {
				if err := worker.step(context.Background()); err != nil {
					t.Errorf("worker %d: %v", w, err)
					return
				}
			}
		})
	}
	wg.Wait()
	close(done)
	watcher.Wait()
	race.requireRate(t, "rate", rate, burst)
	race.requireRate(t, "both", rate, burst)
	require.NotEmpty(t, race.claims["max"])
	require.NotEmpty(t, race.claims["free"])
}

// limitsRacing is what the workers of a race share: a clock, and when each claim
// of a service was made.
type limitsRacing struct {
	clock    time.Time
	passed   atomic.Int64
	newToken func() string

	mu     sync.Mutex
	claims map[string][]time.Time
}

func (r *limitsRacing) now(passes time.Duration) time.Time {
	return r.clock.Add(time.Duration(r.passed.Add(int64(passes))))
}

func (r *limitsRacing) claimed(jobs []storage.Job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.claims == nil {
		r.claims = map[string][]time.Time{}
	}
	for _, job := range jobs {
		r.claims[job.Service] = append(r.claims[job.Service], job.StartedAt)
	}
}

func (r *limitsRacing) requireRate(t *testing.T, service string, rate float64, burst int) {
	t.Helper()
	times := r.claims[service]
	slices.SortFunc(times, time.Time.Compare)
	require.Greater(t, len(times), burst)
	for i, from := range times {
		for j := i; j < len(times); j++ {
			allowed := float64(burst) + times[j].Sub(from).Seconds()*rate
			require.LessOrEqual(t, float64(j-i+1), allowed+1e-6, "claims of %s between %v and %v", service, from, times[j])
		}
	}
}

type limitsWorker struct {
	race  *limitsRacing
	store storage.Queue
	name  string
	held  []storage.Job // some of them lost to others meanwhile
}

func (w *limitsWorker) step(ctx context.Context) error {
	now := w.race.now(time.Duration(rand.N(4000)) * time.Microsecond)
	switch {
	case len(w.held) == 0 || rand.N(2) == 0:
		return w.claim(ctx, now)
	case rand.N(4) == 0:
		_, err := w.store.ExpireClaims(ctx, now, 50, 3, deadMessage)
		return err
	}
	i := rand.N(len(w.held))
	job := w.held[i]
	if rand.N(3) == 0 {
		until := now.Add(time.Duration(rand.N(20)) * time.Millisecond)
		_, err := w.store.ExtendClaims(ctx, []storage.ClaimRef{{JobID: job.ID, Token: job.Token}}, until)
		return err
	}
	w.held = slices.Delete(w.held, i, i+1)
	if rand.N(4) == 0 {
		_, err := w.store.WithdrawJobs(ctx, []string{job.ID}, now)
		return err
	}
	_, err := w.store.CompleteJobs(ctx, []storage.JobCompletion{{
		JobID: job.ID, Token: job.Token, Result: json.RawMessage(`{}`), Hash: w.name, At: now,
	}})
	return err
}

func (w *limitsWorker) claim(ctx context.Context, now time.Time) error {
	services := []string{"max", "rate", "both", "free"}
	rand.Shuffle(len(services), func(i, j int) { services[i], services[j] = services[j], services[i] })
	jobs, err := w.store.ClaimJobs(ctx, storage.ClaimJobs{
		WorkerID: w.name, Services: services[:1+rand.N(len(services))], Max: 1 + rand.N(4), Now: now,
		VisibleUntil: now.Add(time.Duration(rand.N(30)) * time.Millisecond), NewToken: w.race.newToken,
	})
	w.race.claimed(jobs)
	w.held = append(w.held, jobs...)
	return err
}
