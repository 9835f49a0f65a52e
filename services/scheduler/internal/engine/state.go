package engine

import (
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// stateFormat is written into every state. It grows when a new field changes
// the meaning of old ones, so that a state is never misread.
const stateFormat = 2

// State is everything the engine knows of a task between two steps. Status,
// Shared and Failure have columns of their own and are not in its JSON.
type State struct {
	Status  storage.TaskStatus `json:"-"`
	Shared  json.RawMessage    `json:"-"` // the root flow's shared state
	Failure *Failure           `json:"-"` // why the task failed

	Format   int       `json:"v"`
	Now      Micros    `json:"now,omitempty"`      // of the last step: time does not go back
	Steps    int       `json:"steps"`              // node visits begun; bounded by max_steps
	Runs     int       `json:"runs"`               // runs begun: the No of the last one
	Action   string    `json:"action,omitempty"`   // the last one that a node ended with
	Deadline Micros    `json:"deadline,omitempty"` // of the whole task; 0: none
	Limits   Limits    `json:"limits"`             // since the start
	Flow     FlowFrame `json:"flow"`
	// Visits are those begun, by path, of nodes that can come again: a node
	// inside a subflow that starts again goes on counting, so that no two runs
	// have one address.
	Visits map[string]int `json:"visits,omitempty"`

	// Kept are the signals that no wait has taken yet, oldest first. Only keys
	// that the plan may wait for are kept. States share the array behind it, as
	// those of a fan share its ends: what a step that was not committed put
	// there is overwritten by the one that is.
	Kept      []Signal `json:"kept,omitempty"`
	KeptBytes int      `json:"kept_bytes,omitempty"`
}

// FlowFrame is a flow being executed: the task's own, or a subflow.
type FlowFrame struct {
	Node *NodeFrame `json:"node,omitempty"` // nil before the start and after the end
	// Left are digests of what signals left in the flow's shared state, by key.
	Left map[string]string `json:"left,omitempty"`
}

// NodeFrame is one visit of a node.
type NodeFrame struct {
	Key     string `json:"key"`
	Visit   int    `json:"visit"`   // from 1
	Attempt int    `json:"attempt"` // from 1
	Phase   Phase  `json:"phase"`
	Run     int    `json:"run"`           // No of the attempt's run; 0 before the first
	RunID   string `json:"run_id"`        // of the same
	Due     Micros `json:"due,omitempty"` // when the phase ends by itself; 0: it does not

	Sub     *SubFrame `json:"sub,omitempty"`     // of a subflow in PhaseInside
	Version string    `json:"version,omitempty"` // the flow version that a subflow by reference is pinned to
	Fan     *Fan      `json:"fan,omitempty"`     // of a parallel or foreach node

	// What the run's row holds, see Attach. Params are an object once they
	// are here.
	Input  json.RawMessage `json:"-"`
	Params json.RawMessage `json:"-"`
}

// SubFrame is what goes on inside a subflow node.
type SubFrame struct {
	Shared json.RawMessage `json:"shared"` // the subflow's own shared state
	Flow   FlowFrame       `json:"flow"`

	plan *flow.Plan // see Attach
}

// Phase says what an active node waits for.
type Phase string

const (
	PhaseRunning   Phase = "running"   // for the execution that a scheduler carries out
	PhaseQueued    Phase = "queued"    // for a pull worker
	PhaseBackoff   Phase = "backoff"   // for the time of the next attempt
	PhaseWaiting   Phase = "waiting"   // for the time it is due, or for a signal
	PhaseResolving Phase = "resolving" // for the version that a subflow is to be pinned to
	PhaseInside    Phase = "inside"    // for what it consists of: branches, or the nodes of a subflow
	PhaseNext      Phase = "next"      // for nothing: the next step visits it
)

// Phases lists every phase.
var Phases = []Phase{PhaseRunning, PhaseQueued, PhaseBackoff, PhaseWaiting, PhaseResolving, PhaseInside, PhaseNext}

// executing reports whether an execution is out whose result is awaited.
func (p Phase) executing() bool { return p == PhaseRunning || p == PhaseQueued }

// open reports whether the run of the attempt is open.
func (p Phase) open() bool { return p != PhaseBackoff && p != PhaseNext }

// Micros is a time in microseconds since 1970, UTC; 0 is none.
type Micros int64

func micros(t time.Time) Micros { return Micros(t.UnixMicro()) }

// Time is the zero time for 0.
func (m Micros) Time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(m)).UTC()
}

// Failure is why a node, and with it perhaps the task, failed. It is what
// shared.error and the task's error show.
type Failure struct {
	Node     string `json:"node"` // path; "" when no node is to blame
	Code     string `json:"code"`
	Message  string `json:"message"`
	Attempts int    `json:"attempts"`
	// Branches are those that failed, in order, of a node that has branches;
	// at most maxListed, the message has their number.
	Branches []BranchFailure `json:"branches,omitempty"`
}

// BranchFailure is why a branch of a parallel or foreach node failed.
type BranchFailure struct {
	Index    int    `json:"index"`
	Code     string `json:"code"`
	Message  string `json:"message"`
	Attempts int    `json:"attempts"`
}

