// Package errs holds the errors that people and programs outside a service
// see: a stable code, a sentence, and the list of faults when the input had
// more than one. The cause stays inside and is for the log alone.
//
// It owns the one table that maps a code to an HTTP status; a server encodes
// with it and a typed client decodes with it, so an error keeps its code
// across any number of hops.
package errs

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Code names a kind of error for programs. Codes are part of the API: they are
// snake_case and never change meaning.
type Code string

// The codes that any route may answer with.
const (
	InvalidArgument  Code = "invalid_argument"   // a field is missing, malformed or out of range
	MalformedBody    Code = "malformed_body"     // the body is not the JSON that the route reads
	UnknownField     Code = "unknown_field"      // under Prefer: handling=strict
	InvalidFlow      Code = "invalid_definition" // a flow definition has faults, each listed
	NotFound         Code = "not_found"
	MethodNotAllowed Code = "method_not_allowed"
	AlreadyExists    Code = "already_exists" // the unique thing is there already
	RequestIDReused  Code = "request_id_reused"
	NotPublished     Code = "not_published"    // a draft version cannot start tasks
	LeaseHeld        Code = "lease_held"       // another scheduler is executing the task
	TaskEnded        Code = "task_ended"       // the task is in a terminal state
	ClaimLost        Code = "claim_lost"       // the job's claim expired or belongs to another
	NotDead          Code = "not_dead"         // the job waits, is worked on or has ended; only dead ones are requeued and discarded
	ApprovalClosed   Code = "approval_closed"  // the task does not wait for this decision, or not any more
	ApprovalChanged  Code = "approval_changed" // the task waits for a decision on something else than was shown
	BodyTooLarge     Code = "body_too_large"
	Internal         Code = "internal"
	NoWorker         Code = "no_worker"   // no online worker offers the service
	Unavailable      Code = "unavailable" // a database or peer cannot be reached now
	DeadlineExceeded Code = "deadline_exceeded"
)

var statusOf = map[Code]int{
	InvalidArgument:  http.StatusBadRequest,
	MalformedBody:    http.StatusBadRequest,
	UnknownField:     http.StatusBadRequest,
	InvalidFlow:      http.StatusUnprocessableEntity,
	NotFound:         http.StatusNotFound,
	MethodNotAllowed: http.StatusMethodNotAllowed,
	AlreadyExists:    http.StatusConflict,
	RequestIDReused:  http.StatusConflict,
	NotPublished:     http.StatusConflict,
	LeaseHeld:        http.StatusConflict,
	TaskEnded:        http.StatusConflict,
	ClaimLost:        http.StatusConflict,
	NotDead:          http.StatusConflict,
	ApprovalClosed:   http.StatusConflict,
	ApprovalChanged:  http.StatusConflict,
	BodyTooLarge:     http.StatusRequestEntityTooLarge,
	Internal:         http.StatusInternalServerError,
	NoWorker:         http.StatusServiceUnavailable,
	Unavailable:      http.StatusServiceUnavailable,
	DeadlineExceeded: http.StatusGatewayTimeout,
}

// Status is the HTTP status that carries the code; 500 for a code this binary
// does not know.
func (c Code) Status() int {
	if s, ok := statusOf[c]; ok {
		return s
	}
	return http.StatusInternalServerError
}

// Codes lists every code with its HTTP status, for the API reference and the
// contract tests.
func Codes() map[Code]int {
	out := make(map[Code]int, len(statusOf))
	for c, s := range statusOf {
		out[c] = s
	}
	return out
}

// Fault is one thing wrong with an input. Path points into the input
// ("nodes.B.kind", "page_size"); it is empty when the whole input is meant.
type Fault struct {
	Path    string `json:"path"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Faults gathers what is wrong with an input, so that its sender hears of
// everything at once. The zero value has found nothing.
type Faults []Fault

// Add notes that what is at the path is missing, malformed or out of range.
func (f *Faults) Add(path, format string, args ...any) {
	*f = append(*f, Fault{Path: path, Code: string(InvalidArgument), Message: fmt.Sprintf(format, args...)})
}

// Err is nil, or one invalid_argument with every fault.
func (f Faults) Err() error { return Invalid(InvalidArgument, f) }

// Shorten cuts a text to so many bytes, at a whole character, and shows that by
// an ellipsis behind them.
func Shorten(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// Error is an error for people outside.
type Error struct {
	Code   Code
	Detail string  // one sentence, safe to show
	Faults []Fault // every fault found, when there are several
	cause  error
}

// New makes an error from a code and a sentence.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// Wrap is New with the cause kept for the log and for errors.Is.
func Wrap(cause error, code Code, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...), cause: cause}
}

// Invalid makes an error of the given code out of faults; nil when there are
// none, so a validator can end with it. The detail is the first fault and the
// number of the others.
func Invalid(code Code, faults []Fault) error {
	if len(faults) == 0 {
		return nil
	}
	first := faults[0].Message
	if faults[0].Path != "" {
		first = faults[0].Path + ": " + first
	}
	if n := len(faults) - 1; n > 0 {
		first = fmt.Sprintf("%s (and %d more)", first, n)
	}
	return &Error{Code: code, Detail: first, Faults: faults}
}

// Error is the code, the sentence and the cause: the text for logs. Answers
// carry Detail alone.
func (e *Error) Error() string {
	if e.cause != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Detail, e.cause)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Detail)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.cause }

// DetailOf is the sentence of the first Error in err's chain, and err's own text
// when there is none.
func DetailOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Detail
	}
	return err.Error()
}

// CodeOf is the code of the first Error in err's chain; Internal when there is
// none, "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Internal
}
