package storage

import (
	"encoding/json"
	"time"
)

// TaskStatus is where a task stands in its life.
type TaskStatus string

const (
	TaskPending      TaskStatus = "pending"       // created, not started
	TaskRunning      TaskStatus = "running"       // a scheduler executes it
	TaskWaiting      TaskStatus = "waiting"       // for a timer, an event, an approval or a retry delay
	TaskWaitingQueue TaskStatus = "waiting_queue" // for a pull worker's result
	TaskCompleted    TaskStatus = "completed"
	TaskFailed       TaskStatus = "failed"
	TaskCanceling    TaskStatus = "canceling" // cancel recorded, not yet applied
	TaskCanceled     TaskStatus = "canceled"
)

// TaskStatuses lists every task status.
var TaskStatuses = []TaskStatus{
	TaskPending, TaskRunning, TaskWaiting, TaskWaitingQueue,
	TaskCompleted, TaskFailed, TaskCanceling, TaskCanceled,
}

// Terminal reports whether the status never changes again.
func (s TaskStatus) Terminal() bool {
	return s == TaskCompleted || s == TaskFailed || s == TaskCanceled
}

// WaitKind says what a task waits for that nobody executes. The status tells
// less: several of them are TaskWaiting.
type WaitKind string

const (
	WaitNone     WaitKind = ""         // for nothing: it is executed, about to be, or has ended
	WaitTimer    WaitKind = "timer"    // for a timer's due time
	WaitEvent    WaitKind = "event"    // for a signal or a value in the shared state
	WaitApproval WaitKind = "approval" // for somebody's decision
	WaitRetry    WaitKind = "retry"    // for the end of the pause between two attempts
	WaitQueue    WaitKind = "queue"    // for a pull worker's result
)

// WaitKinds lists every kind of wait.
var WaitKinds = []WaitKind{WaitNone, WaitTimer, WaitEvent, WaitApproval, WaitRetry, WaitQueue}

// RunStatus is where one execution of a node stands.
type RunStatus string

const (
	RunQueued   RunStatus = "queued"
	RunRunning  RunStatus = "running"
	RunOK       RunStatus = "ok"
	RunError    RunStatus = "error"
	RunCanceled RunStatus = "canceled"
	RunTimeout  RunStatus = "timeout"
)

// RunStatuses lists every run status.
var RunStatuses = []RunStatus{RunQueued, RunRunning, RunOK, RunError, RunCanceled, RunTimeout}

// EventKind says what a task event tells.
type EventKind string

const (
	EventStarted      EventKind = "started"
	EventRunFinished  EventKind = "run_finished"
	EventFlowResolved EventKind = "flow_resolved" // which version a subflow by reference executes
	EventTimerFired   EventKind = "timer_fired"
	EventSignal       EventKind = "signal"
	EventCancel       EventKind = "cancel"
)

// EventKinds lists every event kind.
var EventKinds = []EventKind{EventStarted, EventRunFinished, EventFlowResolved, EventTimerFired, EventSignal, EventCancel}

// Task is one execution of a flow version.
type Task struct {
	ID            string
	FlowID        string
	FlowVersionID string
	FlowName      string // as it was when the task was created
	FlowVersion   int

	Status      TaskStatus
	Params      json.RawMessage // a JSON object, never changes
	Shared      json.RawMessage // a JSON object: the root flow's shared state
	State       json.RawMessage // the engine's own record; storage never looks inside
	CurrentNode string          // "" when terminal
	WaitsFor    WaitKind        // WaitNone when terminal
	Error       json.RawMessage // why it failed; nil when it did not

	RequestID   string // idempotency key of the creation; "" when none was given
	RequestHash string // digest of the body that came with RequestID

	// Trace is what the task's executions belong to, as W3C Trace Context writes
	// it (traceparent); "" for none. It never changes.
	Trace string

	// RunnableAt is when a scheduler should next look at the task: creation
	// for a new task, the due time of a timer, the lease's expiry while one is
	// held, the arrival of an event. Zero: only an event can move it on.
	RunnableAt time.Time
	Lease      Lease

	Seq       int64 // of the last event applied
	InboxSeq  int64 // arrivals: events that came from outside, so far
	InboxDone int64 // how many of them are applied; equal to InboxSeq when the inbox is empty

	CreatedAt  time.Time
	UpdatedAt  time.Time
	FinishedAt time.Time
}

// Lease is the right to execute a task until Expiry. Epoch is the fence: it
// grows by one whenever anyone takes the lease, and every write of a step
// names the epoch that it was made under.
type Lease struct {
	Owner  string // "" when free
	Expiry time.Time
	Epoch  int64
}

