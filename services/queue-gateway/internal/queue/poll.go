package queue

import (
	"context"
	"crypto/rand"
	"time"

	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// claimTime bounds a claim, which goes on when its caller hangs up.
const claimTime = 10 * time.Second

// maxInputs bounds the inputs, in bytes, of the jobs that are in memory for one
// caller: the answer must stay within what a client reads also when they are
// escaped in it. A single job may be larger.
const maxInputs = 8 << 20

// PollParams are how a worker asks for jobs.
type PollParams struct {
	WorkerID   string
	Services   []string // at least one, no duplicates
	Max        int
	Wait       time.Duration
	Visibility time.Duration // 0: the default
}

// Poll claims up to Max jobs, fewer when their inputs are large, waiting up to Wait for the first. No jobs and no
// error: none came, or the service is stopping.
func (q *Queue) Poll(ctx context.Context, p PollParams) ([]storage.Job, error) {
	began := time.Now()
	q.metrics.waiting.Inc()
	jobs, err := q.wait(ctx, p)
	q.metrics.polled(ctx, began, jobs, err)
	return jobs, err
}

func (q *Queue) wait(ctx context.Context, p PollParams) ([]storage.Job, error) {
	if p.Visibility == 0 {
		p.Visibility = q.cfg.Visibility
	}
	timeout := time.NewTimer(p.Wait)
	defer timeout.Stop()
	var woken *waiter // as which this poll waited last
	for {
		w := q.bell.enter(p.Services)
		jobs, err := q.claim(ctx, p)
		if err != nil || len(jobs) > 0 {
			q.bell.leave(w)
			q.handOn(woken, p, jobs)
			return jobs, err
		}
		select {
		case <-w.woken:
			woken = w
			continue
		case <-timeout.C:
		case <-q.stopping:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		q.bell.leave(w)
		return nil, err
	}
}

// handOn has others woken after a poll that was woken itself: because it could
// not use that, or because it left jobs behind. Of those it left because of
// their size the store tells everybody, as it does of new ones.
func (q *Queue) handOn(woken *waiter, p PollParams, claimed []storage.Job) {
	switch {
	case woken == nil:
	case len(claimed) == 0:
		q.bell.leave(woken)
	case len(claimed) == p.Max:
		q.bell.ringOn(woken)
	}
}

// claim takes jobs for a caller that is there. A caller that hangs up while
// the database writes must not keep them, nor have had a delivery: the claim is
// finished, to know what it took, and released.
func (q *Queue) claim(ctx context.Context, p PollParams) ([]storage.Job, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	writing, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimTime)
	defer cancel()
	now := storage.Now()
	jobs, err := q.store.ClaimJobs(writing, storage.ClaimJobs{
		WorkerID: p.WorkerID, Services: p.Services, Max: p.Max, MaxBytes: maxInputs, Now: now,
		VisibleUntil: now.Add(p.Visibility), NewToken: rand.Text,
		HeldBack: func(_ string, until time.Time) { q.alarm.sooner(until) },
	})
	if err != nil {
		return nil, err
	}
	if ctx.Err() == nil {
		q.claimed.remember(jobs)
		return jobs, nil
	}
	if err := q.store.ReleaseClaims(writing, claimsOf(jobs)); err != nil {
		q.notGivenBack(jobs, err)
	}
	return nil, context.Cause(ctx)
}

// GiveBack ends the claims on jobs whose answer broke off, so that others get
// them at once. They count as delivered: a job whose input no worker survives
// reading would else go round for ever. If it fails, the claims time out.
func (q *Queue) GiveBack(ctx context.Context, jobs []storage.Job) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimTime)
	defer cancel()
	if _, err := q.store.ExtendClaims(ctx, claimsOf(jobs), storage.Now()); err != nil {
		q.notGivenBack(jobs, err)
		return
	}
	q.alarm.sooner(storage.Now())
}

func (q *Queue) notGivenBack(jobs []storage.Job, err error) {
	q.log.Warn("jobs_not_given_back", zap.Int("jobs", len(jobs)), zap.Error(err))
}

func claimsOf(jobs []storage.Job) []storage.ClaimRef {
	claims := make([]storage.ClaimRef, len(jobs))
	for i, job := range jobs {
		claims[i] = storage.ClaimRef{JobID: job.ID, WorkerID: job.WorkerID, Token: job.Token}
	}
	return claims
}
