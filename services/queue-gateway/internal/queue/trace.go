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
	if job.Trace == "" || job.StartedAt.IsZero() {
		return
	}
	ctx := tracing.Join(context.Background(), job.Trace)
	of := tracing.Execution{TaskID: job.TaskID, RunID: job.RunID, Node: job.Path, Service: job.Service, Attempt: job.Attempt}
	ready := job.CreatedAt
	if job.AvailableAt.After(ready) {
		ready = job.AvailableAt
	}
	if job.StartedAt.After(ready) {
		_, waited := of.Start(ctx, q.tracer, "wait for a worker", trace.WithSpanKind(trace.SpanKindProducer), trace.WithTimestamp(ready))
		waited.End(trace.WithTimestamp(job.StartedAt))
	}
	_, executed := of.Start(ctx, q.tracer, "execute", trace.WithSpanKind(trace.SpanKindConsumer), trace.WithTimestamp(job.StartedAt))
	if a.Error != "" {
		tracing.Fail(executed, CodeWorkerError)
	}
	executed.End(trace.WithTimestamp(at))
}