// LeaseRef names a lease that the caller believes to hold.
type LeaseRef struct {
	TaskID string
	Epoch  int64
}

// TaskEvent is one entry of a task's event log, which is inbox and history at
// once. An event from outside is appended with an Arrival and no Seq; the step
// that applies it gives it its Seq. An event that a step made itself has no
// Arrival.
type TaskEvent struct {
	TaskID   string
	SourceID string // unique within the task; makes a repeat harmless
	Kind     EventKind
	Data     json.RawMessage // the kind's own fields; never nil
	At       time.Time
	Arrival  int64 // from 1 in order of arrival; 0: made by the step
	Seq      int64 // from 1 in order of application; 0: not yet applied
}

// NodeRun is one attempt at one visit of a node.
type NodeRun struct {
	TaskID    string
	No        int // from 1 in order of start, unique within the task
	ID        string
	NodeKey   string
	Path      string // node, node/2 (branch or item), sub/node
	Visit     int    // from 1
	Attempt   int    // from 1
	Status    RunStatus
	SubStatus string
	BranchID  string

	Input  json.RawMessage // prep's result; nil when there is none
	Params json.RawMessage // the effective params of the run
	Output json.RawMessage // nil until it finished ok

	ErrorCode string
	ErrorText string
	Action    string
	WorkerID  string
	WorkerURL string
	LogPath   string
	DecidedBy string // who decided an approval
	Comment   string // what they said to it

	StartedAt  time.Time
	FinishedAt time.Time
}

// RunFinish closes a run that an earlier step (or the same one) started.
type RunFinish struct {
	No         int
	Status     RunStatus
	SubStatus  string
	Output     json.RawMessage
	ErrorCode  string
	ErrorText  string
	Action     string
	WorkerID   string // "": the one on record stays, who may have been at it when its time was up
	WorkerURL  string
	LogPath    string
	DecidedBy  string
	Comment    string
	FinishedAt time.Time
}

// Close gives a run what its end adds.
func (f RunFinish) Close(run *NodeRun) {
	run.Status, run.SubStatus, run.Output = f.Status, f.SubStatus, f.Output
	run.ErrorCode, run.ErrorText, run.Action = f.ErrorCode, f.ErrorText, f.Action
	if f.WorkerID != "" {
		run.WorkerID = f.WorkerID
	}
	run.WorkerURL, run.LogPath = f.WorkerURL, f.LogPath
	run.DecidedBy, run.Comment = f.DecidedBy, f.Comment
	run.FinishedAt = f.FinishedAt
}

// OutboxKind says what an outgoing message asks for.
type OutboxKind string

const (
	OutboxPutJob      OutboxKind = "put_job"      // enqueue a job at the queue-gateway
	OutboxWithdrawJob OutboxKind = "withdraw_job" // take it back
)

// OutboxKinds lists every kind of outgoing message.
var OutboxKinds = []OutboxKind{OutboxPutJob, OutboxWithdrawJob}

// OutboxMessage is written with a step and delivered after it, at least once,
// until acknowledged.
type OutboxMessage struct {
	ID       string
	TaskID   string
	Kind     OutboxKind
	Payload  json.RawMessage
	NextAt   time.Time // not delivered by anyone else before
	Attempts int       // deliveries tried; filled on reading
}

// TaskStep is everything one step of a task changes. It commits whole or not
// at all.
type TaskStep struct {
	Lease LeaseRef // the fence
	At    time.Time

	// Take makes it the step of a task that nobody holds, and takes the lease
	// in the same transaction: see Take. Nil: the step is made under Lease.
	Take *Take

	Status      TaskStatus
	Shared      json.RawMessage // nil: unchanged
	State       json.RawMessage
	CurrentNode string
	WaitsFor    WaitKind // a terminal step stores WaitNone
	Error       json.RawMessage
	FinishedAt  time.Time

	Seq       int64 // the task's new Seq
	InboxDone int64 // the task's new InboxDone

	// Events are the events that this step applied, each with its Seq. Those
	// with an Arrival are in the log already and are given their Seq; the
	// others are added.
	Events   []TaskEvent
	Started  []NodeRun
	Finished []RunFinish
	Outbox   []OutboxMessage

	// Release gives the lease back. The task is then runnable at RunnableAt
	// (zero: when an event arrives), or at once when its inbox holds events
	// that this step has not applied. A terminal step always releases.
	Release    bool
	RunnableAt time.Time
}

// Take is how a step takes the lease that it is made under. The step's Lease
// names the epoch before, and its epoch is the next one. It commits only where
// its maker has seen the task: unfinished, not canceling, held by nobody since
// that epoch, and with an inbox of which the step applies all there is. So a
// repeat is refused, also of a step that did commit.
type Take struct {
	Owner string
	Until time.Time // the lease's expiry, unless the step releases
}

