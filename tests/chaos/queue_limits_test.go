//go:build unix

package chaos

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/pause"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

const (
	limitedPollers = 50
	limited        = "limited" // the service of the jobs
	// limitedClaim is how long a job stays lost whose answer died with the
	// queue-gateway.
	limitedClaim = 2 * time.Second

	mostClaimed      = 7
	claimedJobs      = 400
	shortClaimedJobs = 120
	claimedWork      = 20 * time.Millisecond

	ratePerSecond = 40
	rateBurst     = 10
	ratedJobs     = 120
	shortRated    = 50
)

func TestQueueLimits_AreHeldAgainstManyPollersAndAKill(t *testing.T) {
	t.Parallel()
	for _, d := range drivers {
		t.Run(string(d), func(t *testing.T) {
			claimed, rated := claimedJobs, ratedJobs
			if testing.Short() {
				claimed, rated = shortClaimedJobs, shortRated
			}
			t.Run("MaxClaimed", func(t *testing.T) {
				l := newLimiting(t, d, queueapi.ServiceLimits{Service: limited, MaxClaimed: mostClaimed})
				l.work(t, claimed, claimedWork)
				l.verifyClaimed(t)
			})
			t.Run("Rate", func(t *testing.T) {
				l := newLimiting(t, d, queueapi.ServiceLimits{Service: limited, RatePerSecond: ratePerSecond, Burst: rateBurst})
				l.work(t, rated, 0)
				l.verifyRate(t)
			})
		})
	}
}

// limiting is a queue-gateway with a limited service, and all claims of its
// jobs.
type limiting struct {
	queue  *suitetest.Server
	client *queueapi.Client

	mu      sync.Mutex
	claims  []held
	pending map[string]bool // jobs without an accepted answer
}

// held is a claim: when the queue-gateway says that it gave it, and from when its
// holder had it until that began to answer or it had run out. What the
// queue-gateway says may be some time before it was the job's turn.
type held struct{ given, from, until time.Time }

func newLimiting(t *testing.T, d driver, limits queueapi.ServiceLimits) *limiting {
	t.Helper()
	l := &limiting{pending: map[string]bool{}}
	l.queue = suitetest.Serve(t, suitetest.Addr(t), suitetest.Command{
		Program: suitetest.Queue, Args: []string{"--db=" + d.fresh(t, "queue"), "--scheduler-url=" + newResults(t).url},
	})
	l.client = connectQueue(t, l.queue.URL)
	require.NoError(t, l.client.SetLimits(t.Context(), limits))
	return l
}

// work lets pollers do jobs, which take some time each, and kills the
// queue-gateway when a third of them is done.
func (l *limiting) work(t *testing.T, size int, takes time.Duration) {
	t.Helper()
	jobs := make([]queueapi.NewJob, 0, size)
	for i := range size {
		jobs = append(jobs, newJob(limited, i))
		l.pending[jobs[i].ID] = true
	}
	require.NoError(t, l.client.PutJobs(t.Context(), jobs))
	group, ctx := errgroup.WithContext(t.Context())
	ctx, stop := context.WithTimeout(ctx, batchTimeout)
	defer stop()
	for i := range limitedPollers {
		group.Go(func() error { return l.poll(ctx, "poller-"+strconv.Itoa(i), takes) })
	}
	suitetest.Await(t, batchTimeout, func() error { return l.done(size / 3) })
	l.queue.Kill(t)
	l.queue.Restart(t)
	suitetest.Await(t, batchTimeout, func() error { return l.done(size) })
	stop()
	require.NoError(t, group.Wait())
}

// done is nil when so many of the jobs put have been answered.
func (l *limiting) done(want int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var done int
	for _, pending := range l.pending {
		if !pending {
			done++
		}
	}
	if done < want {
		return fmt.Errorf("%d jobs are done, not yet %d", done, want)
	}
	return nil
}

// poll does jobs until ctx ends.
func (l *limiting) poll(ctx context.Context, id string, takes time.Duration) error {
	for ctx.Err() == nil {
		var jobs []queueapi.Job
		err := insist(ctx, func() (err error) {
			jobs, err = l.client.Poll(ctx, queueapi.PollParams{
				WorkerID: id, Services: []string{limited}, Wait: pollWait, Visibility: limitedClaim,
			})
			return err
		})
		if err := unlessOver(ctx, err); err != nil {
			return fmt.Errorf("poll: %w", err)
		}
		for _, job := range jobs {
			received := time.Now()
			pause.For(ctx, takes)
			if err := l.answer(ctx, job, received); err != nil {
				return fmt.Errorf("complete %s: %w", job.ID, err)
			}
		}
	}
	return nil
}

func (l *limiting) answer(ctx context.Context, job queueapi.Job, received time.Time) error {
	claim := held{given: time.UnixMilli(job.StartedAt), from: received, until: time.Now()}
	if end := time.UnixMilli(job.TimeoutAt); end.Before(claim.until) {
		claim.until = end
	}
	l.mu.Lock()
	l.claims = append(l.claims, claim)
	l.mu.Unlock()
	err := insist(ctx, func() error {
		return l.client.Complete(ctx, queueapi.CompleteRequest{QueueID: job.ID, Token: job.Token, Result: []byte("1")})
	})
	// The claim may have run out while the queue-gateway was away.
	if err != nil && errs.CodeOf(err) != errs.ClaimLost {
		return err
	}
	if err == nil {
		l.mu.Lock()
		l.pending[job.ID] = false
		l.mu.Unlock()
	}
	return nil
}

func (l *limiting) verifyClaimed(t *testing.T) {
	t.Helper()
	type step struct {
		at     time.Time
		change int
	}
	var steps []step
	for _, c := range l.claims {
		if c.from.Before(c.until) {
			steps = append(steps, step{c.from, 1}, step{c.until, -1})
		}
	}
	slices.SortFunc(steps, func(a, b step) int { return a.at.Compare(b.at) })
	var now, most int
	for _, s := range steps {
		now += s.change
		most = max(most, now)
	}
	t.Logf("%d claims, at most %d at once", len(l.claims), most)
	require.LessOrEqual(t, most, mostClaimed)
	require.Greater(t, most, mostClaimed/2, "the limit is used")
}

func (l *limiting) verifyRate(t *testing.T) {
	t.Helper()
	slices.SortFunc(l.claims, func(a, b held) int { return a.given.Compare(b.given) })
	for i := range l.claims {
		for k := i; k < len(l.claims); k++ {
			// Both times are cut to milliseconds.
			within := l.claims[k].given.Sub(l.claims[i].given) + time.Millisecond
			allowed := rateBurst + ratePerSecond*within.Seconds()
			require.LessOrEqual(t, float64(k-i+1), allowed+1e-6, "deliveries within %v", within)
		}
	}
	took := l.claims[len(l.claims)-1].given.Sub(l.claims[0].given)
	t.Logf("%d deliveries in %v, allowed were %d and %d a second", len(l.claims), took.Round(time.Millisecond), rateBurst, ratePerSecond)
}
