package engine

import (
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// stateFormat is written into every state. It grows when a new field changes
// the meaning of old ones, so that a state is never misread.
const stateFormat = 1

// State is everything the engine knows of a task between two steps. Status,
// Shared and Failure have columns of their own and are not in its JSON.
type State struct {
	Status  storage.TaskStatus `json:"-"`
	Shared  json.RawMessage    `json:"-"` // the root flow's shared state
	Failure *Failure           `json:"-"` // why the task failed

	Format   int       `json:"v"`
	Steps    int       `json:"steps"`              // node visits begun; bounded by max_steps
	Runs     int       `json:"runs"`               // runs begun: the No of the last one
	Action   string    `json:"action,omitempty"`   // the last one that a node ended with
	Deadline Micros    `json:"deadline,omitempty"` // of the whole task; 0: none
	Flow     FlowFrame `json:"flow"`
	Signals  Signals   `json:"signals,omitzero"`
}

// FlowFrame is a flow being executed.
type FlowFrame struct {
	Node   *NodeFrame     `json:"node,omitempty"`   // nil before the start and after the end
	Visits map[string]int `json:"visits,omitempty"` // begun, by node key
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

	Input  json.RawMessage `json:"-"` // in the run's row
	Params json.RawMessage `json:"-"` // in the run's row
}

// Phase says what an active node waits for.
type Phase string

const (
	PhaseRunning Phase = "running" // for the execution that a scheduler carries out
	PhaseQueued  Phase = "queued"  // for a pull worker
	PhaseBackoff Phase = "backoff" // for the time of the next attempt
	PhaseWaiting Phase = "waiting" // for the time it is due, or for a signal
	PhaseNext    Phase = "next"    // for nothing: the next step visits it
)

// Phases lists every phase.
var Phases = []Phase{PhaseRunning, PhaseQueued, PhaseBackoff, PhaseWaiting, PhaseNext}

// executing reports whether an execution is out whose result is awaited.
func (p Phase) executing() bool { return p == PhaseRunning || p == PhaseQueued }

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
}

// The codes of failures that the engine finds itself. Those of executions come
// with their results.
const (
	CodeTimeout     = "timeout"      // an attempt took longer than its time-out
	CodeTaskTimeout = "task_timeout" // the task took longer than its own
	CodeMaxSteps    = "max_steps"    // the task visited too many nodes
	CodeNoEdge      = "no_edge"      // no edge takes the node's action
	CodeNoChoice    = "no_choice"    // a choice selected nothing
	CodeBadSetting  = "bad_setting"  // a setting's reference found something unfit
	CodeTooLarge    = "too_large"    // an input, or what would be the shared state
)

// NewState is the state of a task that has not started.
func NewState() State {
	return State{Format: stateFormat, Status: storage.TaskPending, Shared: json.RawMessage("{}")}
}

// Load reads a state back from the task it was written to. It is not complete
// until Attach has been given the runs that ActiveRuns names.
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

// JSON is the text that Load reads.
func (s *State) JSON() (json.RawMessage, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode state: %w", err)
	}
	return text, nil
}

// ActiveRuns are the Nos of the runs whose input the state needs, ascending.
func (s *State) ActiveRuns() []int {
	if node := s.Flow.Node; node != nil && node.Phase != PhaseNext {
		return []int{node.Run}
	}
	return nil
}

// Attach gives the active nodes the input and params of their runs.
func (s *State) Attach(runs []storage.NodeRun) error {
	node := s.Flow.Node
	if node == nil || node.Phase == PhaseNext {
		return nil
	}
	for _, run := range runs {
		if run.No == node.Run {
			node.Input, node.Params = run.Input, run.Params
			return nil
		}
	}
	return fmt.Errorf("run %d of node %q is not in storage", node.Run, node.Key)
}

// NextDue is when a timer_fired event has something to do; zero when no clock
// moves the task on.
func (s *State) NextDue() time.Time {
	due := s.Deadline
	if n := s.Flow.Node; n != nil && n.Due != 0 && (due == 0 || n.Due < due) {
		due = n.Due
	}
	return due.Time()
}

// CurrentNode is the key of the active node, "" when there is none.
func (s *State) CurrentNode() string {
	if s.Flow.Node == nil {
		return ""
	}
	return s.Flow.Node.Key
}

// clone copies what a step may change in place. Raw JSON is never changed in
// place, and Visits is copied where it is written.
func (s State) clone() State {
	if s.Flow.Node != nil {
		node := *s.Flow.Node
		s.Flow.Node = &node
	}
	return s
}

func (f *FlowFrame) visit(key string) int {
	visits := maps.Clone(f.Visits)
	if visits == nil {
		visits = map[string]int{}
	}
	visits[key]++
	f.Visits = visits
	return visits[key]
}
