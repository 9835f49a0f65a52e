package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// Handler executes one job of a service. What it returns becomes the run's
// result, encoded as JSON. Its context ends when nobody waits for the result
// any more: the task was canceled, the attempt timed out, the claim was lost,
// or the worker's drain time is over.
type Handler func(ctx context.Context, job Job) (any, error)

// Job is one execution of a node.
type Job struct {
	// RunID is the same for every delivery of one attempt: the idempotency key
	// for effects outside. "" when the caller gave none.
	RunID   string
	TaskID  string
	Node    string
	Service string
	Attempt int             // from 1: the node's attempt (push), the job's delivery (pull); 0 when not told
	Input   json.RawMessage // never nil; null when the node has no input
	Params  json.RawMessage // never nil; {} when the node has no params

	log   func(line string)
	trace string // that it belongs to, as package tracing writes it
}

// Log writes a line about the execution. A pull worker's lines go to the run's
// log (GET /tasks/logs), within a second or with the answer; lines that cannot
// be delivered are lost, and never fail the job or hold it up. The wire of
// pushed work carries no lines: a push worker's go to its own log, with the run's
// id. It is safe for concurrent use.
func (j Job) Log(line string) {
	if j.log != nil {
		j.log(line)
	}
}

// DecodeInput reads the input into dst. Its error is permanent: the same input
// will not fit at the next attempt either.
func (j Job) DecodeInput(dst any) error { return decode("input", j.Input, dst) }

// DecodeParams reads the params into dst. Its error is permanent.
func (j Job) DecodeParams(dst any) error { return decode("params", j.Params, dst) }

func decode(what string, data json.RawMessage, dst any) error {
	if err := json.Unmarshal(data, dst); err != nil {
		return Permanent(fmt.Errorf("%s: %w", what, err))
	}
	return nil
}

// payload is what a job brings besides its names, in a push request's body as
// in a queued job's input_json.
type payload struct {
	Input  json.RawMessage `json:"input"`
	Params json.RawMessage `json:"params"`
	RunID  string          `json:"run_id"`
}

func (j Job) with(p payload) Job {
	j.Input, j.Params = p.Input, p.Params
	if len(j.Input) == 0 {
		j.Input = json.RawMessage("null")
	}
	if len(j.Params) == 0 || bytes.Equal(j.Params, []byte("null")) {
		j.Params = json.RawMessage("{}")
	}
	if j.RunID == "" {
		j.RunID = p.RunID
	}
	return j
}

// Permanent marks an error that another attempt would meet again: the node's
// retries end at once. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{cause: err}
}

type permanentError struct{ cause error }

func (e *permanentError) Error() string { return e.cause.Error() }
func (e *permanentError) Unwrap() error { return e.cause }

func isPermanent(err error) bool {
	var p *permanentError
	return errors.As(err, &p)
}
