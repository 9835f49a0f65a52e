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
	seq = $8, inbox_done = $9, updated_at = $10`
	settleFenceSQL = `
WHERE id = $1 AND lease_epoch = $2 AND lease_owner <> ''`

	// Most steps keep the lease and change nothing that an index has: see
	// Dialect.RewritesIndexes.
	settlePlainSQL = settleSetSQL + settleFenceSQL + ` AND inbox_seq = $9 AND waits_for = $11 AND status = $12`

	keepCancelingSQL = `, waits_for = $11, status = CASE WHEN status = 'canceling' THEN status ELSE $12 END`

	settleKeepSQL = settleSetSQL + keepCancelingSQL + settleFenceSQL + `
RETURNING inbox_seq`

	settleReleaseSQL = settleSetSQL + keepCancelingSQL + `, lease_owner = '', lease_expiry = NULL,
	runnable_at = CASE WHEN inbox_seq > $9 THEN $10 ELSE CAST($13 AS BIGINT) END` + settleFenceSQL + `
RETURNING inbox_seq`

	settleEndSQL = settleSetSQL + `, waits_for = $11, status = $12, lease_owner = '', lease_expiry = NULL, runnable_at = NULL` +
		settleFenceSQL + ` AND inbox_seq <= $9`

	// The inbox is empty after it, so there is no earlier time to be runnable at.
	settleTakeSQL = settleSetSQL + `, waits_for = $11, status = $12,
	lease_epoch = lease_epoch + 1, lease_owner = $13, lease_expiry = $14, runnable_at = $15
WHERE id = $1 AND lease_epoch = $2 AND lease_owner = '' AND inbox_seq = $9
	AND finished_at IS NULL AND status <> 'canceling'`
)

// Tells a lost lease from another reason why an update under it found no row: a
// terminal step's inbox, or a row that was passed over.
const leaseIsHeldSQL = `SELECT COUNT(*) FROM tasks WHERE id = $1 AND lease_epoch = $2 AND lease_owner <> ''`

func (t *Tasks) settleSteps(ctx context.Context, steps []storage.TaskStep) ([]storage.StepOutcome, error) {
	order := orderBy(steps, func(step storage.TaskStep) string { return step.Lease.TaskID })
	var outcomes []storage.StepOutcome
	err := t.TryWrite(ctx, func(ctx context.Context, tx Tx) error {
		outcomes = make([]storage.StepOutcome, len(steps))
		settlements := make([]settlement, len(steps))
		var updates, again, rest Batch
		for at, i := range order {
			s := &settlements[at]
			s.step, s.outcome, s.update = &steps[i], &outcomes[i], updateOf(&steps[i])
			if s.update == settleKeepSQL && t.Dialect().RewritesIndexes && !sameTask(steps, order, at) {
				s.update = settlePlainSQL
			}
			s.add(&updates)
		}
		if err := tx.Run(ctx, &updates); err != nil {
			return err
		}
		for at := range settlements {
			if s := &settlements[at]; s.found == 0 && s.update == settlePlainSQL {
				s.update = settleKeepSQL
				s.add(&again)
			}
		}
		if err := tx.Run(ctx, &again); err != nil {
			return err
		}
		for at := range settlements {
			settlements[at].addRest(&rest)
		}
		return tx.Finish(ctx, &rest)
	})
	return outcomes, err
}

// sameTask reports whether the steps before or after it in the order are of the
// same task, so that its turn must be kept.
func sameTask(steps []storage.TaskStep, order []int, at int) bool {
	id := steps[order[at]].Lease.TaskID
	return at > 0 && steps[order[at-1]].Lease.TaskID == id ||
		at+1 < len(order) && steps[order[at+1]].Lease.TaskID == id
}

// settlement is one step on its way into the database.
type settlement struct {
	step    *storage.TaskStep
	update  string // of the task's row
	found   int64  // rows that it updated
	outcome *storage.StepOutcome
}

func updateOf(step *storage.TaskStep) string {
	switch {
	case step.Take != nil:
		return settleTakeSQL
	case step.Status.Terminal():
		return settleEndSQL
	case step.Release:
		return settleReleaseSQL
	}
	return settleKeepSQL
}

// add adds the update of the task's row.
func (s *settlement) add(batch *Batch) {
	step := s.step
	waitsFor := step.WaitsFor
	if step.Status.Terminal() {
		waitsFor = storage.WaitNone
	}
	args := []any{
		step.Lease.TaskID, step.Lease.Epoch,
		text(step.Shared), text(step.State), clean(step.CurrentNode), text(step.Error), micros(step.FinishedAt),
		step.Seq, step.InboxDone, micros(step.At), string(waitsFor), string(step.Status),
	}
	switch s.update {
	case settleTakeSQL:
		lease, runnableAt := takenBy(step)
		args = append(args, lease.Owner, micros(lease.Expiry), micros(runnableAt))
	case settleReleaseSQL:
		args = append(args, micros(step.RunnableAt))
	}
	if s.update == settleKeepSQL || s.update == settleReleaseSQL {
		batch.Query(s.arrived, s.update, args...)
		return
	}
	batch.ExecCount(&s.found, s.update, args...)
}

// arrived tells from the row how many events have come.
func (s *settlement) arrived(row Row) error {
	arrived, err := scanInt(row)
	s.found++
	s.outcome.InboxPending = arrived > s.step.InboxDone
	return err
}

// addRest adds what else a step writes whose update has found its row, or tells
// why it has not.
func (s *settlement) addRest(batch *Batch) {
	step := s.step
	if s.found > 0 {
		addEvents(batch, step.Lease.TaskID, step.Events)
		addRuns(batch, step.Started)
		addFinishes(batch, step.Lease.TaskID, step.Finished)
		addOutbox(batch, step.Outbox)
		return
	}
	s.outcome.Err = notFound(step)
	if step.Take == nil && step.Status.Terminal() {
		// Perhaps it is the inbox: the query tells.
		batch.Query(inboxPending(s.outcome), leaseIsHeldSQL, step.Lease.TaskID, step.Lease.Epoch)
	}
}

// notFound is what it means that a step's task is not there under its fence.
func notFound(step *storage.TaskStep) error {
	if step.Take != nil {
		return storage.ErrMoved
	}
	return storage.ErrLeaseLost
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