// The codes of failures that the engine finds itself. Those of executions come
// with their results.
const (
	CodeTimeout        = "timeout"         // an attempt took longer than its time-out
	CodeTaskTimeout    = "task_timeout"    // the task took longer than its own
	CodeMaxSteps       = "max_steps"       // the task visited too many nodes
	CodeNoEdge         = "no_edge"         // no edge takes the node's action
	CodeNoChoice       = "no_choice"       // a choice selected nothing
	CodeBadSetting     = "bad_setting"     // a setting's reference found something unfit
	CodeBadInput       = "bad_input"       // the input of a foreach is no array
	CodeBranchesFailed = "branches_failed" // of a node's branches, for different reasons
	CodeTooDeep        = "too_deep"        // subflows inside subflows inside subflows …
	CodeFlowNotFound   = "flow_not_found"  // a subflow names no published flow
	CodeTooLarge       = "too_large"       // an input, a result, or what would be the shared state
)

// JSON is what shared.error and the task's error hold.
func (f *Failure) JSON() json.RawMessage {
	// Strings and numbers always encode.
	text, _ := rawjson.Marshal(f)
	return text
}

// NewState is the state of a task that has not started.
func NewState() State {
	return State{Format: stateFormat, Status: storage.TaskPending, Shared: json.RawMessage("{}")}
}

// Load reads a state back from the task it was written to. It is not complete
// until Attach has been called with what it needs.
func Load(task storage.Task) (State, error) {
	var s State
	if err := json.Unmarshal(task.State, &s); err != nil {
		return State{}, fmt.Errorf("decode state of %s: %w", task.ID, err)
	}
	if s.Format != stateFormat {
		return State{}, fmt.Errorf("state of %s has format %d, this engine reads %d", task.ID, s.Format, stateFormat)
	}
	s.Status, s.Shared = task.Status, task.Shared
	if len(task.Error) > 0 {
		s.Failure = new(Failure)
		if err := json.Unmarshal(task.Error, s.Failure); err != nil {
			return State{}, fmt.Errorf("decode error of %s: %w", task.ID, err)
		}
	}
	return s, nil
}

// Size is about the bytes that the values in the state take.
func (s *State) Size() int {
	size := len(s.Shared) + s.KeptBytes
	for node := s.Flow.Node; node != nil; node = node.inner() {
		size += len(node.Input) + len(node.Params)
		if node.Sub != nil {
			size += len(node.Sub.Shared)
		}
		if node.Fan != nil {
			size += node.Fan.size()
		}
	}
	return size
}

// JSON is the text that Load reads.
func (s *State) JSON() (json.RawMessage, error) {
	text, err := rawjson.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode state: %w", err)
	}
	return text, nil
}

// NextDue is when a timer_fired event has something to do; zero when no clock
// moves the task on.
func (s *State) NextDue() time.Time {
	due := s.Deadline
	earlier := func(at Micros) {
		if at != 0 && (due == 0 || at < due) {
			due = at
		}
	}
	for node := s.Flow.Node; node != nil; node = node.inner() {
		earlier(node.Due)
		if node.Fan != nil {
			for i := range node.Fan.Open {
				earlier(node.Fan.Open[i].Due)
			}
		}
	}
	return due.Time()
}

// CurrentNode is the key of the flow's active node, "" when there is none.
func (s *State) CurrentNode() string {
	if s.Flow.Node == nil {
		return ""
	}
	return s.Flow.Node.Key
}

// Innermost is the active node in the innermost subflow; nil when there is
// none.
func (s *State) Innermost() *NodeFrame {
	node := s.Flow.Node
	for node != nil && node.inner() != nil {
		node = node.inner()
	}
	return node
}

// Retry is an attempt that has failed, of a node or a branch, whose next one is
// awaited.
type Retry struct {
	Path    string
	Attempt int
	Due     time.Time
}

// NextRetry is the next attempt that the state waits for, if it waits for one.
func (s *State) NextRetry() (next Retry, ok bool) {
	path := ""
	for node := s.Flow.Node; node != nil; node = node.inner() {
		path += "/" + node.Key
		if node.Phase == PhaseBackoff {
			return Retry{Path: path[1:], Attempt: node.Attempt, Due: node.Due.Time()}, true
		}
		if node.Fan == nil {
			continue
		}
		for i := range node.Fan.Open {
			b := &node.Fan.Open[i]
			if b.Phase == PhaseBackoff && (!ok || b.Due.Time().Before(next.Due)) {
				next, ok = Retry{Path: fmt.Sprintf("%s/%d", path[1:], b.Index), Attempt: b.Attempt, Due: b.Due.Time()}, true
			}
		}
	}
	return next, ok
}

// inner is the active node of the flow inside; nil when there is none.
func (n *NodeFrame) inner() *NodeFrame {
	if n.Sub == nil {
		return nil
	}
	return n.Sub.Flow.Node
}

// clone copies what a step may change in place. Raw JSON is never changed in
// place, and maps are copied where they are written.
func (s State) clone() State {
	s.Flow.Node = s.Flow.Node.clone()
	return s
}

func (n *NodeFrame) clone() *NodeFrame {
	if n == nil {
		return nil
	}
	c := *n
	if n.Sub != nil {
		sub := *n.Sub
		sub.Flow.Node = sub.Flow.Node.clone()
		c.Sub = &sub
	}
	if n.Fan != nil {
		c.Fan = n.Fan.clone()
	}
	return &c
}

func (s *State) visit(path string) int {
	s.Visits = maps.Clone(s.Visits)
	if s.Visits == nil {
		s.Visits = map[string]int{}
	}
	s.Visits[path]++
	return s.Visits[path]
}
