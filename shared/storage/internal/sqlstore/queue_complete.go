package sqlstore

import (
	"context"
	"fmt"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

const (
	// Nobody reads the input of a job that has ended well.
	completeJobSQL = `UPDATE jobs SET input = '{}', status = $2, finished_at = $3, result_hash = $4, log_path = $5 WHERE id = $1`

	addResultSQL = `
INSERT INTO job_results (job_id, task_id, run_id, payload, next_at, attempts)
VALUES ($1, $2, $3, $4, $5, 0)`
)

// CompleteJobs implements storage.Queue.
func (q *Queue) CompleteJobs(ctx context.Context, completions []storage.JobCompletion) (storage.Outcomes, error) {
	outcomes, err := q.completes.Do(ctx, completions)
	if err != nil {
		return nil, fmt.Errorf("complete jobs: %w", err)
	}
	return outcomes, nil
}

func (q *Queue) completeJobs(ctx context.Context, completions []storage.JobCompletion) ([]error, error) {
	outcomes := make([]error, len(completions))
	ids := make([]string, len(completions))
	for i := range completions {
		ids[i] = completions[i].JobID
	}
	err := q.TryWrite(ctx, func(ctx context.Context, tx Tx) error {
		return q.changeIn(ctx, tx, ids, func(batch *Batch, jobs map[string]*lockedJob) {
			hints := newJobHints(tx)
			for i, done := range completions {
				job := jobs[done.JobID]
				if outcomes[i] = judgeCompletion(job, done); outcomes[i] != nil || finished(job.Status) {
					continue
				}
				hintRoom(hints, job)
				job.Status = storage.JobCompleted
				if done.Failed {
					job.Status = storage.JobFailed
				}
				job.ResultHash = done.Hash
				batch.Exec(completeJobSQL, job.ID, string(job.Status), micros(done.At), done.Hash, clean(done.LogPath))
				due := done.At
				if !done.HeldUntil.IsZero() {
					due = done.HeldUntil
				}
				batch.Exec(addResultSQL, job.ID, job.TaskID, job.RunID, text(done.Result), micros(due))
			}
		})
	})
	return outcomes, err
}

// judgeCompletion is the outcome of an answer: nil when it is to be accepted,
// or was.
func judgeCompletion(job *lockedJob, done storage.JobCompletion) error {
	switch {
	case job == nil:
		return storage.ErrNotFound
	case !storable(done.Hash) || !storableJSON(done.Result):
		return storage.ErrInvalidText
	case job.Status == storage.JobWithdrawn:
		return storage.ErrEnded
	case finished(job.Status):
		// A repeat is the claimant's own: another's answer that says the same
		// was not accepted, and must not read as if it had been.
		if job.ResultHash == done.Hash && holdsClaim(job, done.WorkerID, done.Token, true) {
			return nil
		}
		return storage.ErrClaimLost
	case job.Status == storage.JobDead:
		return storage.ErrClaimLost
	}
	unnamed := job.Status == storage.JobClaimed && done.At.Before(job.TimeoutAt)
	if !holdsClaim(job, done.WorkerID, done.Token, unnamed) {
		return storage.ErrClaimLost
	}
	return nil
}

// holdsClaim tells whether the latest claim is the caller's: by token, else by
// worker id, else as the case of a caller who gives neither stands.
func holdsClaim(job *lockedJob, workerID, token string, unnamed bool) bool {
	switch {
	case token != "":
		return token == job.Token
	case workerID != "":
		return clean(workerID) == job.WorkerID // as it was stored
	default:
		return unnamed
	}
}

// finished tells whether a worker's answer was accepted.
func finished(status storage.JobStatus) bool {
	return status == storage.JobCompleted || status == storage.JobFailed
}

// change is changeIn in a transaction of its own.
func (q *Queue) change(ctx context.Context, ids []string, decide func(batch *Batch, jobs map[string]*lockedJob)) error {
	return q.Write(ctx, func(ctx context.Context, tx Tx) error { return q.changeIn(ctx, tx, ids, decide) })
}

// changeIn locks the jobs of a batch, writes what decide makes of them, and ends
// the transaction. decide keeps the jobs up to date as it goes, so that the
// second of two items for one job sees what the first did to it.
func (q *Queue) changeIn(ctx context.Context, tx Tx, ids []string, decide func(batch *Batch, jobs map[string]*lockedJob)) error {
	jobs, err := q.lockJobs(ctx, tx, ids)
	if err != nil {
		return err
	}
	var batch Batch
	decide(&batch, jobs)
	if len(batch.Statements) == 0 {
		return nil
	}
	return tx.Finish(ctx, &batch)
}
