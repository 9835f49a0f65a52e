package queue

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/tracing"
)

// traceAnswer tells the trace of a job what has become of it: how long it waited
// for a worker, and how long the one that answered had it. Both are told at the
// end, so that no process has to live as long as a job.
func (q *Queue) traceAnswer(job storage.Job, a Answer, at time.Time) {
	if job.Trace == "" || job.StartedAt.IsZero() || !job.FinishedAt.IsZero() { // the last is a repeat
		return
	}
	ctx := tracing.Join(context.Background(), job.Trace)
	of := trace.WithAttributes(
		tracing.TaskID.String(job.TaskID), tracing.RunID.String(job.RunID), tracing.Node.String(job.Path),
		tracing.Service.String(job.Service), tracing.Attempt.Int(job.Attempt))
	ready := job.CreatedAt
	if job.AvailableAt.After(ready) {
		ready = job.AvailableAt
	}
	if job.StartedAt.After(ready) {
		_, waited := q.tracer.Start(ctx, "wait for a worker", of, trace.WithSpanKind(trace.SpanKindProducer), trace.WithTimestamp(ready))
		waited.End(trace.WithTimestamp(job.StartedAt))
	}
	_, executed := q.tracer.Start(ctx, "execute", of, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithTimestamp(job.StartedAt))
	if a.Error != "" {
		tracing.Fail(executed, CodeWorkerError)
	}
	executed.End(trace.WithTimestamp(at))
}
