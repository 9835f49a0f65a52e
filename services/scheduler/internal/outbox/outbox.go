// Package outbox delivers what steps have to say to the queue-gateway: jobs
// to enqueue and jobs to take back. Messages are committed with the step and
// delivered after it, in batches, until acknowledged; ids make a repeat
// harmless. A message is offered to the deliverer by the runner that committed
// it, and found by the scan when that runner died or the gateway was away. A
// job that the queue-gateway refuses for what it is ends its run: repeating it
// would not help, and nobody else would tell the task.
package outbox

import (
	"context"
	"encoding/json"
	"time"

	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/parcel"
	"github.com/pocketflowgo/pocketflow/shared/pause"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

const (
	// batch is the most messages in one delivery.
	batch = 200
	// firstDelivery is how long a message belongs to the runner that committed
	// it, before a scan may take it.
	firstDelivery = 5 * time.Second
	// scanAgain is the pause after a scan that found a full batch: what piled up
	// while the gateway was away leaves as fast as it is taken.
	scanAgain = time.Millisecond
	// scanEvery is the floor under offers.
	scanEvery = time.Second
	// maxPause bounds the pause after failed deliveries.
	maxPause = time.Second
	// lastDelivery bounds what a stop does for messages that it finds under way:
	// little enough for it, and far more than a queue-gateway takes that is there.
	lastDelivery = 2 * time.Second
)

// Queue is where messages go.
type Queue interface {
	// PutEncodedJobs enqueues jobs, each the JSON of a queueapi.NewJob.
	PutEncodedJobs(ctx context.Context, jobs []json.RawMessage) error
	// WithdrawJobs takes jobs back, those that are still to come included: the
	// delivery of a job may fail, and its withdrawal be first.
	WithdrawJobs(ctx context.Context, jobIDs []string) error
}

// Results takes in how jobs ended.
type Results interface {
	// DeliverResults returns nil once all results are durable; a repeat is
	// harmless.
	DeliverResults(ctx context.Context, results []schedulerapi.JobResult) error
}

// Deps are what the deliverer works with.
type Deps struct {
	Store   storage.Tasks
	Queue   Queue
	Results Results // of jobs that the queue refuses
	// Alone says that no other process can be delivering: what is in the outbox
	// at the start is left from a crash, and nobody's.
	Alone   bool
	Log     *zap.Logger
	Metrics *Metrics // nil: nobody looks at them
	Now     func() time.Time
}

// Deliverer delivers. Make it with New, then Run it.
type Deliverer struct {
	Deps
	offered  *parcel.Line[storage.OutboxMessage]
	receipts *parcel.Receipts // Run's own
}

// New makes a deliverer. It starts nothing.
func New(deps Deps) *Deliverer {
	if deps.Metrics == nil {
		deps.Metrics = newMetrics()
	}
	size := func(m storage.OutboxMessage) int { return len(m.Payload) }
	return &Deliverer{Deps: deps, offered: parcel.NewLine(size), receipts: parcel.NewReceipts()}
}

// Offer hands over messages that have just been committed. It never blocks.
func (d *Deliverer) Offer(messages []storage.OutboxMessage) {
	for _, m := range messages {
		if !d.offered.Offer(m) {
			return // the scan finds it
		}
	}
}

// Run delivers until ctx ends, and then what has been offered by then: others
// would wait for firstDelivery to be over. What the queue does not take stays
// in the outbox.
func (d *Deliverer) Run(ctx context.Context) {
	messages := d.run(ctx)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastDelivery)
	defer cancel()
	defer func() { d.writeReceipts(last) }()
	for d.deliver(last, messages) == nil {
		select {
		case first := <-d.offered.First():
			messages = d.offered.Take(last, first, batch)
		default:
			return
		}
	}
}

// run returns what it was about to deliver when ctx ended.
func (d *Deliverer) run(ctx context.Context) (messages []storage.OutboxMessage) {
	ticker := time.NewTicker(scanAgain) // at once: there may be something left
	defer ticker.Stop()
	failures := 0
	started := d.Now()
	for {
		// What could not be delivered is tried again before anything else is
		// looked at: it would wait for the same queue.
		if len(messages) == 0 {
			select {
			case <-ctx.Done():
				return nil
			case <-d.receipts.Due():
				d.writeReceipts(context.WithoutCancel(ctx))
			case first := <-d.offered.First():
				messages = d.offered.Take(ctx, first, batch)
			case <-ticker.C:
				messages = d.scan(ctx, started)
				ticker.Reset(scanEvery)
				if len(messages) == batch {
					ticker.Reset(scanAgain)
				}
			}
		}
		if len(messages) == 0 {
			continue
		}
		if err := d.deliver(ctx, messages); err != nil {
			if ctx.Err() != nil {
				return messages
			}
			d.Metrics.failures.Inc()
			if failures == 0 {
				d.Log.Warn("queue_unreachable", zap.Int("messages", len(messages)), zap.Error(err))
			}
			if !isAway(err) {
				messages = nil // the scan tries them again, and others before that
			}
			failures++
			d.writeReceipts(ctx)
			pause.For(ctx, min(time.Duration(failures)*250*time.Millisecond, maxPause))
			continue
		}
		messages = nil
		if failures > 0 {
			d.Log.Info("queue_reachable")
			failures = 0
		}
	}
}

// scan takes what is due, and what was written before the start when that can
// be nobody else's.
func (d *Deliverer) scan(ctx context.Context, started time.Time) []storage.OutboxMessage {
	now := d.Now()
	if left := started.Add(firstDelivery); d.Alone && left.After(now) {
		now = left
	}
	messages, err := d.Store.ClaimOutbox(ctx, now, now.Add(firstDelivery), batch)
	if err != nil && ctx.Err() == nil {
		d.Log.Error("outbox_scan_failed", zap.Error(err))
	}
	return messages
}
