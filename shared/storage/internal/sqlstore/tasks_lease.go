package sqlstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/pause"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

const (
	claimableSQL = `SELECT ` + taskColumns + ` FROM tasks WHERE runnable_at <= $1 ORDER BY runnable_at LIMIT $2 + 0`

	takeLeaseSQL = `
UPDATE tasks SET lease_owner = $2, lease_expiry = $3, runnable_at = $3, lease_epoch = $4 WHERE id = $1`
)

// ClaimTasks implements storage.Tasks. Ended tasks have no runnable_at.
func (t *Tasks) ClaimTasks(ctx context.Context, params storage.ClaimParams, limit int) ([]storage.Task, error) {
	var tasks []storage.Task
	err := t.Write(ctx, func(ctx context.Context, tx Tx) error {
		var err error
		tasks, err = queryAll(ctx, tx, scanTask, claimableSQL+t.Dialect().SkipLocked, micros(params.Now), limit)
		if err != nil {
			return err
		}
		var updates Batch
		for i := range tasks {
			takeLease(&updates, &tasks[i], params)
		}
		return tx.Finish(ctx, &updates)
	})
	if err != nil {
		return nil, fmt.Errorf("claim tasks: %w", err)
	}
	return tasks, nil
}

// ClaimTask implements storage.Tasks.
func (t *Tasks) ClaimTask(ctx context.Context, id string, params storage.ClaimParams) (storage.Task, error) {
	if !storable(id) {
		return storage.Task{}, fmt.Errorf("claim task %q: %w", id, storage.ErrNotFound)
	}
	var task storage.Task
	err := t.Write(ctx, func(ctx context.Context, tx Tx) error {
		var err error
		task, err = queryOne(ctx, tx, scanTask, getTaskSQL+t.Dialect().ForUpdate, id)
		switch {
		case err != nil:
			return err
		case task.Status.Terminal():
			return storage.ErrEnded
		case task.Lease.Owner != "" && task.Lease.Expiry.After(params.Now):
			return storage.ErrLeaseHeld
		}
		var updates Batch
		takeLease(&updates, &task, params)
		return tx.Finish(ctx, &updates)
	})
	if err != nil {
		return storage.Task{}, fmt.Errorf("claim task %s: %w", id, err)
	}
	return task, nil
}

// takeLease gives a locked task's lease to the claimant, in the row and in the
// record.
func takeLease(batch *Batch, task *storage.Task, params storage.ClaimParams) {
	task.Lease = storage.Lease{Owner: params.Owner, Expiry: params.Until, Epoch: task.Lease.Epoch + 1}
	task.RunnableAt = params.Until
	batch.Exec(takeLeaseSQL, task.ID, params.Owner, micros(params.Until), task.Lease.Epoch)
}

const nextRunnableSQL = `
SELECT runnable_at FROM tasks WHERE runnable_at IS NOT NULL ORDER BY runnable_at LIMIT 1`

// NextRunnable implements storage.Tasks.
func (t *Tasks) NextRunnable(ctx context.Context) (time.Time, error) {
	var next time.Time
	var batch Batch
	batch.Query(func(row Row) error { return row.Scan(intoTime(&next)) }, nextRunnableSQL)
	if err := t.Read().Run(ctx, &batch); err != nil {
		return time.Time{}, fmt.Errorf("find the next runnable task: %w", err)
	}
	return next, nil
}

// Expiry and runnable_at are equal under a lease. The inner SELECT ends with the
// dialect's SkipLocked: the UPDATE would wait for a row that another transaction
// holds, and all leases of the batch would wait, and expire, with it.
const (
	extendLeaseSQL = `
UPDATE tasks SET lease_expiry = CASE WHEN lease_expiry < $3 THEN $3 ELSE lease_expiry END,
	runnable_at = CASE WHEN lease_expiry < $3 THEN $3 ELSE lease_expiry END
WHERE id = (SELECT id FROM tasks WHERE id = $1 AND lease_epoch = $2 AND lease_owner <> ''`
	extendedSQL = `)
RETURNING inbox_seq - inbox_done`
)

// Most rows that are passed over are held by a step or an append of this very
// moment and come free within milliseconds. They are asked for again, for 70 ms
// in all: a task that takes step after step might else be passed over each time.
const (
	extendTries      = 4
	firstExtendPause = 10 * time.Millisecond
	mostExtendPause  = 40 * time.Millisecond
)

