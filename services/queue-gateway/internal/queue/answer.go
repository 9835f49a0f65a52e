package queue

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// CodeWorkerError is the error code of a run that its worker answered with an
// error.
const CodeWorkerError = "worker_error"

// Answer is what a worker says about a job that it executed.
type Answer struct {
	Claim     storage.ClaimRef
	RunID     string // "" when the worker did not say
	Result    json.RawMessage
	Error     string // "" is success
	Retryable *bool  // nil is true
	LogPath   string
}

// Complete accepts an answer. storage.ErrNotFound, ErrClaimLost and ErrEnded
// tell why it has no effect; the same answer again is accepted again, without
// a second effect.
func (q *Queue) Complete(ctx context.Context, a Answer) error {
	job, err := q.store.GetJob(ctx, a.Claim.JobID)
	if err != nil {
		return err
	}
	if a.RunID != "" && a.RunID != job.RunID {
		var faults errs.Faults
		faults.Add("run_id", "is not the run of job %s", job.ID)
		return faults.Err()
	}
	now := storage.Now()
	payload, err := resultMessage(job, a, now)
	if err != nil {
		return err
	}
	outcomes, err := q.store.CompleteJobs(ctx, []storage.JobCompletion{{
		JobID: job.ID, WorkerID: a.Claim.WorkerID, Token: a.Claim.Token, Failed: a.Error != "",
		Result: payload, Hash: a.digest(), LogPath: a.LogPath, At: now,
	}})
	if err != nil {
		return err
	}
	if outcomes[0] != nil {
		return outcomes[0]
	}
	kick(q.answered)
	return nil
}

func resultMessage(job storage.Job, a Answer, now time.Time) (json.RawMessage, error) {
	message := schedulerapi.JobResult{
		TaskID: job.TaskID, RunID: job.RunID, Result: a.Result, Error: a.Error, Retryable: a.Retryable,
		WorkerID: job.WorkerID, LogPath: a.LogPath, FinishedAt: now.UnixMilli(),
	}
	if a.Error != "" {
		message.ErrorCode = CodeWorkerError
	}
	data, err := json.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("encode result: %w", err)
	}
	return data, nil
}

// digest is the same for answers that say the same, whatever the white space
// of their results.
func (a Answer) digest() string {
	var result bytes.Buffer
	if json.Compact(&result, a.Result) != nil {
		result.Write(a.Result)
	}
	retryable := a.Retryable == nil || *a.Retryable
	hash := sha256.New()
	fmt.Fprintf(hash, "%q %t %s", a.Error, retryable, result.Bytes())
	return hex.EncodeToString(hash.Sum(nil))
}

// Extend keeps a claim for the given time from now; 0 takes the default.
// Errors as of Complete.
func (q *Queue) Extend(ctx context.Context, claim storage.ClaimRef, visibility time.Duration) error {
	if visibility == 0 {
		visibility = q.cfg.Visibility
	}
	outcomes, err := q.store.ExtendClaims(ctx, []storage.ClaimRef{claim}, storage.Now().Add(visibility))
	if err != nil {
		return err
	}
	return outcomes[0]
}

// Put stores jobs; a job id that exists is left as it is.
func (q *Queue) Put(ctx context.Context, jobs []storage.Job) error {
	now := storage.Now()
	delayed := false
	for i := range jobs {
		jobs[i].CreatedAt = now
		if jobs[i].AvailableAt.IsZero() {
			jobs[i].AvailableAt = now
		}
		delayed = delayed || jobs[i].AvailableAt.After(now)
	}
	if err := q.store.PutJobs(ctx, jobs); err != nil {
		return err
	}
	if delayed {
		kick(q.changed)
	}
	return nil
}

// Withdraw takes jobs back, those that are still to come included. Jobs that
// were answered before are no error: there is nothing left to take back.
func (q *Queue) Withdraw(ctx context.Context, ids []string) error {
	_, err := q.store.WithdrawJobs(ctx, ids, storage.Now())
	return err
}

// Stats counts each service's jobs as of the returned time.
func (q *Queue) Stats(ctx context.Context) ([]storage.ServiceStats, time.Time, error) {
	now := storage.Now()
	stats, err := q.store.Stats(ctx, now)
	return stats, now, err
}
