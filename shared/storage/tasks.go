package storage

import (
	"context"
	"time"
)

// Tasks is the scheduler's role.
//
// Two invariants carry the whole engine:
//
//  1. A step writes only under the epoch that is current, so of two schedulers
//     that both believe to hold a task only one can change it.
//  2. RunnableAt is never later than the moment at which somebody has to look:
//     whoever frees a task or appends to a free one sets it in the same
//     transaction, so nothing waits for a message that may be lost.
type Tasks interface {
	Base

	// CreateTasks stores new tasks. A RequestID that was used before makes no
	// task: see CreateOutcome.
	CreateTasks(ctx context.Context, tasks []NewTask) ([]CreateOutcome, error)

	// GetTask returns a task by id, or ErrNotFound.
	GetTask(ctx context.Context, id string) (Task, error)

	// ListTasks returns a page of tasks, newest first, or ErrPageTooLarge.
	ListTasks(ctx context.Context, query TaskQuery) (Page[Task], error)

	// ListRuns returns all runs of a task in order of start; empty, never nil,
	// for an unknown task.
	ListRuns(ctx context.Context, taskID string) ([]NodeRun, error)

	// LoadRuns returns the given runs of a task (by No), in order of No;
	// those that do not exist are left out.
	LoadRuns(ctx context.Context, taskID string, nos []int) ([]NodeRun, error)

	// LoadEndedRuns returns what a fan of branches gathers: the runs of a task
	// with a No after the given one that have a SubStatus, in order of No,
	// without their Input and Params. Empty, never nil, when there is none.
	LoadEndedRuns(ctx context.Context, taskID string, afterNo int) ([]NodeRun, error)

	// ListEvents returns up to limit applied events with Seq after the given
	// one, in order of Seq.
	ListEvents(ctx context.Context, taskID string, afterSeq int64, limit int) ([]TaskEvent, error)

	// LoadInbox returns the first events of a task that are not applied, up to
	// limit, in order of arrival.
	LoadInbox(ctx context.Context, taskID string, limit int) ([]TaskEvent, error)

	// ClaimTasks takes the leases of up to limit unfinished tasks whose
	// RunnableAt has come, earliest first, and returns them as they are after
	// it (new epoch, RunnableAt = expiry). Two claimers never get one task.
	ClaimTasks(ctx context.Context, params ClaimParams, limit int) ([]Task, error)

	// ClaimTask takes the lease of one unfinished task, runnable or not.
	// ErrNotFound, ErrEnded, or ErrLeaseHeld while a lease of anyone, the
	// caller included, has not expired.
	ClaimTask(ctx context.Context, id string, params ClaimParams) (Task, error)

	// NextRunnable is the earliest RunnableAt of all unfinished tasks; zero
	// when there is none.
	NextRunnable(ctx context.Context) (time.Time, error)

	// SettleSteps commits steps. A step made under a current epoch commits
	// even past the lease's expiry, as long as nobody has taken the task.
	// Repeating a step whose outcome was not heard is safe: under a kept
	// lease the same rows are written again to the same values.
	//
	// A status of canceling is kept while the step's own is not terminal, so
	// that readers do not see a recorded cancel disappear.
	SettleSteps(ctx context.Context, steps []TaskStep) ([]StepOutcome, error)

	// ExtendLeases moves the expiry (and RunnableAt) of leases forward. It does
	// not wait for a row that somebody else holds locked: see
	// ExtendOutcome.Busy. The other leases are extended nevertheless.
	ExtendLeases(ctx context.Context, leases []LeaseRef, until time.Time) ([]ExtendOutcome, error)

	// ReleaseLeases frees tasks without a step: they are runnable at the given
	// time, whether or not their inbox holds events, so that a caller who
	// cannot execute a task puts it off; an event that arrives later makes it
	// runnable at once. The zero time is "when an event arrives": at once when
	// the inbox holds some. Outcomes: nil, or ErrLeaseLost.
	ReleaseLeases(ctx context.Context, leases []LeaseRef, runnableAt time.Time) (Outcomes, error)

	// ReleaseOwner frees every task that the owner holds, as ReleaseLeases
	// does, and returns how many. For an owner that comes back after a crash
	// and is known to be the only one of its name.
	ReleaseOwner(ctx context.Context, owner string, runnableAt time.Time) (int, error)

	// AppendEvents puts events from outside into tasks' logs, in the order
	// given, and makes tasks that nobody holds runnable at once. A cancel also
	// sets the status canceling. An event may ask to be appended only where its
	// sender has seen the task: see InboxEvent.OnlyAt.
	AppendEvents(ctx context.Context, events []InboxEvent) ([]AppendOutcome, error)

	// MarkRunning records which worker carries out a run that was queued: its
	// status becomes running and its worker the given one, which another mark
	// may change. It touches nothing else, and a run that has ended not at all.
	// Outcomes: nil, also when it is so already; ErrNotFound; ErrEnded.
	MarkRunning(ctx context.Context, marks []RunningMark) (Outcomes, error)

	// AppendRunLogs adds entries to the logs of their runs, ended ones too, in
	// the order given. A log takes no more than most bytes, each entry counted
	// with LogEntryCost: of the entry that would pass them what fits is kept,
	// and LogFull; what comes after is dropped. Text for people, so cleaned. An
	// empty text adds no entry, but makes the log known. Outcomes: nil, also
	// for what was dropped and for a repeat; ErrNotFound: no such run;
	// ErrInvalidText for the source id.
	AppendRunLogs(ctx context.Context, entries []LogEntry, most int) (Outcomes, error)

	// ReadRunLog returns the log of a run, "" when nothing was written, or
	// ErrNotFound: see RunLogQuery.
	ReadRunLog(ctx context.Context, query RunLogQuery) (RunLog, error)

	// ClaimOutbox returns up to limit messages whose NextAt has come, earliest
	// first, after moving their NextAt to until and counting the attempt. Two
	// claimers never get one message before that.
	ClaimOutbox(ctx context.Context, now, until time.Time, limit int) ([]OutboxMessage, error)

	// AckOutbox deletes delivered messages; unknown ids are fine.
	AckOutbox(ctx context.Context, ids []string) error

	// Stats tells how much there is to do. It reads nothing of finished tasks,
	// so that it may be asked every few seconds.
	Stats(ctx context.Context) (TaskStats, error)

	// Subscribe calls hint for tasks that have news, from any process on the
	// database, until the context ends; it blocks and then returns nil. Hints
	// may be lost or repeated (a reconnect, a full buffer): they only save
	// waiting for the next poll. Calls come from one goroutine; hint must not
	// block.
	Subscribe(ctx context.Context, hint func(TaskHint)) error
}
