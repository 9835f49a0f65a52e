package sqlstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

const extendClaimSQL = `UPDATE jobs SET status = 'claimed', timeout_at = $2 WHERE id = $1`

// ExtendClaims implements storage.Queue.
func (q *Queue) ExtendClaims(ctx context.Context, claims []storage.ClaimRef, until time.Time) (storage.Outcomes, error) {
	if len(claims) == 0 {
		return storage.Outcomes{}, nil
	}
	ids := make([]string, len(claims))
	for i := range claims {
		ids[i] = claims[i].JobID
	}
	var outcomes storage.Outcomes
	err := q.Write(ctx, func(ctx context.Context, tx Tx) error {
		jobs, err := q.lockJobs(ctx, tx, ids)
		if err != nil {
			return err
		}
		limits, err := q.limitsOfRevived(ctx, tx, claims, jobs)
		if err != nil {
			return err
		}
		var batch Batch
		outcomes = make(storage.Outcomes, len(claims))
		for i, claim := range claims {
			job := jobs[claim.JobID]
			if outcomes[i] = judgeExtension(job, claim); outcomes[i] != nil {
				continue
			}
			if job.Status == storage.JobPending {
				if !takePlace(limits[job.Service]) {
					outcomes[i] = storage.ErrClaimLost
					continue
				}
				job.Status = storage.JobClaimed
			}
			batch.Exec(extendClaimSQL, job.ID, micros(until))
		}
		if len(batch.Statements) == 0 {
			return nil
		}
		return tx.Finish(ctx, &batch)
	})
	if err != nil {
		return nil, fmt.Errorf("extend claims: %w", err)
	}
	return outcomes, nil
}

// limitsOfRevived locks the limits of the services whose jobs would be claimed
// anew, which most calls have none of. Jobs are locked before limits here and
// after them in ClaimJobs, which waits for no job.
func (q *Queue) limitsOfRevived(ctx context.Context, tx Tx, claims []storage.ClaimRef, jobs map[string]*lockedJob) (map[string]*limitRow, error) {
	var services []string
	for _, claim := range claims {
		job := jobs[claim.JobID]
		if job != nil && job.Status == storage.JobPending && judgeExtension(job, claim) == nil {
			services = append(services, job.Service)
		}
	}
	slices.Sort(services)
	return readLimits(ctx, tx, slices.Compact(services), q.Dialect().ForUpdate)
}

// takePlace counts one more claim, which is no delivery, if the limit allows
// it; nil is no limit.
func takePlace(limit *limitRow) bool {
	if limit == nil || limit.MaxClaimed == 0 {
		return true
	}
	if limit.claimed >= limit.MaxClaimed {
		return false
	}
	limit.claimed++
	return true
}

func judgeExtension(job *lockedJob, claim storage.ClaimRef) error {
	switch {
	case job == nil:
		return storage.ErrNotFound
	case job.Status == storage.JobWithdrawn:
		return storage.ErrEnded
	case job.Status != storage.JobPending && job.Status != storage.JobClaimed:
		return storage.ErrClaimLost
	case !holdsClaim(job, claim.WorkerID, claim.Token, job.Status == storage.JobClaimed):
		return storage.ErrClaimLost
	}
	return nil
}
