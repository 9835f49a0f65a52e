package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
	"github.com/pocketflowgo/pocketflow/shared/tracing"
)

// answer is how an execution ended, as the wire has it.
type answer struct {
	Result    json.RawMessage `json:"result"`
	Error     string          `json:"error"`
	Retryable *bool           `json:"retryable,omitempty"`
}

func (a answer) failed() bool { return a.Error != "" }

func (a answer) size() int { return len(a.Result) + len(a.Error) }

// maxErrorText bounds an error's text, which is shown to people. The scheduler
// stores less of it.
const maxErrorText = 16 << 10

func failure(err error) answer {
	a := answer{Result: json.RawMessage("null"), Error: errs.Shorten(storable(err.Error()), maxErrorText)}
	if a.Error == "" {
		a.Error = fmt.Sprintf("%T without a text", err) // an empty text would read as success
	}
	if isPermanent(err) {
		no := false
		a.Retryable = &no
	}
	return a
}

// storable replaces what is refused in texts: broken UTF-8, and the NUL, which
// databases do not hold.
func storable(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "�"), "\x00", "�")
}

// Results are bounded where they would be refused further on, so that the flow
// gets a clear message: the scheduler reads 8 MiB from a worker, the
// queue-gateway takes bodies of 4 MiB, of which some are for the envelope.
const (
	maxPushResult = 8<<20 - 64<<10
	maxPullResult = 4<<20 - 64<<10
)

// invoke calls the handler and encodes what it returns.
func (w *Worker) invoke(ctx context.Context, job Job) answer {
	w.load.Add(1)
	defer w.load.Add(-1)

	ctx, span := w.trace(ctx, job)
	defer span.End()
	result, err := w.call(ctx, job)
	if err != nil {
		tracing.Fail(span, "worker_error")
		return failure(err)
	}
	data, err := rawjson.Marshal(result)
	if err != nil {
		return failure(Permanent(fmt.Errorf("encode the result: %w", err)))
	}
	limit := maxPushResult
	if w.cfg.Mode == Pull {
		limit = maxPullResult
	}
	if len(data) > limit {
		return failure(Permanent(fmt.Errorf("the result is %d bytes, at most %d are taken", len(data), limit)))
	}
	return answer{Result: data}
}

func (w *Worker) trace(ctx context.Context, job Job) (context.Context, trace.Span) {
	kind := trace.SpanKindServer
	if w.cfg.Mode == Pull {
		kind = trace.SpanKindConsumer
	}
	of := tracing.Execution{TaskID: job.TaskID, RunID: job.RunID, Node: job.Node, Service: job.Service, Attempt: job.Attempt}
	return of.Start(tracing.Join(ctx, job.trace), w.tracer, "handle", trace.WithSpanKind(kind))
}

func (w *Worker) call(ctx context.Context, job Job) (result any, err error) {
	defer func() {
		if p := recover(); p != nil {
			w.log.Error("handler_panicked", zap.String("handler", job.Service), zap.String("run_id", job.RunID),
				zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
			result, err = nil, fmt.Errorf("panic: %v", p)
		}
	}()
	handler := w.handlers[job.Service]
	if handler == nil {
		return nil, Permanent(errors.New("this worker has no service " + job.Service))
	}
	return handler(ctx, job)
}
