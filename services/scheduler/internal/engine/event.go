package engine

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Event is one thing that happened to a task. The field of its kind is set
// where the kind has one.
type Event struct {
	Kind     storage.EventKind
	At       time.Time
	Limits   *Limits       // started; nil: those of the program
	Result   *RunResult    // run_finished
	Resolved *FlowResolved // flow_resolved
	Signal   *Signal       // signal
}

// RunResult is how an execution ended.
type RunResult struct {
	RunID     string          `json:"run_id"`
	Result    json.RawMessage `json:"result,omitempty"` // nil counts as null
	Error     *RunError       `json:"error,omitempty"`  // nil: it succeeded
	WorkerID  string          `json:"worker_id,omitempty"`
	WorkerURL string          `json:"worker_url,omitempty"`
	LogPath   string          `json:"log_path,omitempty"`
}

// MaxMessage bounds a worker's error text, in bytes, which people read in the
// task's record.
const MaxMessage = 4 << 10

// RunError is why an execution failed. CodeTimeout marks a time-out.
type RunError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Final   bool   `json:"final,omitempty"` // no further attempt, whatever max_retries says
}

// FlowResolved is the answer to a Resolve: the version to execute, or why there
// is none.
type FlowResolved struct {
	RunID     string    `json:"run_id"`
	VersionID string    `json:"version_id,omitempty"`
	Error     *RunError `json:"error,omitempty"`
}

// Signal is a value handed in from outside.
type Signal struct {
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value"`
	// RunID makes it a decision for that run alone: when the run does not wait
	// any more, it has no effect.
	RunID     string `json:"run_id,omitempty"`
	DecidedBy string `json:"decided_by,omitempty"`
	Comment   string `json:"comment,omitempty"`
}

// Data is the event's own part as the event log keeps it.
func (e *Event) Data() (json.RawMessage, error) {
	var body any = struct{}{}
	switch {
	case e.Limits != nil:
		body = e.Limits
	case e.Result != nil:
		body = e.Result
	case e.Resolved != nil:
		body = e.Resolved
	case e.Signal != nil:
		body = e.Signal
	}
	data, err := rawjson.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("encode %s event: %w", e.Kind, err)
	}
	return data, nil
}

// ReadEvent reads an event back from the log.
func ReadEvent(logged storage.TaskEvent) (Event, error) {
	e := Event{Kind: logged.Kind, At: logged.At}
	var body any
	switch logged.Kind {
	case storage.EventStarted:
		e.Limits = new(Limits)
		body = e.Limits
	case storage.EventRunFinished:
		e.Result = new(RunResult)
		body = e.Result
	case storage.EventFlowResolved:
		e.Resolved = new(FlowResolved)
		body = e.Resolved
	case storage.EventSignal:
		e.Signal = new(Signal)
		body = e.Signal
	case storage.EventTimerFired, storage.EventCancel:
		return e, nil
	default:
		return Event{}, fmt.Errorf("event %s of %s has the unknown kind %q", logged.SourceID, logged.TaskID, logged.Kind)
	}
	if err := json.Unmarshal(logged.Data, body); err != nil {
		return Event{}, fmt.Errorf("decode %s event %s of %s: %w", logged.Kind, logged.SourceID, logged.TaskID, err)
	}
	if e.Limits != nil && *e.Limits == (Limits{}) {
		e.Limits = nil
	}
	return e, nil
}
