package runner

import (
	"cmp"
	"context"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/tracing"
)

// taskTrace is the trace of a task, and what is told of the task in it.
type taskTrace struct {
	text    string // as tracing.Text
	flow    string
	created time.Time
}

// traceOf is the trace of who created the task, or else one that nobody records:
// all its executions belong together in any case.
func traceOf(task storage.Task) taskTrace {
	return taskTrace{text: cmp.Or(task.Trace, tracing.Of(task.ID)), flow: task.FlowName, created: task.CreatedAt}
}

// traceEnd adds the span of the whole task to its trace, once it has ended: no
// process has to live as long as a task for that.
func (d *drive) traceEnd(record *storage.TaskStep) {
	if !record.Status.Terminal() {
		return
	}
	ctx := tracing.Join(context.Background(), d.trace.text)
	_, span := d.r.Tracer.Start(ctx, "task", trace.WithTimestamp(d.trace.created), trace.WithAttributes(
		tracing.TaskID.String(d.lease.TaskID), tracing.Flow.String(d.trace.flow), tracing.Status.String(string(record.Status))))
	if record.Status == storage.TaskFailed {
		span.SetStatus(codes.Error, "")
	}
	span.End(trace.WithTimestamp(record.FinishedAt))
}
