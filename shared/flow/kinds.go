package flow

// Kind says what a node does.
type Kind string

const (
	KindExecutor  Kind = "executor"   // one execution of a service, function or script
	KindChoice    Kind = "choice"     // picks an action
	KindParallel  Kind = "parallel"   // several executions side by side
	KindForeach   Kind = "foreach"    // one execution per item of the input
	KindSubflow   Kind = "subflow"    // a flow inside the flow
	KindTimer     Kind = "timer"      // waits for a time
	KindWaitEvent Kind = "wait_event" // waits for a signal
	KindApproval  Kind = "approval"   // waits for a decision
)

// Kinds lists every node kind.
var Kinds = []Kind{
	KindExecutor, KindChoice, KindParallel, KindForeach,
	KindSubflow, KindTimer, KindWaitEvent, KindApproval,
}

// waits reports whether a node of the kind suspends the task until something
// from outside or the clock moves it on.
func (k Kind) waits() bool {
	return k == KindTimer || k == KindWaitEvent || k == KindApproval
}

// ExecType says how an execution reaches the code that does the work.
type ExecType string

const (
	ExecHTTP        ExecType = "http"         // pushed to a worker; the default
	ExecQueue       ExecType = "queue"        // pulled by a worker
	ExecLocalFunc   ExecType = "local_func"   // a Go function inside the scheduler
	ExecLocalScript ExecType = "local_script" // a command on the scheduler's machine
)

// ExecTypes lists every exec type.
var ExecTypes = []ExecType{ExecHTTP, ExecQueue, ExecLocalFunc, ExecLocalScript}

// FailureStrategy says what a node of several parts, or one that waits, makes
// of a failure.
type FailureStrategy string

const (
	CollectErrors FailureStrategy = "collect_errors" // run all, then fail if any failed; the default
	FailFast      FailureStrategy = "fail_fast"      // the first failure cancels the rest
	IgnoreErrors  FailureStrategy = "ignore_errors"  // null for what failed, succeed
	Continue      FailureStrategy = "continue"       // as ignore_errors
	RetryFailed   FailureStrategy = "retry"          // run what failed again, under max_retries
)

// FailureStrategies lists every failure strategy.
var FailureStrategies = []FailureStrategy{CollectErrors, FailFast, IgnoreErrors, Continue, RetryFailed}

// ParallelMode says how the parts of a parallel or foreach node are started.
type ParallelMode string

const (
	Sequential ParallelMode = "sequential" // one after the other; the default
	Concurrent ParallelMode = "concurrent" // at most max_parallel at once
)

// ParallelModes lists every parallel mode.
var ParallelModes = []ParallelMode{Sequential, Concurrent}

// StdinMode says what a script reads on standard input.
type StdinMode string

const (
	StdinNone StdinMode = "none" // nothing; the default
	StdinJSON StdinMode = "json" // the object {"input","params"}
)

// StdinModes lists every stdin mode.
var StdinModes = []StdinMode{StdinNone, StdinJSON}

// OutputMode says how a script's standard output becomes the result.
type OutputMode string

const (
	OutputText OutputMode = "text" // a JSON string; the default
	OutputJSON OutputMode = "json" // parsed
)

// OutputModes lists every output mode.
var OutputModes = []OutputMode{OutputText, OutputJSON}

// The actions that have a meaning of their own on an edge.
const (
	ActionDefault = "default" // taken when no edge names the action
	ActionError   = "error"   // taken when the node failed
	ActionTimeout = "timeout" // taken before error when the cause is a time-out

	ActionApproved = "approved" // what the decision true of an approval selects
	ActionRejected = "rejected" // what the decision false selects
)
