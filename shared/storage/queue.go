package storage

import (
	"context"
	"encoding/json"
	"time"
)

// JobStatus is where a job stands.
type JobStatus string

const (
	JobPending   JobStatus = "pending" // ready, or delayed until AvailableAt
	JobClaimed   JobStatus = "claimed"
	JobCompleted JobStatus = "completed"
	JobFailed    JobStatus = "failed"    // completed with an error
	JobDead      JobStatus = "dead"      // delivered too often without an answer
	JobWithdrawn JobStatus = "withdrawn" // taken back by the scheduler
)

// JobStatuses lists every job status.
var JobStatuses = []JobStatus{JobPending, JobClaimed, JobCompleted, JobFailed, JobDead, JobWithdrawn}

// Job is one execution offered to pull workers.
type Job struct {
	ID       string
	TaskID   string
	RunID    string
	NodeKey  string
	Path     string
	Visit    int
	Attempt  int // the node's attempt, from 1
	Service  string
	Input    json.RawMessage // the object {"input","params","run_id"} that the worker gets
	Priority int             // higher first

	Status      JobStatus
	Deliveries  int // times claimed
	AvailableAt time.Time
	WorkerID    string // the claimant, while claimed
	Token       string // of the current claim
	TimeoutAt   time.Time
	CreatedAt   time.Time
	StartedAt   time.Time // of the current claim
	FinishedAt  time.Time

	// ResultHash is the digest of the accepted completion, by which a repeat
	// is told from a contradiction.
	ResultHash string
}

// ClaimJobs are how jobs are claimed.
type ClaimJobs struct {
	WorkerID     string
	Services     []string // at least one
	Max          int      // at least 1
	Now          time.Time
	VisibleUntil time.Time
	// NewToken makes the token of one claim; called at most Max times.
	NewToken func() string
}

// JobCompletion is a worker's answer.
type JobCompletion struct {
	JobID    string
	WorkerID string // "" when the worker did not say
	Token    string // "" when the worker did not say
	Failed   bool
	Result   json.RawMessage // the body of the result message to the scheduler; never nil
	Hash     string          // digest of the answer
	LogPath  string
	At       time.Time
}

// ClaimRef names a claim that a worker believes to hold.
type ClaimRef struct {
	JobID    string
	WorkerID string // "" when the worker did not say
	Token    string // "" when the worker did not say
}

// JobResult is an outgoing result message, kept until the scheduler has it.
type JobResult struct {
	JobID    string
	TaskID   string
	RunID    string
	Payload  json.RawMessage
	NextAt   time.Time
	Attempts int
}

// ServiceStats counts the jobs of one service.
type ServiceStats struct {
	Service       string
	Ready         int // pending and available
	Delayed       int // pending, available later
	Claimed       int
	Dead          int
	OldestReadyAt time.Time // zero when none is ready
}

// JobHint tells that a service has a job that became ready.
type JobHint struct {
	Service string
}

// Queue is the queue-gateway's role.
type Queue interface {
	Base

	// PutJobs stores jobs. A job id that exists, in whatever status, is left
	// as it is and is no error: that makes a repeat harmless.
	PutJobs(ctx context.Context, jobs []Job) error

	// GetJob returns a job by id, or ErrNotFound.
	GetJob(ctx context.Context, id string) (Job, error)

	// ClaimJobs claims ready jobs of the given services: higher priority
	// first, then oldest AvailableAt, and no service of the list starves
	// another at equal priority. Each gets a token, Deliveries+1 and
	// VisibleUntil as its time-out. Two claimers never get one job.
	ClaimJobs(ctx context.Context, claim ClaimJobs) ([]Job, error)

	// CompleteJobs accepts answers and writes the result message of each in
	// the same transaction. A token, when given, must be the current claim's;
	// a worker id, when given without a token, must be the claimant's; with
	// neither the claim must not have expired. A claim whose time-out has
	// passed but which nobody has taken since is accepted by token or
	// claimant. Outcomes: nil; nil again for a completion with the hash of the
	// accepted one (no second message); ErrNotFound; ErrClaimLost; ErrEnded
	// for a withdrawn job.
	CompleteJobs(ctx context.Context, completions []JobCompletion) (Outcomes, error)

	// ExtendClaims moves the time-out of claims. Outcomes: nil, ErrNotFound,
	// ErrClaimLost, or ErrEnded (withdrawn: stop working on it).
	ExtendClaims(ctx context.Context, claims []ClaimRef, until time.Time) (Outcomes, error)

	// WithdrawJobs takes jobs back: pending and claimed ones become withdrawn.
	// Outcomes: nil (also when it was withdrawn before), ErrNotFound, or
	// ErrEnded when it was answered or dead before.
	WithdrawJobs(ctx context.Context, ids []string, at time.Time) (Outcomes, error)

	// ExpireClaims makes up to limit claimed jobs whose time-out has passed
	// pending again; those delivered maxDeliveries times or more become dead,
	// with the result message that dead makes of them. Returns the jobs as
	// they are after it.
	ExpireClaims(ctx context.Context, now time.Time, maxDeliveries, limit int, dead func(Job) json.RawMessage) ([]Job, error)

	// NextChange is the earliest time at which a delayed job becomes ready or
	// a claim times out; zero when there is none.
	NextChange(ctx context.Context, now time.Time) (time.Time, error)

	// ClaimResults returns up to limit result messages whose NextAt has come,
	// after moving their NextAt to until and counting the attempt.
	ClaimResults(ctx context.Context, now, until time.Time, limit int) ([]JobResult, error)

	// AckResults deletes delivered result messages; unknown ids are fine.
	AckResults(ctx context.Context, jobIDs []string) error

	// Stats counts the unfinished and dead jobs of each service, ordered by
	// service.
	Stats(ctx context.Context, now time.Time) ([]ServiceStats, error)

	// Subscribe calls hint when a service gets ready jobs, from any process on
	// the database, until the context ends; the rules of Tasks.Subscribe hold.
	Subscribe(ctx context.Context, hint func(JobHint)) error
}
