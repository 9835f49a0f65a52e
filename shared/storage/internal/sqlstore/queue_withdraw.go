package sqlstore

import (
	"context"
	"fmt"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

const (
	// What PutJobs finds when it comes after the withdrawal.
	forestallJobSQL = `
INSERT INTO jobs (id, task_id, run_id, node_key, path, visit, attempt, service, input, priority,
    status, deliveries, available_at, worker_id, token, created_at, finished_at, result_hash, log_path)
VALUES ($1, '', '', '', '', 0, 0, '', '{}', 0, 'withdrawn', 0, $2, '', '', $2, $2, '', '')
ON CONFLICT DO NOTHING`

	withdrawJobSQL = `UPDATE jobs SET input = '{}', status = 'withdrawn', finished_at = $2 WHERE id = $1`
)

// WithdrawJobs implements storage.Queue. It makes the unknown ones first, so
// that all are there to be locked, and a PutJobs at the same time is either
// before it or too late.
func (q *Queue) WithdrawJobs(ctx context.Context, ids []string, at time.Time) (storage.Outcomes, error) {
	if len(ids) == 0 {
		return storage.Outcomes{}, nil
	}
	outcomes, err := sift(ids, refuseNewID, func(ids []string) ([]error, error) {
		return q.withdrawJobs(ctx, ids, at)
	})
	if err != nil {
		return nil, fmt.Errorf("withdraw jobs: %w", err)
	}
	return outcomes, nil
}

// refuseNewID refuses the id of a row that would be made.
func refuseNewID(id *string) (error, bool) {
	if storable(*id) {
		return nil, false
	}
	return storage.ErrInvalidText, true
}

func (q *Queue) withdrawJobs(ctx context.Context, ids []string, at time.Time) ([]error, error) {
	outcomes := make([]error, len(ids))
	var forestall Batch
	for _, i := range keyOrder(len(ids), func(i int) string { return ids[i] }) {
		forestall.Exec(forestallJobSQL, ids[i], micros(at))
	}
	err := q.Write(ctx, func(ctx context.Context, tx Tx) error {
		if err := tx.Run(ctx, &forestall); err != nil {
			return err
		}
		return q.changeIn(ctx, tx, ids, func(batch *Batch, jobs map[string]*lockedJob) {
			hints := newJobHints(tx)
			for i, id := range ids {
				job := jobs[id]
				switch job.Status {
				case storage.JobPending, storage.JobClaimed:
					outcomes[i] = nil
					hintRoom(hints, job)
					job.Status = storage.JobWithdrawn
					batch.Exec(withdrawJobSQL, id, micros(at))
				case storage.JobWithdrawn:
					outcomes[i] = nil
				case storage.JobCompleted, storage.JobFailed, storage.JobDead:
					outcomes[i] = storage.ErrEnded
				}
			}
		})
	})
	return outcomes, err
}
