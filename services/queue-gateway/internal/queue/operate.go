package queue

import (
	"context"
	"errors"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Stats counts each service's jobs as of the returned time.
func (q *Queue) Stats(ctx context.Context) ([]storage.ServiceStats, time.Time, error) {
	now := storage.Now()
	stats, err := q.store.Stats(ctx, now)
	return stats, now, err
}

// ListDead returns a page of the jobs that were delivered too often without an
// answer; a shorter one when their inputs are large.
func (q *Queue) ListDead(ctx context.Context, query storage.DeadQuery) (storage.Page[storage.Job], error) {
	query.MaxBytes = maxInputs
	return q.store.ListDead(ctx, query)
}

// Requeue makes dead jobs ready again, as if they had never been delivered.
// Outcomes: nil, also for a job that is in the queue already, so that a repeat
// is harmless; storage.ErrNotFound; errs.NotDead.
func (q *Queue) Requeue(ctx context.Context, ids []string) (storage.Outcomes, error) {
	outcomes, err := q.store.RequeueJobs(ctx, ids, storage.Now())
	for i, id := range ids[:len(outcomes)] {
		switch {
		case errors.Is(outcomes[i], storage.ErrConflict):
			outcomes[i] = nil
		case errors.Is(outcomes[i], storage.ErrEnded):
			outcomes[i] = errs.Wrap(outcomes[i], errs.NotDead, "job %q was answered, withdrawn or discarded", id)
		}
	}
	return outcomes, err
}

// Discard ends dead jobs for good. Outcomes: nil, also for a job that was
// discarded before; storage.ErrNotFound; errs.NotDead.
func (q *Queue) Discard(ctx context.Context, ids []string) (storage.Outcomes, error) {
	outcomes, err := q.store.DiscardJobs(ctx, ids, storage.Now())
	for i, id := range ids[:len(outcomes)] {
		switch {
		case errors.Is(outcomes[i], storage.ErrConflict):
			outcomes[i] = errs.Wrap(outcomes[i], errs.NotDead, "job %q waits for a worker or is with one", id)
		case errors.Is(outcomes[i], storage.ErrEnded):
			outcomes[i] = errs.Wrap(outcomes[i], errs.NotDead, "job %q was answered", id)
		}
	}
	return outcomes, err
}

// Limits lists what the operator allows the services that have limits.
func (q *Queue) Limits(ctx context.Context) ([]storage.ServiceLimit, error) {
	return q.store.ListLimits(ctx)
}

// SetLimit replaces what a service is allowed. Polls that wait are woken by it.
func (q *Queue) SetLimit(ctx context.Context, limit storage.ServiceLimit) error {
	limit.UpdatedAt = storage.Now()
	return q.store.SetLimit(ctx, limit)
}
