// Package outbox delivers what steps have to say to the queue-gateway: jobs
// to enqueue and jobs to take back. Messages are committed with the step and
// delivered after it, in batches, until acknowledged; ids make a repeat
// harmless. A message is offered to the deliverer by the runner that committed
// it, and found by the scan when that runner died or the gateway was away.
package outbox

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/ids"
	"github.com/pocketflowgo/pocketflow/shared/pause"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

const (
	// batch is the most messages in one delivery.
	batch = 200
	// offers is how many messages may wait for their first delivery; more are
	// left to the scan.
	offers = 4096
	// firstDelivery is how long a message belongs to the runner that committed
	// it, before a scan may take it.
	firstDelivery = 5 * time.Second
	// scanEvery is the floor under offers.
	scanEvery = time.Second
	// deliverTimeout bounds one delivery.
	deliverTimeout = 10 * time.Second
	// maxPause bounds the pause after failed deliveries.
	maxPause = 5 * time.Second
)

// JobID is the id of a run's job: the same for every delivery, and readable as
// the run's.
func JobID(runID string) string {
	return string(ids.Job) + "-" + strings.TrimPrefix(runID, string(ids.Run)+"-")
}

// PutJob is the message that enqueues an execution.
func PutJob(taskID string, x engine.Execution, at time.Time) (storage.OutboxMessage, error) {
	input, err := json.Marshal(map[string]any{"input": x.Input, "params": x.Params, "run_id": x.RunID})
	if err != nil {
		return storage.OutboxMessage{}, fmt.Errorf("encode job input: %w", err)
	}
	payload, err := json.Marshal(queueapi.NewJob{
		ID: JobID(x.RunID), TaskID: taskID, RunID: x.RunID,
		NodeKey: x.NodeKey, Path: x.Path, Visit: x.Visit, Attempt: x.Attempt,
		Service: x.Exec.Service, Input: input, Priority: flow.Priority(x.Params),
	})
	if err != nil {
		return storage.OutboxMessage{}, fmt.Errorf("encode job: %w", err)
	}
	return message(taskID, storage.OutboxPutJob, payload, at), nil
}

// Withdraw is the message that takes a run's job back.
func Withdraw(taskID, runID string, at time.Time) storage.OutboxMessage {
	// A string always encodes.
	payload, _ := json.Marshal(JobID(runID))
	return message(taskID, storage.OutboxWithdrawJob, payload, at)
}

func message(taskID string, kind storage.OutboxKind, payload json.RawMessage, at time.Time) storage.OutboxMessage {
	return storage.OutboxMessage{
		ID: ids.New(ids.Message), TaskID: taskID, Kind: kind, Payload: payload, NextAt: at.Add(firstDelivery),
	}
}

// Queue is where messages go.
type Queue interface {
	PutJobs(ctx context.Context, jobs []queueapi.NewJob) error
	WithdrawJobs(ctx context.Context, jobIDs []string) error
}

// Deps are what the deliverer works with.
type Deps struct {
	Store storage.Tasks
	Queue Queue
	Log   *zap.Logger
	Now   func() time.Time
}

// Deliverer delivers. Make it with New, then Run it.
type Deliverer struct {
	Deps
	offered chan storage.OutboxMessage
}

// New makes a deliverer. It starts nothing.
func New(deps Deps) *Deliverer {
	return &Deliverer{Deps: deps, offered: make(chan storage.OutboxMessage, offers)}
}

// Offer hands over messages that have just been committed. It never blocks.
func (d *Deliverer) Offer(messages []storage.OutboxMessage) {
	for _, m := range messages {
		select {
		case d.offered <- m:
		default:
			return // the scan finds it
		}
	}
}

// Run delivers until ctx ends. What is left then stays in the outbox.
func (d *Deliverer) Run(ctx context.Context) {
	ticker := time.NewTicker(scanEvery)
	defer ticker.Stop()
	failures := 0
	for {
		var messages []storage.OutboxMessage
		select {
		case <-ctx.Done():
			return
		case first := <-d.offered:
			messages = d.more(first)
		case <-ticker.C:
			messages = d.scan(ctx)
		}
		if len(messages) == 0 {
			continue
		}
		if err := d.deliver(ctx, messages); err != nil {
			if ctx.Err() == nil && failures == 0 {
				d.Log.Warn("queue_unreachable", zap.Int("messages", len(messages)), zap.Error(err))
			}
			failures++
			pause.For(ctx, min(time.Duration(failures)*250*time.Millisecond, maxPause))
			continue
		}
		if failures > 0 {
			d.Log.Info("queue_reachable")
			failures = 0
		}
	}
}

// more adds to the first message those that wait behind it.
func (d *Deliverer) more(first storage.OutboxMessage) []storage.OutboxMessage {
	messages := []storage.OutboxMessage{first}
	for len(messages) < batch {
		select {
		case m := <-d.offered:
			messages = append(messages, m)
		default:
			return messages
		}
	}
	return messages
}

func (d *Deliverer) scan(ctx context.Context) []storage.OutboxMessage {
	now := d.Now()
	messages, err := d.Store.ClaimOutbox(ctx, now, now.Add(firstDelivery), batch)
	if err != nil && ctx.Err() == nil {
		d.Log.Error("outbox_scan_failed", zap.Error(err))
	}
	return messages
}

// deliver hands a batch over and acknowledges it. Jobs go before withdrawals,
// so that one that is withdrawn at once is never left behind.
func (d *Deliverer) deliver(ctx context.Context, messages []storage.OutboxMessage) error {
	ctx, cancel := context.WithTimeout(ctx, deliverTimeout)
	defer cancel()
	var jobs []queueapi.NewJob
	var withdrawn, delivered []string
	for _, m := range messages {
		var err error
		switch m.Kind {
		case storage.OutboxPutJob:
			var job queueapi.NewJob
			if err = json.Unmarshal(m.Payload, &job); err == nil {
				jobs = append(jobs, job)
			}
		case storage.OutboxWithdrawJob:
			var id string
			if err = json.Unmarshal(m.Payload, &id); err == nil {
				withdrawn = append(withdrawn, id)
			}
		}
		if err != nil {
			d.Log.Error("outbox_message_unreadable", zap.String("message_id", m.ID), zap.String("task_id", m.TaskID), zap.Error(err))
			continue
		}
		delivered = append(delivered, m.ID)
	}
	if len(jobs) > 0 {
		if err := d.Queue.PutJobs(ctx, jobs); err != nil {
			return err
		}
	}
	if len(withdrawn) > 0 {
		if err := d.Queue.WithdrawJobs(ctx, withdrawn); err != nil {
			return err
		}
	}
	if err := d.Store.AckOutbox(ctx, delivered); err != nil {
		return fmt.Errorf("acknowledge: %w", err)
	}
	return nil
}
