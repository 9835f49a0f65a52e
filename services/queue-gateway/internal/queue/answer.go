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
	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// The error codes of runs that a worker has answered.
const (
	CodeWorkerError = "worker_error" // with an error
	CodeTooLarge    = "too_large"    // with a result that no task can hold
)

// Answer is what a worker says about a job that it executed.
type Answer struct {
	Claim     storage.ClaimRef
	RunID     string // "" when the worker did not say
	Result    json.RawMessage
	Error     string // "" is success
	Retryable *bool  // nil is true
	LogPath   string
}

// Complete accepts answers, with an outcome for each: nil, or
// storage.ErrNotFound, ErrClaimLost or ErrEnded, which tell why the answer has
// no effect; the same answer again is accepted again, without a second effect.
// Nil means that the result is durable, and so is its message to the scheduler.
func (q *Queue) Complete(ctx context.Context, answers []Answer) (storage.Outcomes, error) {
	outcomes := make(storage.Outcomes, len(answers))
	jobs, err := q.jobsOf(ctx, answers)
	if err != nil {
		return nil, err
	}

	now := storage.Now()
	heldUntil := q.holdNew(now)
	var completions []storage.JobCompletion
	var asked []int // the answer that each completion is of
	for i, a := range answers {
		job, known := jobs[a.Claim.JobID]
		if !known {
			outcomes[i] = storage.ErrNotFound
			continue
		}
		if outcomes[i] = sameRun(job, a.RunID); outcomes[i] != nil {
			continue
		}
		payload, err := resultMessage(job, a, now)
		if err != nil {
			return nil, err
		}
		asked = append(asked, i)
		completions = append(completions, storage.JobCompletion{
			JobID: job.ID, WorkerID: a.Claim.WorkerID, Token: a.Claim.Token, Failed: a.Error != "",
			Result: payload, Hash: a.digest(), LogPath: a.LogPath, At: now,
			HeldUntil: heldUntil,
		})
	}
	if len(completions) == 0 {
		return outcomes, nil
	}
	accepted, err := q.store.CompleteJobs(ctx, completions)
	if err != nil {
		return nil, err
	}
	for n, i := range asked {
		outcomes[i] = accepted[n]
		if accepted[n] == nil {
			job := jobs[answers[i].Claim.JobID]
			if job.ResultHash != "" {
				continue // a repeat
			}
			job.ResultHash = completions[n].Hash
			jobs[job.ID] = job
			q.metrics.completed(job, answers[i], now)
			q.traceAnswer(job, answers[i], now)
			q.claimed.forget(job.Token)
			if !heldUntil.IsZero() {
				held := storage.HeldResult{JobID: job.ID, Until: heldUntil}
				q.accepted.Offer(outgoing{held, job.TaskID, completions[n].Result, anAnswer})
			}
		}
	}
	return outcomes, nil
}

// holdNew is until when the results of answers that are accepted now are this
// replica's to deliver: it does so at once. Zero once it has stopped delivering.
func (q *Queue) holdNew(now time.Time) time.Time {
	select {
	case <-q.stopping:
		return time.Time{}
	default:
		return now.Add(deliverHold)
	}
}

// sameRun is the fault of naming a run that is not the job's; "" names none.
func sameRun(job storage.Job, runID string) error {
	if runID == "" || runID == job.RunID {
		return nil
	}
	var faults errs.Faults
	faults.Add("run_id", "is not the run of job %s", job.ID)
	return faults.Err()
}

func resultMessage(job storage.Job, a Answer, now time.Time) (json.RawMessage, error) {
	message := schedulerapi.JobResult{
		TaskID: job.TaskID, RunID: job.RunID, Result: a.Result, Error: a.Error, Retryable: a.Retryable,
		WorkerID: job.WorkerID, LogPath: a.LogPath, FinishedAt: now.UnixMilli(),
	}
	switch {
	case a.Error != "":
		// The task would not look at the result, and one that is too deep would
		// have the message refused.
		message.Result, message.ErrorCode = nil, CodeWorkerError
	case rawjson.TooDeep(a.Result):
		// No task can hold it, and neither could the message that brings it.
		final := false
		message.Result, message.Retryable = nil, &final
		message.ErrorCode, message.Error = CodeTooLarge, fmt.Sprintf("the result has more than %d levels", rawjson.MaxDepth)
	}
	data, err := rawjson.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("encode result: %w", err)
	}
	return data, nil
}

// digest is the same for answers that say the same, whatever the white space
// of their results; none is null.
func (a Answer) digest() string {
	var result bytes.Buffer
	switch {
	case len(a.Result) == 0:
		result.WriteString("null")
	case json.Compact(&result, a.Result) != nil:
		result.Write(a.Result)
	}
	retryable := a.Retryable == nil || *a.Retryable
	hash := sha256.New()
	fmt.Fprintf(hash, "%q %t %s", a.Error, retryable, result.Bytes())
	return hex.EncodeToString(hash.Sum(nil))
}

// Extend keeps claims for the given time from now; 0 takes the default.
// Outcomes as of Complete: one that is not nil says that the work is not wanted
// of this worker any more.
func (q *Queue) Extend(ctx context.Context, claims []storage.ClaimRef, visibility time.Duration) (storage.Outcomes, error) {
	if visibility == 0 {
		visibility = q.cfg.Visibility
	}
	return q.store.ExtendClaims(ctx, claims, storage.Now().Add(visibility))
}

// Put stores jobs; a job id that exists is left as it is.
func (q *Queue) Put(ctx context.Context, jobs []storage.Job) error {
	now := storage.Now()
	for i := range jobs {
		jobs[i].CreatedAt = now
		if jobs[i].AvailableAt.IsZero() {
			jobs[i].AvailableAt = now
		}
	}
	return q.store.PutJobs(ctx, jobs)
}

// Withdraw takes jobs back, those that are still to come included. Jobs that
// were answered before are no error: there is nothing left to take back.
func (q *Queue) Withdraw(ctx context.Context, ids []string) error {
	_, err := q.store.WithdrawJobs(ctx, ids, storage.Now())
	return err
}
