package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

const (
	expiredJobsSQL = selectJobSQL + `
WHERE status = 'claimed' AND timeout_at <= $1
ORDER BY timeout_at, id LIMIT $2 + 0`

	// The claim stays on record and available_at as it was: the job goes back
	// to its place in line.
	releaseJobSQL = `UPDATE jobs SET status = 'pending' WHERE id = $1`

	undeliverJobSQL = `UPDATE jobs SET status = 'pending', deliveries = deliveries - 1 WHERE id = $1`

	buryJobSQL = `UPDATE jobs SET status = 'dead', finished_at = $2 WHERE id = $1`
)

// ReleaseClaims implements storage.Queue.
func (q *Queue) ReleaseClaims(ctx context.Context, claims []storage.ClaimRef) error {
	if len(claims) == 0 {
		return nil
	}
	ids := make([]string, len(claims))
	for i := range claims {
		ids[i] = claims[i].JobID
	}
	err := q.Write(ctx, func(ctx context.Context, tx Tx) error {
		return q.changeIn(ctx, tx, ids, func(batch *Batch, jobs map[string]*lockedJob) {
			hints := newJobHints(tx)
			for _, claim := range claims {
				job := jobs[claim.JobID]
				if job != nil && job.Status == storage.JobClaimed && job.Token == claim.Token {
					job.Status = storage.JobPending
					batch.Exec(undeliverJobSQL, job.ID)
					hints.ready(job.Service)
				}
			}
		})
	})
	if err != nil {
		return fmt.Errorf("release claims: %w", err)
	}
	return nil
}

// ExpireClaims implements storage.Queue.
func (q *Queue) ExpireClaims(ctx context.Context, now time.Time, maxDeliveries, limit int, dead func(storage.Job) json.RawMessage) ([]storage.Job, error) {
	var jobs []storage.Job
	err := q.Write(ctx, func(ctx context.Context, tx Tx) error {
		var err error
		jobs, err = queryAll(ctx, tx, scanJob, expiredJobsSQL+q.Dialect().SkipLocked, micros(now), limit)
		if err != nil || len(jobs) == 0 {
			return err
		}
		var batch Batch
		for i := range jobs {
			job := &jobs[i]
			if job.Deliveries < maxDeliveries {
				job.Status = storage.JobPending
				batch.Exec(releaseJobSQL, job.ID)
				continue
			}
			job.Status, job.FinishedAt = storage.JobDead, now
			batch.Exec(buryJobSQL, job.ID, micros(now))
			batch.Exec(addResultSQL, job.ID, job.TaskID, job.RunID, text(dead(*job)), micros(now))
		}
		if err := tx.Run(ctx, &batch); err != nil {
			return err
		}
		hints := newJobHints(tx)
		for _, job := range jobs {
			hints.ready(job.Service) // a job that died leaves its place to another
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("expire claims: %w", err)
	}
	return jobs, nil
}
