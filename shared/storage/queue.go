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
	CreatedAt   time.Time
	FinishedAt  time.Time

	// The latest claim: it is known past its expiry, until another takes its
	// place, so that an answer which comes late can be told apart.
	WorkerID  string
	Token     string
	StartedAt time.Time
	TimeoutAt time.Time

	// ResultHash is the digest of the accepted completion, by which a repeat
	// is told from a contradiction; LogPath is what it named.
	ResultHash string
	LogPath    string
}

// ClaimJobs are how jobs are claimed.
type ClaimJobs struct {
	WorkerID     string
	Services     []string // at least one
	Max          int      // at least 1
	Now          time.Time
	VisibleUntil time.Time
	// NewToken makes the token of one claim. It may be called more often than
	// jobs are claimed.
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

	// PutJobs stores new jobs: pending, delivered to nobody; the fields that
	// tell of a claim or an end are not read. A job id that exists, in whatever
	// status, is left as it is and is no error: that makes a repeat harmless.
	PutJobs(ctx context.Context, jobs []Job) error

	// GetJob returns a job by id, or ErrNotFound.
	GetJob(ctx context.Context, id string) (Job, error)

	// ClaimJobs claims ready jobs of the given services: higher priority
	// first; at equal priority the services take turns, and within a service
	// the oldest AvailableAt comes first. Each gets a token, Deliveries+1 and
	// VisibleUntil as its time-out. Two claimers never get one job. The result
	// is in that order; empty, never nil, when nothing is ready.
	ClaimJobs(ctx context.Context, claim ClaimJobs) ([]Job, error)

	// CompleteJobs accepts answers and writes the result message of each in
	// the same transaction. A token, when given, must be the current claim's;
	// a worker id, when given without a token, must be the claimant's; with
	// neither the claim must not have expired. A claim whose time-out has
	// passed but which nobody has taken since is accepted by token or
	// claimant, whether ExpireClaims has seen it or not. Outcomes: nil; nil
	// again for a completion with the hash of the accepted one (no second
	// message); ErrNotFound; ErrClaimLost, also for another answer than the
	// accepted one and for a dead job; ErrEnded for a withdrawn job;
	// ErrInvalidText.
	CompleteJobs(ctx context.Context, completions []JobCompletion) (Outcomes, error)

	// ExtendClaims moves the time-out of claims. The claim is told as in
	// CompleteJobs, except that with neither token nor worker id any claim will
	// do that ExpireClaims has not taken back; one that it has taken back and
	// nobody has taken since is claimed anew, without a delivery. Outcomes:
	// nil, ErrNotFound, ErrClaimLost, or ErrEnded (withdrawn: stop working on
	// it).
	ExtendClaims(ctx context.Context, claims []ClaimRef, until time.Time) (Outcomes, error)

	// WithdrawJobs takes jobs back: pending and claimed ones become withdrawn,
	// and so does an id that is not known yet: it is kept as a withdrawn job
	// with nothing but its id and the time, which PutJobs then leaves as it is,
	// since the two may arrive in any order. Outcomes: nil (also when it was
	// withdrawn before), ErrEnded when it was answered or dead before, or
	// ErrInvalidText.
	WithdrawJobs(ctx context.Context, ids []string, at time.Time) (Outcomes, error)

	// ExpireClaims makes up to limit claimed jobs whose time-out has passed
	// pending again; those delivered maxDeliveries times or more become dead,
	// with the result message that dead makes of them. Returns the jobs as
	// they are after it, earliest time-out first. dead may be called twice for
	// one job.
	ExpireClaims(ctx context.Context, now time.Time, maxDeliveries, limit int, dead func(Job) json.RawMessage) ([]Job, error)

	// NextChange is the earliest time at which a delayed job becomes ready or
	// a claim times out; zero when there is none.
	NextChange(ctx context.Context, now time.Time) (time.Time, error)

	// ClaimResults returns up to limit result messages whose NextAt has come,
	// earliest first, after moving their NextAt to until and counting the
	// attempt. Two claimers never get one message before that. A new message's
	// NextAt is the time at which its job ended.
	ClaimResults(ctx context.Context, now, until time.Time, limit int) ([]JobResult, error)

	// AckResults deletes delivered result messages; unknown ids are fine.
	AckResults(ctx context.Context, jobIDs []string) error

	// Stats counts the unfinished and dead jobs of each service that has any,
	// ordered by service.
	Stats(ctx context.Context, now time.Time) ([]ServiceStats, error)

	// Subscribe calls hint when a service gets ready jobs, from any process on
	// the database, until the context ends; the rules of Tasks.Subscribe hold.
	Subscribe(ctx context.Context, hint func(JobHint)) error
}
