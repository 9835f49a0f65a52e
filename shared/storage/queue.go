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
	ID      string
	TaskID  string
	RunID   string
	NodeKey string
	Path    string
	Visit   int
	Attempt int // the node's attempt, from 1
	RunNo   int // the node run's number within its task
	Service string
	// Input is the object {"input","params","run_id"} that the worker gets. It
	// may be large: only what says so returns it, and a job that was answered or
	// withdrawn has lost it.
	Input    json.RawMessage
	Priority int    // higher first
	Trace    string // what its execution belongs to, as Task has it

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
	WorkerID string
	Services []string // at least one
	Max      int      // at least 1
	// MaxBytes, when not 0, bounds the inputs of the claimed jobs together: the
	// claim ends before the job with which they would pass it, but takes one at
	// least. Those it leaves stay ready, and Subscribe hears of them.
	MaxBytes     int
	Now          time.Time
	VisibleUntil time.Time
	// NewToken makes the token of one claim. It may be called more often than
	// jobs are claimed.
	NewToken func() string
	// HeldBack, when not nil, is called before ClaimJobs returns for each
	// service whose rate kept the claim from taking more of it, with the time
	// from which the rate lets a job through. The service may have no ready job.
	HeldBack func(service string, until time.Time)
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
	// HeldUntil, when not zero, is the time before which the message is this
	// caller's to deliver, as one is that ClaimResults has returned.
	HeldUntil time.Time
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

// HeldResult names a result message and the time until which it was claimed.
type HeldResult struct {
	JobID string
	Until time.Time
}

