package sqlstore

import (
	"context"
	"fmt"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

const (
	claimableSQL = `SELECT ` + taskColumns + ` FROM tasks WHERE runnable_at <= $1 ORDER BY runnable_at LIMIT $2`

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
		return tx.Run(ctx, &updates)
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
		return tx.Run(ctx, &updates)
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

// Expiry and runnable_at are equal under a lease.
const extendLeaseSQL = `
UPDATE tasks SET lease_expiry = CASE WHEN lease_expiry < $3 THEN $3 ELSE lease_expiry END,
	runnable_at = CASE WHEN lease_expiry < $3 THEN $3 ELSE lease_expiry END
WHERE id = $1 AND lease_epoch = $2 AND lease_owner <> ''
RETURNING inbox_seq - inbox_done`

// ExtendLeases implements storage.Tasks.
func (t *Tasks) ExtendLeases(ctx context.Context, leases []storage.LeaseRef, until time.Time) ([]storage.ExtendOutcome, error) {
	order := orderBy(leases, func(lease storage.LeaseRef) string { return lease.TaskID })
	var outcomes []storage.ExtendOutcome
	err := t.Write(ctx, func(ctx context.Context, tx Tx) error {
		outcomes = make([]storage.ExtendOutcome, len(leases))
		var updates Batch
		for _, i := range order {
			outcomes[i].Err = storage.ErrLeaseLost // unless the update finds its row
			if !storable(leases[i].TaskID) {
				continue
			}
			updates.Query(func(row Row) error {
				pending, err := scanInt(row)
				outcomes[i] = storage.ExtendOutcome{InboxPending: pending > 0}
				return err
			}, extendLeaseSQL, leases[i].TaskID, leases[i].Epoch, micros(until))
		}
		return tx.Run(ctx, &updates)
	})
	if err != nil {
		return nil, fmt.Errorf("extend leases: %w", err)
	}
	return outcomes, nil
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
