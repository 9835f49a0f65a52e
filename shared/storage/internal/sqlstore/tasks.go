package sqlstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Tasks implements storage.Tasks.
//
// The row of a task is its lock: whatever changes a task's lease, inbox or
// runnable_at updates that row or has locked it. So an append and a release
// that meet see each other, in one order or the other.
type Tasks struct {
	*DB
	creates *group[storage.NewTask, storage.CreateOutcome]
	settles *group[storage.TaskStep, storage.StepOutcome]
	appends *group[storage.InboxEvent, storage.AppendOutcome]
	// Results that arrive together read their tasks together.
	gets  *group[string, sought[storage.Task]]
	loads *group[runName, sought[storage.NodeRun]]
}

var _ storage.Tasks = (*Tasks)(nil)

// NewTasks makes the scheduler's role of its database.
func NewTasks(db *DB) *Tasks {
	t := &Tasks{DB: db}
	pipelines := db.Dialect().Pipelines
	t.creates = newGroup(pipelines, t.createTasks)
	t.settles = newGroup(pipelines, t.settleSteps)
	t.appends = newGroup(pipelines, t.appendEvents)
	t.gets = newGroup(pipelines, t.getTasks)
	t.loads = newGroup(pipelines, t.loadRuns)
	return t
}

const taskColumns = `id, flow_id, flow_version_id, flow_name, flow_version, status, params, shared, state,
	current_node, waits_for, error, request_id, request_hash, runnable_at, lease_owner, lease_expiry, lease_epoch,
	seq, inbox_seq, inbox_done, created_at, updated_at, finished_at, traceparent`

func scanTask(row Row) (storage.Task, error) {
	var task storage.Task
	var status, waitsFor string
	err := row.Scan(&task.ID, &task.FlowID, &task.FlowVersionID, &task.FlowName, &task.FlowVersion, &status,
		(*[]byte)(&task.Params), (*[]byte)(&task.Shared), (*[]byte)(&task.State),
		&task.CurrentNode, &waitsFor, (*[]byte)(&task.Error), &task.RequestID, &task.RequestHash,
		intoTime(&task.RunnableAt), &task.Lease.Owner, intoTime(&task.Lease.Expiry), &task.Lease.Epoch,
		&task.Seq, &task.InboxSeq, &task.InboxDone,
		intoTime(&task.CreatedAt), intoTime(&task.UpdatedAt), intoTime(&task.FinishedAt), &task.Trace)
	task.Status, task.WaitsFor = storage.TaskStatus(status), storage.WaitKind(waitsFor)
	return task, err
}

const getTaskSQL = `SELECT ` + taskColumns + ` FROM tasks WHERE id = $1`

// GetTask implements storage.Tasks.
func (t *Tasks) GetTask(ctx context.Context, id string) (storage.Task, error) {
	tasks, err := t.gets.Do(ctx, []string{id})
	if err == nil {
		err = tasks[0].err
	}
	if err != nil {
		return storage.Task{}, fmt.Errorf("get task %s: %w", id, err)
	}
	return tasks[0].value, nil
}

func (t *Tasks) getTasks(ctx context.Context, ids []string) ([]sought[storage.Task], error) {
	tasks := make([]sought[storage.Task], len(ids))
	var batch Batch
	for i, id := range ids {
		tasks[i].seek(&batch, scanTask, getTaskSQL, id)
	}
	return tasks, t.Read().Run(ctx, &batch)
}

// Subscribe implements storage.Tasks. The payload of a hint is a task's id.
func (t *Tasks) Subscribe(ctx context.Context, hint func(storage.TaskHint)) error {
	return t.Listen(ctx, func(heard Hint) { hint(storage.TaskHint{TaskID: heard.Payload, Own: heard.Own}) })
}

// orderBy is the order in which a batch visits its items: by key, and items of
// one key as given. Two batches that lock rows in that order never wait for
// each other in a circle.
func orderBy[T any](items []T, key func(T) string) []int {
	order := make([]int, len(items))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Compare(key(items[a]), key(items[b]))
	})
	return order
}
