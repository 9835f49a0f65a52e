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

// PollParams are how a worker asks for jobs.
type PollParams struct {
	WorkerID   string
	Services   []string // at least one, no duplicates
	Max        int
	Wait       time.Duration
	Visibility time.Duration // 0: the default
}

// Poll claims up to Max jobs, waiting up to Wait for the first. No jobs and no
// error: none came, or the service is stopping.
func (q *Queue) Poll(ctx context.Context, p PollParams) ([]storage.Job, error) {
	if p.Visibility == 0 {
		p.Visibility = q.cfg.Visibility
	}
	timeout := time.NewTimer(p.Wait)
	defer timeout.Stop()
	for {
		jobs, woken, err := q.try(ctx, p)
		if err != nil || len(jobs) > 0 {
			return jobs, err
		}
		select {
		case <-woken.woken:
			continue
		case <-timeout.C:
		case <-q.stopping:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		q.quit(woken)
		return nil, err
	}
}

// try claims once; without success it leaves the caller waiting.
func (q *Queue) try(ctx context.Context, p PollParams) ([]storage.Job, *waiter, error) {
	w := q.bell.enter(p.Services)
	jobs, err := q.claim(ctx, p)
	if err == nil && len(jobs) == 0 {
		return nil, w, nil
	}
	q.quit(w)
	if len(jobs) == p.Max {
		q.bell.ring(p.Services...) // there may be more
	}
	return jobs, nil, err
}

// quit ends a poll's waiting. A wake that it will not use is another's.
func (q *Queue) quit(w *waiter) {
	q.bell.leave(w)
	select {
	case <-w.woken:
		q.bell.ring(w.services...)
	default:
	}
}

// claim takes jobs for a caller that is there. A caller that hangs up while
// the database writes must not keep them: the claim is finished, to know what
// it took, and given back.
func (q *Queue) claim(ctx context.Context, p PollParams) ([]storage.Job, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	writing, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimTime)
	defer cancel()
	now := storage.Now()
	jobs, err := q.store.ClaimJobs(writing, storage.ClaimJobs{
		WorkerID: p.WorkerID, Services: p.Services, Max: p.Max, Now: now,
		VisibleUntil: now.Add(p.Visibility), NewToken: rand.Text,
	})
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		q.GiveBack(ctx, jobs)
		return nil, context.Cause(ctx)
	}
	return jobs, nil
}

// GiveBack ends the claims on jobs whose caller has gone, so that others get
// them at once. It counts as a delivery. If it fails, the claims time out.
func (q *Queue) GiveBack(ctx context.Context, jobs []storage.Job) {
	if len(jobs) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimTime)
	defer cancel()
	refs := make([]storage.ClaimRef, len(jobs))
	for i, job := range jobs {
		refs[i] = storage.ClaimRef{JobID: job.ID, WorkerID: job.WorkerID, Token: job.Token}
	}
	if _, err := q.store.ExtendClaims(ctx, refs, storage.Now()); err != nil {
		q.log.Warn("jobs_not_given_back", zap.Int("jobs", len(jobs)), zap.Error(err))
		return
	}
	kick(q.changed)
}
