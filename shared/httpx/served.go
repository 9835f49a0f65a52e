package httpx

import (
	"context"
	"errors"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/pocketflowgo/pocketflow/shared/ids"
	"github.com/pocketflowgo/pocketflow/shared/tracing"
)

// served is one path of a router: it gives each request what every request
// gets.
type served struct {
	Deps
	tracer   trace.Tracer // nil: nobody traces
	path     string       // the template as it is served, "" for paths that no route has
	label    string       // the route's own template, whatever alias it was called by
	internal bool
	quiet    bool
	methods  methods

	background bool // begins no trace
}

func (s *served) handler(h HandlerFunc) http.Handler {
	counted := s.Metrics.of(s.label)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		id := requestID(r)
		rec := &recorder{ResponseWriter: w}
		rec.Header().Set(HeaderRequestID, id)
		ctx, span := s.trace(tracing.Receive(withRequestID(r.Context(), id), r.Header), r.Method)
		r = r.WithContext(ctx)

		counted.begin()
		defer func() { counted.end(r.Method, rec.status, time.Since(start)) }()
		defer func() { endSpan(span, rec) }()
		err := call(rec, r, h)
		if err != nil {
			if !rec.wrote() {
				WriteProblem(rec, r, err)
			}
			if !left(r) && !s.quiet && !errors.Is(err, ErrCallerGone) {
				logFailure(s.Log, id, err)
			}
		}
		if ce := s.Log.Check(s.level(r, rec.status), "request"); ce != nil {
			ce.Write(s.line(r, rec, time.Since(start))...)
		}
	})
}

// trace begins the span of a request. What machines ask all the time has one
// only within a trace that it came with, and begins none.
func (s *served) trace(ctx context.Context, method string) (context.Context, trace.Span) {
	if s.tracer == nil || (s.quiet || s.internal || s.background) && !trace.SpanContextFromContext(ctx).IsValid() {
		return ctx, nil
	}
	method = methodLabel(method)
	return s.tracer.Start(ctx, method+" "+s.label, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		attribute.String("http.request.method", method), attribute.String("http.route", s.label)))
}

func endSpan(span trace.Span, rec *recorder) {
	if span == nil {
		return
	}
	status := rec.status
	if status == 0 {
		status = http.StatusOK // net/http answers for a handler that wrote nothing
	}
	span.SetAttributes(attribute.Int("http.response.status_code", status))
	if task := rec.Header().Get(HeaderTask); task != "" {
		span.SetAttributes(tracing.TaskID.String(task))
	}
	if status >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, "")
	}
	span.End()
}

// Quiet gives a handler beside a router what a route gets, but is silent about
// it up to debug, and does not count: for what machines ask every few seconds.
// A request that is answered with "unavailable" has not failed.
func Quiet(log *zap.Logger, path string, h HandlerFunc) http.Handler {
	s := &served{Deps: Deps{Log: log}, path: path, quiet: true}
	return s.handler(h)
}

// level is how much a request is worth telling. What services ask each other
// comes many times for each request from outside, which has its own line, with
// the same request id, where it came in.
func (s *served) level(r *http.Request, status int) zapcore.Level {
	switch {
	case s.quiet:
		return zap.DebugLevel
	case status >= http.StatusInternalServerError && !left(r):
		return zap.WarnLevel
	case s.internal || withinProcess(r.Context()):
		return zap.DebugLevel
	default:
		return zap.InfoLevel
	}
}

// line is what the log tells of a request: the template and never the path, the
// query or a body, which may hold what is nobody's business.
func (s *served) line(r *http.Request, rec *recorder, took time.Duration) []zap.Field {
	fields := append(make([]zap.Field, 0, 8),
		zap.String("request_id", RequestID(r.Context())),
		zap.String("method", methodLabel(r.Method)),
		zap.String("route", s.path),
		zap.Int("status", rec.status),
		zap.Int64("bytes", rec.bytes),
		zap.Duration("took", took),
	)
	if task := rec.Header().Get(HeaderTask); task != "" {
		fields = append(fields, zap.String("task_id", task))
	}
	if id := tracing.ID(r.Context()); id != "" {
		fields = append(fields, zap.String("trace_id", id))
	}
	return fields
}

// NameTask tells the caller, and the log of every service that the answer
// passes, which task the request is about. A text that is no task's id is not
// told: it is the caller's, and may be anything.
func NameTask(w http.ResponseWriter, taskID string) {
	if ids.Valid(ids.Task, taskID) {
		w.Header().Set(HeaderTask, taskID)
	}
}

// recorder remembers what was answered. Unwrap lets http.ResponseController
// reach the connection, so flushes stream.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) wrote() bool { return r.status != 0 }

func (r *recorder) WriteHeader(status int) {
	informs := status < http.StatusOK && status != http.StatusSwitchingProtocols // and another one follows
	if r.status == 0 && !informs {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	return n, err
}
