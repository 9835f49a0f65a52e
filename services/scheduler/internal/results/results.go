// Package results puts how jobs ended into the logs of their tasks, whoever
// tells of it: the queue-gateway for its workers, or the outbox of a job that
// no worker will ever get.
package results

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/runner"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Intake takes results in.
type Intake struct {
	Store storage.Tasks
	// Runner may make results steps of their tasks at once. Nil: they all go to
	// their tasks' inboxes.
	Runner *runner.Runner
	Now    func() time.Time
}

// DeliverResults returns nil once all results are durable. A repeat is
// harmless, and so is a result for a task that is gone or has ended: it has no
// effect, today or when it is repeated.
func (in Intake) DeliverResults(ctx context.Context, results []schedulerapi.JobResult) error {
	events := make([]storage.InboxEvent, 0, len(results))
	for _, result := range results {
		event, err := in.event(result)
		if err != nil {
			return err
		}
		events = append(events, event)
	}
	if in.Runner != nil {
		events = in.Runner.Deliver(ctx, events)
	}
	if len(events) == 0 {
		return nil
	}
	outcomes, err := in.Store.AppendEvents(ctx, events)
	if err != nil {
		return fmt.Errorf("append results: %w", err)
	}
	for _, outcome := range outcomes {
		if err := outcome.Err; err != nil && !errors.Is(err, storage.ErrNotFound) && !errors.Is(err, storage.ErrEnded) {
			return err
		}
	}
	return nil
}

func (in Intake) event(result schedulerapi.JobResult) (storage.InboxEvent, error) {
	run := &engine.RunResult{
		RunID: result.RunID, Result: result.Result, WorkerID: result.WorkerID, LogPath: result.LogPath,
	}
	if result.ErrorCode != "" {
		run.Result = nil
		run.Error = &engine.RunError{
			Code: result.ErrorCode, Message: errs.Shorten(result.Error, engine.MaxMessage),
			Final: result.Retryable != nil && !*result.Retryable,
		}
	}
	event := engine.Event{Kind: storage.EventRunFinished, Result: run}
	data, err := event.Data()
	if err != nil {
		return storage.InboxEvent{}, err
	}
	return storage.InboxEvent{
		TaskID: result.TaskID, SourceID: runner.RunSource(result.RunID), Kind: storage.EventRunFinished, Data: data, At: in.Now(),
	}, nil
}
