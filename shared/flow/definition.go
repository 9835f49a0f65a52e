package flow

import (
	"encoding/json"
	"fmt"

	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
)

// Definition is a flow as its author wrote it. The struct is the schema: Parse
// refuses every field that has no place here, at any depth. A field that is
// null counts as absent.
type Definition struct {
	Start     string          `json:"start"`
	Nodes     map[string]Node `json:"nodes"`
	Edges     []Edge          `json:"edges,omitempty"`
	TimeoutMS int64           `json:"timeout_ms,omitempty"` // of the whole task; 0: the scheduler's default
	MaxSteps  int             `json:"max_steps,omitempty"`  // 0: the scheduler's default
}

// Edge leads from a node to the next when the node ends with the action.
type Edge struct {
	From   string `json:"from"`
	Action string `json:"action,omitempty"` // "" is "default"
	To     string `json:"to"`               // "" ends the flow
}

// Node is one step of a flow. The embedded ExecSpec is what it executes; its
// prep, post, retries and time-out serve nodes of every kind.
type Node struct {
	Kind Kind `json:"kind"`
	ExecSpec

	// choice
	ChoiceCases   []ChoiceCase `json:"choice_cases,omitempty"`
	DefaultAction string       `json:"default_action,omitempty"`
	ChoiceKey     string       `json:"choice_key,omitempty"` // old spelling of post.action_key

	// parallel and foreach
	ParallelExecs    []ExecSpec      `json:"parallel_execs,omitempty"`
	ParallelServices []string        `json:"parallel_services,omitempty"`
	Services         json.RawMessage `json:"services,omitempty"` // setting: array of strings
	ForeachExecs     []ForeachExec   `json:"foreach_execs,omitempty"`
	ParallelMode     ParallelMode    `json:"parallel_mode,omitempty"`
	MaxParallel      int             `json:"max_parallel,omitempty"` // 0: no bound of its own
	FailureStrategy  FailureStrategy `json:"failure_strategy,omitempty"`

	// subflow
	Subflow      *Definition   `json:"subflow,omitempty"`
	Flow         *Ref          `json:"flow,omitempty"`
	SubflowExecs []SubflowExec `json:"subflow_execs,omitempty"`

	// timer, wait_event, approval. Each is a setting: a literal or a
	// reference, here or under the same name in params.
	DelayMS     json.RawMessage `json:"delay_ms,omitempty"`
	Until       json.RawMessage `json:"until,omitempty"` // RFC 3339 or unix milliseconds
	SignalKey   json.RawMessage `json:"signal_key,omitempty"`
	ApprovalKey json.RawMessage `json:"approval_key,omitempty"`
}

// ExecSpec is one execution: where it goes, what it is given, what becomes of
// its result, and how often it is tried. Pointers tell an explicit zero from
// what is inherited from the enclosing node.
type ExecSpec struct {
	ExecType ExecType `json:"exec_type,omitempty"` // "" is http
	Service  string   `json:"service,omitempty"`   // http, queue
	Func     string   `json:"func,omitempty"`      // local_func
	Script   *Script  `json:"script,omitempty"`    // local_script

	Params json.RawMessage `json:"params,omitempty"` // an object; strings in it may be references
	Prep   *Prep           `json:"prep,omitempty"`
	Post   *Post           `json:"post,omitempty"`

	MaxRetries *int            `json:"max_retries,omitempty"`
	WaitMS     *int64          `json:"wait_ms,omitempty"`
	Backoff    *Backoff        `json:"backoff,omitempty"`
	TimeoutMS  json.RawMessage `json:"timeout_ms,omitempty"` // setting: milliseconds of one attempt

	WeightedByLoad *bool  `json:"weighted_by_load,omitempty"`
	MaxAttempts    *int   `json:"max_attempts,omitempty"` // workers tried within one attempt; 0: all
	AttemptDelayMS *int64 `json:"attempt_delay_ms,omitempty"`
}

// Script is a command for exec_type local_script.
type Script struct {
	Cmd        string            `json:"cmd,omitempty"`
	Args       []string          `json:"args,omitempty"`
	Code       string            `json:"code,omitempty"`
	Language   string            `json:"language,omitempty"`
	TimeoutMS  int64             `json:"timeout_ms,omitempty"`
	Env        map[string]string `json:"env,omitempty"`
	WorkDir    string            `json:"work_dir,omitempty"`
	StdinMode  StdinMode         `json:"stdin_mode,omitempty"`
	OutputMode OutputMode        `json:"output_mode,omitempty"`
}

// Prep makes a node's input.
type Prep struct {
	InputKey string                     `json:"input_key,omitempty"`
	InputMap map[string]json.RawMessage `json:"input_map,omitempty"`
}

// Post says what a result writes to the shared state and which action it
// selects.
type Post struct {
	OutputMap    map[string]string `json:"output_map,omitempty"`
	OutputKey    string            `json:"output_key,omitempty"`
	ActionStatic string            `json:"action_static,omitempty"`
	ActionKey    string            `json:"action_key,omitempty"`
}

// Backoff lengthens the wait between attempts.
type Backoff struct {
	Factor float64 `json:"factor,omitempty"` // each wait is the one before times factor; 0 is 1
	MaxMS  int64   `json:"max_ms,omitempty"` // 0: no bound of its own
	Jitter float64 `json:"jitter,omitempty"` // 0 to 1: the part of each wait that chance may take off
}

// ChoiceCase selects Action when Expr is true.
type ChoiceCase struct {
	Action string          `json:"action"`
	Expr   json.RawMessage `json:"expr"`
}

// ForeachExec is what the item of that index (from 0) executes instead.
type ForeachExec struct {
	Index int `json:"index"`
	ExecSpec
}

// SubflowExec overrides what a node of the subflow executes.
type SubflowExec struct {
	Node string `json:"node"`
	ExecSpec
}

// Ref names a published flow; version 0 is the newest when the node starts.
type Ref struct {
	Name    string `json:"name,omitempty"`
	ID      string `json:"id,omitempty"`
	Version int    `json:"version,omitempty"`
}

// JSON is the canonical text of the definition, the form that is stored:
// compact, fields in the order of the schema, map keys sorted, the author's
// own values with their numbers and key order as written.
func (d *Definition) JSON() (json.RawMessage, error) {
	text, err := rawjson.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("encode flow definition: %w", err)
	}
	return text, nil
}
