// Package tracing hands a trace on, as W3C Trace Context writes it: from request
// to request in the header traceparent, and through databases as the same text.
// The trace of whoever creates a task is the task's: its executions belong to it,
// whichever process carries them out, and whenever.
//
// A trace is handed on whether this process exports spans or not. Exporting is
// package obs's affair.
package tracing

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Header carries a trace in requests.
const Header = "Traceparent"

// The attributes that spans of the suite have besides the conventional ones.
const (
	TaskID  = attribute.Key("pocketflow.task.id")
	RunID   = attribute.Key("pocketflow.run.id")
	Node    = attribute.Key("pocketflow.node") // its path
	Attempt = attribute.Key("pocketflow.attempt")
	Service = attribute.Key("pocketflow.service") // of workers
	Flow    = attribute.Key("pocketflow.flow.name")
	Status  = attribute.Key("pocketflow.task.status")
	Code    = attribute.Key("pocketflow.error.code")
)

const module = "github.com/pocketflowgo/pocketflow/"

// Tracer is the tracer of a part of the suite, "services/scheduler" say; without
// a provider one that records nothing.
func Tracer(provider trace.TracerProvider, part string) trace.Tracer {
	if provider == nil {
		provider = noop.NewTracerProvider()
	}
	return provider.Tracer(module + part)
}

var format propagation.TraceContext

// one is a carrier of traceparent alone: whatever else a vendor keeps in
// tracestate would have to be stored with every task.
type one struct{ text string }

func (c *one) Get(key string) string {
	if key == "traceparent" {
		return c.text
	}
	return ""
}

func (c *one) Set(key, value string) {
	if key == "traceparent" {
		c.text = value
	}
}

func (c *one) Keys() []string { return []string{"traceparent"} }

// Text is the trace that ctx belongs to; "" when there is none.
func Text(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return ""
	}
	var c one
	format.Inject(ctx, &c)
	return c.text
}

// Of is a trace for what came without one, the same for the same id. It asks
// nobody to record it.
func Of(id string) string {
	hash := sha256.Sum256([]byte(id))
	return fmt.Sprintf("00-%x-%x-00", hash[:16], hash[16:24])
}

// Join makes ctx belong to a trace that came as text. A text that is none
// changes nothing.
func Join(ctx context.Context, text string) context.Context {
	if text == "" {
		return ctx
	}
	return format.Extract(ctx, &one{text})
}

// Receive makes ctx belong to the trace of a request.
func Receive(ctx context.Context, header http.Header) context.Context {
	return Join(ctx, header.Get(Header))
}

// Send gives the trace of ctx to a request, in place of any that it had.
func Send(ctx context.Context, header http.Header) {
	if text := Text(ctx); text != "" {
		header[Header] = []string{text}
	}
}

// ID is the id of the trace that ctx belongs to, in hex; "" when there is none.
func ID(ctx context.Context) string {
	if id := trace.SpanContextFromContext(ctx).TraceID(); id.IsValid() {
		return id.String()
	}
	return ""
}

// Execution is what the spans of an execution tell of it.
type Execution struct {
	TaskID, RunID string
	Node          string // its path
	Service       string // of workers
	Attempt       int
}

// Start begins a span of the execution. Where nobody records it, nothing is made
// for it.
func (x Execution) Start(ctx context.Context, tracer trace.Tracer, name string, options ...trace.SpanStartOption) (context.Context, trace.Span) {
	ctx, span := tracer.Start(ctx, name, options...)
	if span.IsRecording() {
		span.SetAttributes(TaskID.String(x.TaskID), RunID.String(x.RunID), Node.String(x.Node), Service.String(x.Service), Attempt.Int(x.Attempt))
	}
	return ctx, span
}

// Fail marks a span as failed, with the stable code of the error and no word of
// its text, which may hold what is nobody's business.
func Fail(span trace.Span, code string) {
	span.SetStatus(codes.Error, code)
	span.SetAttributes(Code.String(code))
}
