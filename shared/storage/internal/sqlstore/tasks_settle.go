package sqlstore

import (
	"context"
	"fmt"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// SettleSteps implements storage.Tasks.
func (t *Tasks) SettleSteps(ctx context.Context, steps []storage.TaskStep) ([]storage.StepOutcome, error) {
	outcomes, err := sift(steps, refuseStep, func(steps []storage.TaskStep) ([]storage.StepOutcome, error) {
		return t.settles.Do(ctx, steps)
	})
	if err != nil {
		return nil, fmt.Errorf("settle steps: %w", err)
	}
	return outcomes, nil
}

// The fence is in the UPDATE itself: a step whose lease is gone writes no row.
const (
	settleSetSQL = `
UPDATE tasks SET shared = COALESCE($3, shared), state = $4, current_node = $5, error = $6, finished_at = $7,
	seq = $8, inbox_done = $9, updated_at = $10, waits_for = $11, `
	settleFenceSQL = `
WHERE id = $1 AND lease_epoch = $2 AND lease_owner <> ''`

	keepCancelingSQL = `status = CASE WHEN status = 'canceling' THEN status ELSE $12 END`

	// Under a kept lease the columns of the runnable index stay as they are.
	settleKeepSQL = settleSetSQL + keepCancelingSQL + settleFenceSQL + `
RETURNING inbox_seq`

	settleReleaseSQL = settleSetSQL + keepCancelingSQL + `, lease_owner = '', lease_expiry = NULL,
	runnable_at = CASE WHEN inbox_seq > $9 THEN $10 ELSE CAST($13 AS BIGINT) END` + settleFenceSQL + `
RETURNING inbox_seq`

	settleEndSQL = settleSetSQL + `status = $12, lease_owner = '', lease_expiry = NULL, runnable_at = NULL` + settleFenceSQL + `
	AND inbox_seq <= $9
RETURNING inbox_seq`

	// The inbox is empty after it, so there is no earlier time to be runnable at.
	settleTakeSQL = settleSetSQL + `status = $12, lease_epoch = lease_epoch + 1, lease_owner = $13, lease_expiry = $14, runnable_at = $15
WHERE id = $1 AND lease_epoch = $2 AND lease_owner = '' AND inbox_seq = $9
	AND finished_at IS NULL AND status <> 'canceling'
RETURNING inbox_seq`
)

// Tells a lost lease from another reason why an update under it found no row: a
// terminal step's inbox, or a row that was passed over.
const leaseIsHeldSQL = `SELECT COUNT(*) FROM tasks WHERE id = $1 AND lease_epoch = $2 AND lease_owner <> ''`

func (t *Tasks) settleSteps(ctx context.Context, steps []storage.TaskStep) ([]storage.StepOutcome, error) {
	order := orderBy(steps, func(step storage.TaskStep) string { return step.Lease.TaskID })
	var outcomes []storage.StepOutcome
	err := t.TryWrite(ctx, func(ctx context.Context, tx Tx) error {
		outcomes = make([]storage.StepOutcome, len(steps))
		var updates Batch
		for _, i := range order {
			outcomes[i].Err = notFound(&steps[i]) // unless the update finds its row
			addStep(&updates, &outcomes[i], &steps[i])
		}
		if err := tx.Run(ctx, &updates); err != nil {
			return err
		}
		var rest Batch
		for _, i := range order {
			step := &steps[i]
			switch {
			case outcomes[i].Err == nil:
				addEvents(&rest, step.Lease.TaskID, step.Events)
				addRuns(&rest, step.Started)
				addFinishes(&rest, step.Lease.TaskID, step.Finished)
				addOutbox(&rest, step.Outbox)
			case step.Status.Terminal() && step.Take == nil:
				rest.Query(inboxPending(&outcomes[i]), leaseIsHeldSQL, step.Lease.TaskID, step.Lease.Epoch)
			}
		}
		return tx.Finish(ctx, &rest)
	})
	return outcomes, err
}

// notFound is what it means that a step's update finds no row.
func notFound(step *storage.TaskStep) error {
	if step.Take != nil {
		return storage.ErrMoved
	}
	return storage.ErrLeaseLost
}

// addStep adds the update of the task's row, whose result sets the outcome.
func addStep(batch *Batch, outcome *storage.StepOutcome, step *storage.TaskStep) {
	waitsFor := step.WaitsFor
	if step.Status.Terminal() {
		waitsFor = storage.WaitNone
	}
	args := []any{
		step.Lease.TaskID, step.Lease.Epoch,
		text(step.Shared), text(step.State), clean(step.CurrentNode), text(step.Error), micros(step.FinishedAt),
		step.Seq, step.InboxDone, micros(step.At), string(waitsFor), string(step.Status),
	}
	update := settleKeepSQL
	switch {
	case step.Take != nil:
		update = settleTakeSQL
		lease, runnableAt := takenBy(step)
		args = append(args, lease.Owner, micros(lease.Expiry), micros(runnableAt))
	case step.Status.Terminal():
		update = settleEndSQL
	case step.Release:
		update = settleReleaseSQL
		args = append(args, micros(step.RunnableAt))
	}
	batch.Query(func(row Row) error {
		var arrived int64
		if err := row.Scan(&arrived); err != nil {
			return err
		}
		*outcome = storage.StepOutcome{InboxPending: arrived > step.InboxDone}
		return nil
	}, update, args...)
}

// takenBy is the lease after a step with Take, and when the task is runnable.
func takenBy(step *storage.TaskStep) (storage.Lease, time.Time) {
	switch {
	case step.Status.Terminal():
		return storage.Lease{}, time.Time{}
	case step.Release:
		return storage.Lease{}, step.RunnableAt
	}
	return storage.Lease{Owner: step.Take.Owner, Expiry: step.Take.Until}, step.Take.Until
}

func inboxPending(outcome *storage.StepOutcome) func(Row) error {
	return func(row Row) error {
		held, err := scanInt(row)
		if err == nil && held > 0 {
			outcome.Err = storage.ErrInboxPending
		}
		return err
	}
}
