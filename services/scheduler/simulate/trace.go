package simulate

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Trace is what a simulated task did.
type Trace struct {
	StartedAt time.Time       `json:"started_at"`
	Params    json.RawMessage `json:"params"`
	Steps     []Step          `json:"steps"`

	// What the task came to. Status is terminal unless the simulation was
	// Stopped before the task's end.
	Status storage.TaskStatus `json:"status"`
	Took   Offset             `json:"took_ms"`
	Shared json.RawMessage    `json:"shared"`
	Error  *Failure           `json:"error,omitempty"` // why it failed

	Stopped *Stopped `json:"stopped,omitempty"`

	// Unused are the parts of the script that nothing asked for, for example
	// because of a slip in a path.
	Unused []string `json:"unused,omitempty"`

	// Runs are the node runs and Events the event log, as the scheduler would
	// have stored them.
	Runs   []storage.NodeRun   `json:"-"`
	Events []storage.TaskEvent `json:"-"`
}

// Failure is why a task failed, as its error shows it.
type Failure = engine.Failure

// Path are the paths of the node runs in the order in which they began.
func (t *Trace) Path() []string {
	paths := make([]string, len(t.Runs))
	for i := range t.Runs {
		paths[i] = t.Runs[i].Path
	}
	return paths
}

// Step is one thing that happened. Which fields it has depends on What.
type Step struct {
	At   Offset `json:"at_ms"`
	What What   `json:"what"`

	// Of a node run.
	Path     string          `json:"path,omitempty"`
	Visit    int             `json:"visit,omitempty"`
	Attempt  int             `json:"attempt,omitempty"`
	Kind     flow.Kind       `json:"kind,omitempty"`
	ExecType flow.ExecType   `json:"exec_type,omitempty"` // when it executes something itself
	Target   string          `json:"target,omitempty"`    // the service, function or script
	Input    json.RawMessage `json:"input,omitempty"`
	Params   json.RawMessage `json:"params,omitempty"` // the effective ones; of a branch or an item, those that it has besides

	// Of a run that begins: what ends it when nothing else does.
	WaitsFor string  `json:"waits_for,omitempty"` // key of the signal
	Until    *Offset `json:"until_ms,omitempty"`

	// Of a run that ended, and what followed from that.
	Status  storage.RunStatus `json:"status,omitempty"`
	Result  json.RawMessage   `json:"result,omitempty"`
	Code    string            `json:"code,omitempty"`
	Message string            `json:"message,omitempty"`
	Action  string            `json:"action,omitempty"` // "error" or "timeout" when that edge is taken
	Then    Then              `json:"then,omitempty"`
	To      string            `json:"to,omitempty"`       // path of the node it goes to
	AgainAt *Offset           `json:"again_ms,omitempty"` // when the next attempt begins

	// Of a signal.
	Key   string          `json:"key,omitempty"`
	Value json.RawMessage `json:"value,omitempty"`

	// Of a flow that was looked up for a subflow.
	Flow string `json:"flow,omitempty"`
}

// What says what a step is.
type What string

const (
	Began    What = "began"    // a run: an execution, or a wait
	Ended    What = "ended"    // a run, perhaps one that began in the same instant
	Signaled What = "signal"   // came from the script
	Canceled What = "cancel"   // came from the script
	Resolved What = "resolved" // the flow that a subflow names
)

// Whats lists every kind of step.
var Whats = []What{Began, Ended, Signaled, Canceled, Resolved}

// Then says where a run's end leads.
type Then string

const (
	ThenGoes  Then = "goes_on"    // to the node To
	ThenEnds  Then = "ends_flow"  // to the flow's end
	ThenFails Then = "fails_flow" // no edge takes the failure
	ThenAgain Then = "again"      // to the next attempt
)

// Thens lists every way on.
var Thens = []Then{ThenGoes, ThenEnds, ThenFails, ThenAgain}

// Offset is a virtual time, counted from the task's start.
type Offset time.Duration

// String is the offset as a duration: "1m0.5s".
func (o Offset) String() string { return time.Duration(o).String() }

// MarshalJSON writes milliseconds, with decimals where there are any.
func (o Offset) MarshalJSON() ([]byte, error) {
	ms := float64(time.Duration(o).Microseconds()) / 1000
	return strconv.AppendFloat(nil, ms, 'f', -1, 64), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (o *Offset) UnmarshalJSON(text []byte) error {
	var ms float64
	if err := json.Unmarshal(text, &ms); err != nil {
		return err
	}
	*o = Offset(time.Duration(ms*1000) * time.Microsecond)
	return nil
}

// Stopped is why a simulation ended before its task.
type Stopped struct {
	Reason  Reason `json:"reason"`
	Message string `json:"message"` // one sentence
	// Unanswered are the executions without an answer.
	Unanswered []Call `json:"unanswered,omitempty"`
	// Node and Signal are the wait, and the key of the signal that it waits
	// for.
	Node   string `json:"node,omitempty"`
	Signal string `json:"signal,omitempty"`
}

// Reason names what a simulation stopped for.
type Reason string

const (
	NoAnswer Reason = "no_answer" // an execution has no answer
	NoFlow   Reason = "no_flow"   // a subflow names a flow that was not given
	NoSignal Reason = "no_signal" // a wait, for a signal that the script does not send
	TooLate  Reason = "too_late"  // the next thing happens when no calendar counts any more
)

// Reasons lists every reason to stop.
var Reasons = []Reason{NoAnswer, NoFlow, NoSignal, TooLate}
