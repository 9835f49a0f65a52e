package sqlstore

import (
	"context"
	"fmt"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// CreateTasks implements storage.Tasks.
func (t *Tasks) CreateTasks(ctx context.Context, tasks []storage.NewTask) ([]storage.CreateOutcome, error) {
	outcomes, err := sift(tasks, refuseNewTask, func(tasks []storage.NewTask) ([]storage.CreateOutcome, error) {
		return t.creates.Do(ctx, tasks)
	})
	if err != nil {
		return nil, fmt.Errorf("create tasks: %w", err)
	}
	return outcomes, nil
}

// A conflict, of the id or of the request id, shows as no row written. An
// error would abort the others' transaction on Postgres.
const insertTaskSQL = `
INSERT INTO tasks (` + taskColumns + `)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25)
ON CONFLICT DO NOTHING`

// The second condition is what lets both planners use the partial index.
const findRequestSQL = `SELECT ` + taskColumns + ` FROM tasks WHERE request_id = $1 AND request_id <> ''`

func (t *Tasks) createTasks(ctx context.Context, tasks []storage.NewTask) ([]storage.CreateOutcome, error) {
	// Two creations of one request id wait for each other in its index.
	order := orderBy(tasks, func(task storage.NewTask) string { return task.Task.RequestID })
	var outcomes []storage.CreateOutcome
	err := t.TryWrite(ctx, func(ctx context.Context, tx Tx) error {
		outcomes = make([]storage.CreateOutcome, len(tasks))
		created := make([]int64, len(tasks))
		var inserts Batch
		for _, i := range order {
			addTask(&inserts, &created[i], &tasks[i].Task)
		}
		if err := tx.Run(ctx, &inserts); err != nil {
			return err
		}

		var rest Batch
		for i := range tasks {
			task := &tasks[i]
			switch {
			case created[i] == 0 && task.Task.RequestID != "":
				rest.Query(foundRequest(&outcomes[i], task.Task.RequestHash), findRequestSQL, task.Task.RequestID)
				fallthrough
			case created[i] == 0:
				outcomes[i].Err = storage.ErrConflict // unless the query finds better
			default:
				outcomes[i].Task = task.Task
				outcomes[i].Task.FlowName, outcomes[i].Task.CurrentNode = clean(task.Task.FlowName), clean(task.Task.CurrentNode)
				addEvents(&rest, task.Task.ID, task.Events)
				addRuns(&rest, task.Started)
				addOutbox(&rest, task.Outbox)
				if runnableNow(&task.Task) {
					tx.Hint(task.Task.ID)
				}
			}
		}
		return tx.Finish(ctx, &rest)
	})
	return outcomes, err
}

// runnableNow tells whether anyone may take a new task at once.
func runnableNow(task *storage.Task) bool {
	return task.Lease.Owner == "" && !task.RunnableAt.IsZero() && !task.RunnableAt.After(task.CreatedAt)
}

func addTask(batch *Batch, created *int64, task *storage.Task) {
	batch.ExecCount(created, insertTaskSQL,
		task.ID, task.FlowID, task.FlowVersionID, clean(task.FlowName), task.FlowVersion, string(task.Status),
		text(task.Params), text(task.Shared), text(task.State),
		clean(task.CurrentNode), string(task.WaitsFor), text(task.Error), task.RequestID, task.RequestHash,
		micros(task.RunnableAt), task.Lease.Owner, micros(task.Lease.Expiry), task.Lease.Epoch,
		task.Seq, task.InboxSeq, task.InboxDone,
		micros(task.CreatedAt), micros(task.UpdatedAt), micros(task.FinishedAt), clean(task.Trace))
}

// foundRequest turns the task that a request id made before into the outcome
// of the request that came again.
func foundRequest(outcome *storage.CreateOutcome, hash string) func(Row) error {
	return func(row Row) error {
		task, err := scanTask(row)
		if err != nil {
			return err
		}
		outcome.Task = task
		if task.RequestHash == hash {
			outcome.Err, outcome.Existing = nil, true
		}
		return nil
	}
}
