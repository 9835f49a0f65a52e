// Package queue holds the rules of the queue-gateway: who gets a job, when a
// claim ends, what an answer is, and how results reach the scheduler. It knows
// no HTTP but the scheduler's client. The jobs are in the database; what is kept
// here is who waits, and what saves a look at the database: the jobs claimed
// here, and the results accepted here until they are delivered.
package queue

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/parcel"
	"github.com/pocketflowgo/pocketflow/shared/pause"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/tracing"
)

// Limits of what callers ask for.
const (
	MinVisibility = time.Second
	MaxVisibility = 12 * time.Hour
	MaxWait       = time.Minute
	MaxJobs       = 100
	MaxServices   = 100
)

// floor is the longest that a change nobody announced goes unnoticed: a hint
// lost, or made by another replica's clock.
const floor = time.Second

// Scheduler is who gets the results, and what workers tell before.
type Scheduler interface {
	// DeliverResults returns nil once all results, each the JSON of a
	// schedulerapi.JobResult, are durable there; a repeat is harmless.
	DeliverResults(ctx context.Context, results []json.RawMessage) error
	// ReportProgress returns nil once it is durable there.
	ReportProgress(ctx context.Context, runs []schedulerapi.RunProgress) error
}

// Config are the queue's settings.
type Config struct {
	Log           *zap.Logger
	Metrics       *Metrics // nil: nobody looks at them
	MaxDeliveries int
	Visibility    time.Duration // of claims that do not say
	Tracer        trace.Tracer  // nil: nobody traces
	// Alone says that no other process can be delivering: a result that was
	// claimed before the start is left from a crash, and nobody's.
	Alone bool
}

// Queue is the jobs and those who wait for them.
type Queue struct {
	cfg       Config
	log       *zap.Logger
	metrics   *Metrics
	store     storage.Queue
	scheduler Scheduler
	tracer    trace.Tracer

	bell     *bell
	alarm    *alarm // wakes the watch
	claimed  *claimed
	accepted *parcel.Line[outgoing] // results that nobody has tried to deliver
	receipts *parcel.Receipts       // of results; the delivery's own
	died     chan struct{}          // kicks the delivery: a job's death is to be told
	stopping chan struct{}          // closed when Run's context ends
}

// New makes a queue on its database; it starts nothing.
func New(store storage.Queue, scheduler Scheduler, cfg Config) *Queue {
	if cfg.Metrics == nil {
		cfg.Metrics = newMetrics()
	}
	if cfg.Tracer == nil {
		cfg.Tracer = tracing.Tracer(nil, "")
	}
	return &Queue{
		cfg: cfg, log: cfg.Log, metrics: cfg.Metrics, store: store, scheduler: scheduler, tracer: cfg.Tracer,
		bell:     newBell(),
		alarm:    newAlarm(),
		claimed:  newClaimed(),
		accepted: parcel.NewLine(outgoing.size),
		receipts: parcel.NewReceipts(),
		died:     make(chan struct{}, 1),
		stopping: make(chan struct{}),
	}
}

// Run does the background work until ctx ends. It is called once.
func (q *Queue) Run(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { close(q.stopping) })
	defer stop()
	var loops sync.WaitGroup
	loops.Go(func() { q.listen(ctx) })
	loops.Go(func() { q.watch(ctx) })
	loops.Go(func() { q.deliver(ctx) })
	loops.Wait()
}

// listen wakes polls on hints, and subscribes again when the subscription
// breaks; until then the watch finds the jobs.
func (q *Queue) listen(ctx context.Context) {
	retry := newBackoff()
	for {
		err := q.store.Subscribe(ctx, q.hear)
		if ctx.Err() != nil {
			return
		}
		q.log.Warn("subscription_lost", zap.Error(err))
		pause.For(ctx, retry.Next())
	}
}

func (q *Queue) hear(hint storage.JobHint) {
	if hint.ReadyAt.IsZero() {
		q.bell.ring(hint.Service)
	} else {
		q.alarm.sooner(hint.ReadyAt)
	}
}

// kick wakes a loop that has not been kicked since it last looked.
func kick(loop chan<- struct{}) {
	select {
	case loop <- struct{}{}:
	default:
	}
}

// rest waits for d, a kick or the end of ctx, whichever is first.
func rest(ctx context.Context, d time.Duration, kicked <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-kicked:
	}
}