// StepOutcome tells how a step went.
type StepOutcome struct {
	// Err is nil: committed; ErrLeaseLost: the epoch is not current or the
	// lease was given back (by the same step, when this repeats one that
	// released), nothing was written; ErrMoved: the same for a step with Take,
	// or an event has come; ErrInboxPending: the step was terminal
	// while the inbox holds events after InboxDone, nothing was written: apply
	// them first; ErrInvalidText.
	Err error
	// InboxPending: committed, and the inbox holds events after InboxDone.
	InboxPending bool
}

// NewTask is a task to create. When the creator executes it at once, it comes
// with what its first step did (Task.Lease is held and Task.RunnableAt is the
// lease's expiry); otherwise the lists are empty and the task is pending.
type NewTask struct {
	Task    Task
	Events  []TaskEvent
	Started []NodeRun
	Outbox  []OutboxMessage
}

// CreateOutcome tells how a creation went.
type CreateOutcome struct {
	// Err is nil: created, or Existing; ErrConflict: the request id was used
	// with another body (Task is the one it made), or the task id exists;
	// ErrInvalidText. Task is as it is stored.
	Err error
	// Existing: the same request came before, and Task is what it made.
	Existing bool
	Task     Task
}

// InboxEvent is an event from outside, for AppendEvents.
type InboxEvent struct {
	TaskID   string
	SourceID string
	Kind     EventKind
	Data     json.RawMessage
	At       time.Time

	// OnlyAt makes the append conditional: it is for a task that nobody holds
	// and that is exactly there, so that what the sender has seen of it still
	// holds. Nil: wherever the task is.
	OnlyAt *TaskPosition
}

// TaskPosition is how far a task has come: of two equal ones, nothing was
// applied and nothing arrived between them.
type TaskPosition struct{ Seq, InboxSeq int64 }

// AppendOutcome tells how an append went.
type AppendOutcome struct {
	// Err is nil: in the log; ErrNotFound: no such task; ErrEnded: the task is
	// terminal or canceling, and nothing was written. A recorded cancel closes
	// the inbox, so that no stream of events can keep it from taking effect.
	// ErrMoved: the task has an owner, if only one whose lease has expired, or
	// is not where OnlyAt says, and nothing was written: look at the task again.
	// ErrInvalidText, too.
	Err error
	// Duplicate: an event with that source id was in the log before (whatever
	// the task's status is now, and wherever it is); nothing was written.
	// Stored is that event.
	Duplicate bool
	Stored    TaskEvent
	// Leased: a scheduler holds the task and will see the event by a hint or
	// when it next extends its leases.
	Leased bool
}

// ClaimParams are how leases are taken.
type ClaimParams struct {
	Owner string
	Now   time.Time
	Until time.Time // the leases' expiry
}

// ExtendOutcome tells how one lease fared.
type ExtendOutcome struct {
	// Err is nil, or ErrLeaseLost: the task is free, or somebody else's, or
	// does not exist.
	Err error
	// Busy: another transaction holds the task's row; try again soon. The lease
	// is not extended, and not lost; of the inbox nothing is known.
	Busy bool
	// InboxPending: the inbox holds events that are not applied.
	InboxPending bool
}

// TaskQuery selects tasks; empty fields match all.
type TaskQuery struct {
	Status        TaskStatus
	FlowID        string
	FlowVersionID string
	WaitsFor      WaitKind
	// MostBytes is what a page's tasks may hold in params, shared states and
	// states together, so that a list of large ones does not fill the memory. A
	// single task always fits; 0 is no bound.
	MostBytes int
	ListOptions
}

// MaxPageBytes is the MostBytes of the lists that anyone may ask for.
const MaxPageBytes = 64 << 20

// TaskHint tells that a task has news: it became runnable at once (new, or an
// event came while nobody held it) or its holder has an event to load.
type TaskHint struct {
	TaskID string
	// Own hints are of what was written through this very store: whoever wrote
	// it is the first to act on it, and the others need not race for it.
	Own bool
}

// MaxCounted is where the counts of TaskStats and UndeliveredResults end, so that
// they take a bounded time: a fraction of a second.
const MaxCounted = 1_000_000

// TaskStats tell how much there is to do; no count is over MaxCounted.
type TaskStats struct {
	Unfinished   map[TaskStatus]int // every status that is not terminal, zeros too
	NextRunnable time.Time          // as Tasks.NextRunnable
	Outbox       int                // messages that are not acknowledged
	// OldestOutbox is the first of their ids in order, "" when there is none:
	// the oldest's, of ids that sort by time.
	OldestOutbox string
}