// ExtendLeases implements storage.Tasks. Each try is a transaction of its own:
// what is extended stays so, whatever becomes of the rest.
func (t *Tasks) ExtendLeases(ctx context.Context, leases []storage.LeaseRef, until time.Time) ([]storage.ExtendOutcome, error) {
	outcomes := make([]storage.ExtendOutcome, len(leases))
	for i := range outcomes {
		outcomes[i].Err = storage.ErrLeaseLost // unless its row is found
	}
	left := orderBy(leases, func(lease storage.LeaseRef) string { return lease.TaskID })
	left = slices.DeleteFunc(left, func(i int) bool { return !storable(leases[i].TaskID) })
	wait := pause.Backoff{First: firstExtendPause, Most: mostExtendPause}
	for try := 1; ; try++ {
		if err := t.extendLeases(ctx, extension{leases: leases, only: left, until: until}, outcomes); err != nil {
			return nil, fmt.Errorf("extend leases: %w", err)
		}
		left = slices.DeleteFunc(left, func(i int) bool { return !outcomes[i].Busy })
		if len(left) == 0 || try == extendTries || !pause.For(ctx, wait.Next()) {
			return outcomes, nil
		}
	}
}

// extension is one try to extend some of the leases.
type extension struct {
	leases []storage.LeaseRef
	only   []int // in order of the tasks' ids
	until  time.Time
}

// extendLeases sets the outcomes of the try's leases.
func (t *Tasks) extendLeases(ctx context.Context, try extension, outcomes []storage.ExtendOutcome) error {
	extend := extendLeaseSQL + t.Dialect().SkipLocked + extendedSQL
	return t.Write(ctx, func(ctx context.Context, tx Tx) error {
		var updates, passedOver Batch
		for _, i := range try.only {
			outcomes[i] = storage.ExtendOutcome{Err: storage.ErrLeaseLost}
			updates.Query(func(row Row) error {
				pending, err := scanInt(row)
				outcomes[i] = storage.ExtendOutcome{InboxPending: pending > 0}
				return err
			}, extend, try.leases[i].TaskID, try.leases[i].Epoch, micros(try.until))
		}
		if err := tx.Run(ctx, &updates); err != nil {
			return err
		}
		// A row that was passed over can still be read, as it was committed last.
		for _, i := range try.only {
			if outcomes[i].Err == nil {
				continue
			}
			passedOver.Query(func(row Row) error {
				held, err := scanInt(row)
				if held > 0 {
					outcomes[i] = storage.ExtendOutcome{Busy: true}
				}
				return err
			}, leaseIsHeldSQL, try.leases[i].TaskID, try.leases[i].Epoch)
		}
		return tx.Finish(ctx, &passedOver)
	})
}

// Without a time, a task with an unread inbox would be left for ever; updated_at
// is one that has passed.
const releaseSetSQL = `
UPDATE tasks SET lease_owner = '', lease_expiry = NULL,
	runnable_at = COALESCE(CAST($1 AS BIGINT), CASE WHEN inbox_seq > inbox_done THEN updated_at END)`

const releaseLeaseSQL = releaseSetSQL + `
WHERE id = $2 AND lease_epoch = $3 AND lease_owner <> ''`

// ReleaseLeases implements storage.Tasks.
func (t *Tasks) ReleaseLeases(ctx context.Context, leases []storage.LeaseRef, runnableAt time.Time) (storage.Outcomes, error) {
	order := orderBy(leases, func(lease storage.LeaseRef) string { return lease.TaskID })
	var outcomes storage.Outcomes
	err := t.Write(ctx, func(ctx context.Context, tx Tx) error {
		released := make([]int64, len(leases))
		var updates Batch
		for _, i := range order {
			if !storable(leases[i].TaskID) {
				continue
			}
			updates.ExecCount(&released[i], releaseLeaseSQL, micros(runnableAt), leases[i].TaskID, leases[i].Epoch)
		}
		if err := tx.Run(ctx, &updates); err != nil {
			return err
		}
		outcomes = make(storage.Outcomes, len(leases))
		for i, n := range released {
			if n == 0 {
				outcomes[i] = storage.ErrLeaseLost
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("release leases: %w", err)
	}
	return outcomes, nil
}

// Held tasks have a runnable_at, so the index of unfinished tasks finds them.
const releaseOwnerSQL = releaseSetSQL + `
WHERE lease_owner = $2 AND runnable_at IS NOT NULL`

// ReleaseOwner implements storage.Tasks.
func (t *Tasks) ReleaseOwner(ctx context.Context, owner string, runnableAt time.Time) (int, error) {
	if owner == "" || !storable(owner) {
		return 0, nil // nobody: the tasks without a lease, or none
	}
	var released int64
	err := t.Write(ctx, func(ctx context.Context, tx Tx) error {
		var err error
		released, err = exec(ctx, tx, releaseOwnerSQL, micros(runnableAt), owner)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("release tasks of %s: %w", owner, err)
	}
	return int(released), nil
}
