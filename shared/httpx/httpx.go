// Package httpx is the HTTP that all services share: routes served bare and
// under /api, requests read leniently (any letter case, both spellings) with
// every fault named, errors as problem+json with stable codes, one log line
// per request, and the client that turns all of that back into Go errors.
//
// Handlers decode, call one method, encode. They return an error and never
// write one themselves.
package httpx

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/shared/errs"
)

// HandlerFunc is a handler that returns its error instead of writing it.
type HandlerFunc func(w http.ResponseWriter, r *http.Request) error

// Header names that services and workers agree on.
const (
	HeaderRequestID      = "X-Request-Id"
	HeaderIdempotencyKey = "Idempotency-Key"
	HeaderTask           = "X-PocketFlow-Task"
	HeaderNode           = "X-PocketFlow-Node"
	HeaderAttempt        = "X-PocketFlow-Attempt"
)

// The most bytes that a request body may have; more is a 413. Services hand on
// among themselves what the public routes took: encoding/json writes some
// characters with six bytes that came as one, and an envelope is added, so
// internal routes take whatever a public one did.
const (
	MaxBody         = 4 << 20
	MaxInternalBody = 32 << 20
)

// ErrCallerGone is what WriteJSON returns when the answer could not be written:
// there is nobody to tell.
var ErrCallerGone = errors.New("the caller has gone")

// WriteJSON answers with a status and a JSON body.
func WriteJSON(w http.ResponseWriter, status int, body any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return errs.Wrap(err, errs.Internal, "the answer could not be encoded")
	}
	data = append(data, '\n')
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	if _, err := w.Write(data); err != nil {
		return fmt.Errorf("%w: %w", ErrCallerGone, err)
	}
	return nil
}

// Problem is the body of every error answer: RFC 9457 with the code, every
// fault, and error = detail for clients that predate it.
type Problem struct {
	Type      string       `json:"type"`
	Title     string       `json:"title"`
	Status    int          `json:"status"`
	Detail    string       `json:"detail"`
	Code      errs.Code    `json:"code"`
	Error     string       `json:"error"`
	RequestID string       `json:"request_id,omitempty"`
	Faults    []errs.Fault `json:"errors,omitempty"`
}

// WriteProblem answers with err as problem+json. What is not an errs.Error is
// answered as internal without its text, which is for the log alone.
func WriteProblem(w http.ResponseWriter, r *http.Request, err error) {
	e := asError(r, err)
	status := e.Code.Status()
	data, merr := json.Marshal(Problem{
		Type:      "about:blank",
		Title:     http.StatusText(status),
		Status:    status,
		Detail:    e.Detail,
		Code:      e.Code,
		Error:     e.Detail,
		RequestID: w.Header().Get(HeaderRequestID),
		Faults:    e.Faults,
	})
	if merr != nil {
		data = []byte(`{"status":500,"code":"internal"}`)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n'))
}

func asError(r *http.Request, err error) *errs.Error {
	var e *errs.Error
	if errors.As(err, &e) {
		return e
	}
	var tooBig *http.MaxBytesError
	switch {
	case errors.As(err, &tooBig):
		return errs.Wrap(err, errs.BodyTooLarge, "the body is over %d bytes", tooBig.Limit)
	case r.Context().Err() != nil:
		return errs.Wrap(err, errs.Unavailable, "the request ended before the answer was ready")
	default:
		return errs.Wrap(err, errs.Internal, "something went wrong on the server; the log has it under the request id")
	}
}

// logFailure logs an error where it stops. The caller's own mistakes are told
// to the caller; the log has their code on the request line already.
func logFailure(log *zap.Logger, requestID string, err error) {
	code := errs.CodeOf(err)
	if code.Status() < http.StatusInternalServerError || code == errs.NoWorker {
		return
	}
	log.Error("request_failed", zap.String("request_id", requestID), zap.Error(err))
}
