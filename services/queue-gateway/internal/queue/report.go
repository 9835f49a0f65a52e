package queue

import (
	"cmp"
	"context"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/parcel"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Report is what a worker tells of a run while it carries it out.
type Report struct {
	Claim  storage.ClaimRef // JobID "": the job of the run
	RunID  string           // "": the run of the job
	Status schedulerapi.ProgressStatus
	Log    string
	LogID  string // "" when the worker gave none
}

// Report passes on what the holder of a claim tells, and returns nil once the
// scheduler has it. Nothing of it is kept here: while the scheduler is away the
// error is errs.Unavailable, and the worker keeps it. Errors besides: as the
// outcomes of Complete; the claim is told as there.
func (q *Queue) Report(ctx context.Context, r Report) error {
	id := cmp.Or(r.Claim.JobID, queueapi.JobID(r.RunID))
	jobs, err := q.store.GetJobs(ctx, []string{id})
	if err != nil {
		return err
	}
	job, known := jobs[id]
	if !known {
		return storage.ErrNotFound
	}
	if err := holds(job, r.Claim, storage.Now()); err != nil {
		return err
	}
	if err := sameRun(job, r.RunID); err != nil {
		return err
	}
	progress := schedulerapi.RunProgress{
		TaskID: job.TaskID, RunID: job.RunID, RunNo: job.RunNo, Status: r.Status, WorkerID: job.WorkerID, Log: r.Log,
	}
	if r.LogID != "" {
		// Two workers that have the job one after the other may count alike.
		progress.LogID = job.Token + "/" + r.LogID
	}
	call, cancel := context.WithTimeout(ctx, parcel.CallTime(len(r.Log)))
	defer cancel()
	err = q.scheduler.ReportProgress(call, []schedulerapi.RunProgress{progress})
	if err == nil || ctx.Err() != nil || parcel.Refused(err) {
		return err
	}
	return errs.Wrap(err, errs.Unavailable, "the scheduler cannot be reached now; try again")
}

// holds tells whether the job's claim is the caller's. A report is no answer and
// extends nothing, so it is enough to look: if the claim is lost meanwhile, the
// report came before that.
func holds(job storage.Job, claim storage.ClaimRef, now time.Time) error {
	switch job.Status {
	case storage.JobWithdrawn:
		return storage.ErrEnded
	case storage.JobCompleted, storage.JobFailed, storage.JobDead:
		return storage.ErrClaimLost
	case storage.JobPending, storage.JobClaimed:
	}
	var held bool
	switch {
	case claim.Token != "":
		held = claim.Token == job.Token
	case claim.WorkerID != "":
		held = claim.WorkerID == job.WorkerID
	default:
		held = job.Status == storage.JobClaimed && now.Before(job.TimeoutAt)
	}
	if !held {
		return storage.ErrClaimLost
	}
	return nil
}
