package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// CodeDeliveryExhausted is the error code of a run whose job was delivered too
// often without an answer.
const CodeDeliveryExhausted = "delivery_exhausted"

// expireBatch bounds one transaction of expiries.
const expireBatch = 500

// watch does what is due by time: it ends claims that timed out, and rings the
// bell when delayed jobs become ready or a rate lets jobs through. It sleeps
// until the next such time, at most for the floor, and then looks for ready jobs
// of every service that is waited for, so one whose hint was lost is found as
// well.
func (q *Queue) watch(ctx context.Context) {
	retry := newBackoff()
	for {
		q.alarm.wait(ctx)
		if ctx.Err() != nil {
			return
		}
		// What is set while the database is asked comes after it.
		q.alarm.set(storage.Now().Add(floor))
		next, err := q.expire(ctx)
		if err == nil {
			err = q.ringReady(ctx)
		}
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			q.log.Warn("watch_failed", zap.Error(err))
			q.alarm.sooner(storage.Now().Add(retry.Next()))
		default:
			retry.Reset()
			if !next.IsZero() {
				q.alarm.sooner(next)
			}
		}
	}
}

// ringReady wakes a poll for each service that has a ready job.
func (q *Queue) ringReady(ctx context.Context) error {
	waited := q.bell.services()
	if len(waited) == 0 {
		return nil
	}
	ready, err := q.store.ReadyServices(ctx, waited, storage.Now())
	for _, service := range ready {
		q.bell.ring(service)
	}
	return err
}

// expire ends the claims that have timed out and returns when something is due
// next; zero when nothing is.
func (q *Queue) expire(ctx context.Context) (time.Time, error) {
	for {
		now := storage.Now()
		next, err := q.store.NextChange(ctx, now)
		if err != nil || next.IsZero() || next.After(now) {
			return next, err
		}
		jobs, err := q.store.ExpireClaims(ctx, now, q.cfg.MaxDeliveries, expireBatch, q.deadResult(now))
		if err != nil {
			return time.Time{}, err
		}
		for _, job := range jobs {
			q.metrics.expired(job)
			q.log.Info("claim_expired", zap.String("job_id", job.ID), zap.String("worker_id", job.WorkerID),
				zap.Int("deliveries", job.Deliveries), zap.String("status", string(job.Status)))
			if job.Status == storage.JobDead {
				kick(q.died)
			}
		}
		if len(jobs) == 0 {
			// Another replica is expiring them.
			return time.Time{}, nil
		}
	}
}

// deadResult makes the message that tells the scheduler of a dead job.
func (q *Queue) deadResult(now time.Time) func(storage.Job) json.RawMessage {
	return func(job storage.Job) json.RawMessage {
		// A struct of strings and numbers always encodes.
		data, _ := json.Marshal(schedulerapi.JobResult{
			TaskID: job.TaskID, RunID: job.RunID, WorkerID: job.WorkerID,
			ErrorCode: CodeDeliveryExhausted, FinishedAt: now.UnixMilli(),
			Error: fmt.Sprintf("delivered %d times without an answer", job.Deliveries),
		})
		return data
	}
}
