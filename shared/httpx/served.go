package httpx

import (
	"net/http"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/pocketflowgo/pocketflow/shared/ids"
)

// served is one path of a router: it gives each request what every request
// gets.
type served struct {
	Deps
	path     string // the template as it is served, "" for paths that no route has
	label    string // the route's own template, whatever alias it was called by
	internal bool
	quiet    bool
	methods  methods
}

func (s *served) handler(h HandlerFunc) http.Handler {
	counted := s.Metrics.of(s.label)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		id := requestID(r)
		rec := &recorder{ResponseWriter: w}
		rec.Header().Set(HeaderRequestID, id)
		r = r.WithContext(withRequestID(r.Context(), id))

		counted.begin()
		defer func() { counted.end(r.Method, rec.status, time.Since(start)) }()
		err := call(rec, r, h)
		if err != nil {
			if !rec.wrote() {
				WriteProblem(rec, r, err)
			}
			if !left(r) && !s.quiet {
				logFailure(s.Log, id, err)
			}
		}
		if ce := s.Log.Check(s.level(r, rec.status), "request"); ce != nil {
			ce.Write(s.line(r, rec, time.Since(start))...)
		}
	})
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
	if r.status == 0 {
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