// UndeliveredResults are the result messages that the scheduler has not
// acknowledged.
type UndeliveredResults struct {
	Count int // up to MaxCounted
	// Oldest is when the first of their jobs ended, of a thousand at least that
	// are due first; zero when there is none.
	Oldest time.Time
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

// JobHint tells that a service has a job that became ready, or that its limit
// has room again.
type JobHint struct {
	Service string
	ReadyAt time.Time // when a delayed job will be; zero for now
}

// ServiceLimit is what the operator allows the workers of a service, all of
// them together.
type ServiceLimit struct {
	Service string
	// MaxClaimed is how many of its jobs may be claimed at once; 0 for no such
	// limit. A claim whose time-out has passed counts until ExpireClaims has
	// taken it back: the worker may still be at it.
	MaxClaimed int
	// RatePerSecond is how many jobs a second may be claimed in the long run, from
	// MinRatePerSecond to MaxRatePerSecond; 0 for no such limit. Every delivery
	// of a job counts.
	RatePerSecond float64
	// Burst is how many may be claimed at once after a pause, 1 to MaxBurst;
	// read with a rate only. In any window of time at most Burst and the
	// window's seconds times RatePerSecond jobs are claimed.
	Burst     int
	UpdatedAt time.Time
}

// The bounds of a ServiceLimit. Within them no time of a bucket overflows.
const (
	MinRatePerSecond = 1e-5 // about one a day
	MaxRatePerSecond = 1e6
	MaxBurst         = 10_000
)

// DeadQuery selects dead jobs; Service "" for those of all.
type DeadQuery struct {
	ListOptions
	Service string
	// MaxBytes, when not 0, bounds the inputs of a page together: it ends
	// before the job with which they would pass it, but has one at least. Only
	// Next leads to what follows such a page; Offset counts jobs, not pages.
	MaxBytes int
}

// Queue is the queue-gateway's role.
type Queue interface {
	Base

	// PutJobs stores new jobs: pending, delivered to nobody; the fields that
	// tell of a claim or an end are not read. A job id that exists, in whatever
	// status, is left as it is and is no error: that makes a repeat harmless.
	PutJobs(ctx context.Context, jobs []Job) error

	// GetJobs returns the jobs with these ids, without their inputs; unknown ones
	// are left out.
	GetJobs(ctx context.Context, ids []string) (map[string]Job, error)

	// ClaimJobs claims ready jobs of the given services: higher priority
	// first; at equal priority the services take turns, and within a service
	// the oldest AvailableAt comes first. Each gets a token, Deliveries+1 and
	// VisibleUntil as its time-out. Two claimers never get one job. The result
	// has the inputs and is in that order; empty, never nil, when nothing is ready.
	//
	// The limits of SetLimit hold for all claimers on the database together,
	// whatever becomes of one: a limit that is used up hides the service's jobs,
	// and the claim takes those of the others instead. Rates go by Now, and
	// clocks that differ let no more through.
	ClaimJobs(ctx context.Context, claim ClaimJobs) ([]Job, error)

	// CompleteJobs accepts answers and writes the result message of each in
	// the same transaction. A token, when given, must be the current claim's;
	// a worker id, when given without a token, must be the claimant's; with
	// neither the claim must not have expired. A claim whose time-out has
	// passed but which nobody has taken since is accepted by token or
	// claimant, whether ExpireClaims has seen it or not. Outcomes: nil; nil
	// again for a completion with the hash of the accepted one (no second
	// message) that names its claim, or none; ErrNotFound; ErrClaimLost, also
	// for another answer than the accepted one and for a dead job; ErrEnded for
	// a withdrawn job; ErrInvalidText.
	CompleteJobs(ctx context.Context, completions []JobCompletion) (Outcomes, error)

	// ExtendClaims moves the time-out of claims. The claim is told as in
	// CompleteJobs, except that with neither token nor worker id any claim will
	// do that ExpireClaims has not taken back; one that it has taken back and
	// nobody has taken since is claimed anew, without a delivery, if MaxClaimed
	// of its service has room. Outcomes: nil, ErrNotFound, ErrClaimLost, or
	// ErrEnded (withdrawn: stop working on it).
	ExtendClaims(ctx context.Context, claims []ClaimRef, until time.Time) (Outcomes, error)

	// ReleaseClaims takes back deliveries that did not reach their worker: what
	// is still claimed by the token is pending again, and does not count as
	// delivered. As after ExpireClaims the claim stays known until another takes
	// its place, in case the worker has got it after all. Of other jobs it
	// changes nothing.
	ReleaseClaims(ctx context.Context, claims []ClaimRef) error

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
	// they are after it, without their inputs, earliest time-out first. dead gets
	// them so too, and may be called twice for one job.
	ExpireClaims(ctx context.Context, now time.Time, maxDeliveries, limit int, dead func(Job) json.RawMessage) ([]Job, error)

	// NextChange is the earliest time at which a delayed job becomes ready, a
	// claim times out, or a rate that is used up lets a job through; zero when
	// there is none.
	NextChange(ctx context.Context, now time.Time) (time.Time, error)

	// ReadyServices returns those of the services that have a ready job, which a
	// limit may hide, in the order given; never nil.
	ReadyServices(ctx context.Context, services []string, now time.Time) ([]string, error)

	// ClaimResults returns up to limit result messages whose NextAt has come,
	// earliest first, after moving their NextAt to until and counting the
	// attempt. Two claimers never get one message before that. A new message's
	// NextAt is the time at which its job ended, or its HeldUntil.
	ClaimResults(ctx context.Context, now, until time.Time, limit int) ([]JobResult, error)

	// HeldResults returns the jobs of those messages that are still claimed until
	// the very time, in the order given. Others have been delivered, or taken
	// back by RequeueJobs, or are somebody else's.
	HeldResults(ctx context.Context, results []HeldResult) ([]string, error)

	// AckResults deletes delivered result messages; unknown ids are fine.
	AckResults(ctx context.Context, jobIDs []string) error

	// Undelivered tells of the result messages that nobody has acknowledged.
	Undelivered(ctx context.Context) (UndeliveredResults, error)

	// SetLimit sets the limit of a service in place of the one it had; without
	// MaxClaimed and without RatePerSecond it has none any more. ErrInvalidData
	// for a number out of its bounds. A repeat is harmless: a new rate starts
	// with all of its Burst, and a changed one with what was left of the one
	// before. A lower limit takes no claim back. It holds for the claims that
	// begin after it has returned.
	SetLimit(ctx context.Context, limit ServiceLimit) error

	// ListLimits returns the limits of all services that have one, ordered by
	// service; never nil.
	ListLimits(ctx context.Context) ([]ServiceLimit, error)

	// ListDead returns a page of the dead jobs, with their inputs. They are kept
	// until they are requeued or discarded.
	ListDead(ctx context.Context, query DeadQuery) (Page[Job], error)

	// RequeueJobs makes dead jobs pending again, available from at on, as if
	// they had never been delivered: an answer to an earlier claim is not
	// accepted any more, and the result message of the death is taken back if
	// nobody has acknowledged it. What the scheduler makes of a result whose run
	// has ended since is its own affair. Outcomes: nil, ErrNotFound, ErrConflict
	// for a job that is pending or claimed, as a repeat finds it, or ErrEnded.
	RequeueJobs(ctx context.Context, ids []string, at time.Time) (Outcomes, error)

	// DiscardJobs ends dead jobs for good: they become withdrawn; the id is kept, so that a repeat of PutJobs does not bring them
	// back, and the result message of the death still goes out. Outcomes: nil
	// (also when it was withdrawn before), ErrNotFound, ErrConflict for a job
	// that is pending or claimed, or ErrEnded when it was answered.
	DiscardJobs(ctx context.Context, ids []string, at time.Time) (Outcomes, error)

	// Stats counts the unfinished and dead jobs of each service that has any,
	// ordered by service.
	Stats(ctx context.Context, now time.Time) ([]ServiceStats, error)

	// Subscribe calls hint when a service gets jobs, ready or delayed, a claim
	// leaves some of its jobs because of MaxBytes, a claim of one that has a
	// MaxClaimed ends, or its limit is set, from any process on the database,
	// until the context ends; the rules of Tasks.Subscribe hold. That a rate lets
	// jobs through again is NextChange's and HeldBack's to tell.
	Subscribe(ctx context.Context, hint func(JobHint)) error
}
