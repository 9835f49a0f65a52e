// Package approvals answers what waits for somebody's decision, and takes the
// decisions in. It owns the digest of what an approver is shown and the rule
// that a decision counts only for that: it is appended to the task's log only
// while the task stands where the approval was read.
//
// It does not say what a decision does, which is the engine's, and it writes
// nothing but the event: a decision is a signal that is for one run alone. Who
// may decide is not known here.
package approvals

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Runner reads tasks' states and moves tasks on.
type Runner interface {
	View(ctx context.Context, task storage.Task) (engine.Program, engine.State, error)
	Attend(ctx context.Context, taskID string) error
}

// Deps are what a desk works with.
type Deps struct {
	Store  storage.Tasks
	Runner Runner
	Log    *zap.Logger
	Now    func() time.Time
}

// Desk is where decisions are asked for and made.
type Desk struct{ Deps }

// New makes a desk.
func New(deps Deps) *Desk { return &Desk{Deps: deps} }

// Pending is an approval that waits, with the task as it was read.
type Pending struct {
	engine.Approval
	Task        storage.Task
	RequestedAt time.Time
	Digest      string
}

// Query selects approvals; empty fields match all.
type Query struct {
	TaskID string
	FlowID string
	storage.ListOptions
}

// viewers is how many tasks of a page are read at once.
const viewers = 8

// List returns a page of the approvals that wait, newest task first. A task that
// goes on while the page is made is left out; Total still counts it. With a
// TaskID it is at most that task's, and storage.ErrNotFound when there is no
// such task.
func (d *Desk) List(ctx context.Context, query Query) (storage.Page[Pending], error) {
	tasks, err := d.waiting(ctx, query)
	if err != nil {
		return storage.Page[Pending]{}, err
	}
	found := make([]*Pending, len(tasks.Items))
	readers, reading := errgroup.WithContext(ctx)
	readers.SetLimit(viewers)
	for i, task := range tasks.Items {
		readers.Go(func() (err error) {
			found[i], err = d.show(reading, task)
			return err
		})
	}
	if err := readers.Wait(); err != nil {
		return storage.Page[Pending]{}, err
	}
	page := storage.Page[Pending]{Items: []Pending{}, Total: tasks.Total, Next: tasks.Next}
	for _, pending := range found {
		if pending != nil {
			page.Items = append(page.Items, *pending)
		}
	}
	return page, nil
}

// waiting are the tasks that wait for a decision.
func (d *Desk) waiting(ctx context.Context, query Query) (storage.Page[storage.Task], error) {
	if query.TaskID == "" {
		return d.Store.ListTasks(ctx, storage.TaskQuery{
			WaitsFor: storage.WaitApproval, FlowID: query.FlowID, MostBytes: storage.MaxPageBytes, ListOptions: query.ListOptions,
		})
	}
	task, err := d.Store.GetTask(ctx, query.TaskID)
	if err != nil {
		return storage.Page[storage.Task]{}, err
	}
	none := task.WaitsFor != storage.WaitApproval || query.FlowID != "" && query.FlowID != task.FlowID
	if none || query.Offset > 0 || query.Cursor != "" {
		return storage.Page[storage.Task]{}, nil
	}
	return storage.Page[storage.Task]{Items: []storage.Task{task}, Total: 1}, nil
}

// show is find with the time at which the decision was asked for. A state that
// cannot be read costs its own task's place in the list, not the list.
func (d *Desk) show(ctx context.Context, task storage.Task) (*Pending, error) {
	pending, err := d.find(ctx, task)
	switch code := errs.CodeOf(err); {
	case err != nil && ctx.Err() == nil && code != errs.Unavailable && code != errs.DeadlineExceeded:
		d.Log.Error("approval_unreadable", zap.String("task_id", task.ID), zap.Error(err))
		return nil, nil
	case pending == nil || err != nil:
		return nil, err
	}
	runs, err := d.Store.LoadRuns(ctx, task.ID, []int{pending.RunNo})
	if err != nil {
		return nil, err
	}
	for _, run := range runs {
		pending.RequestedAt = run.StartedAt
	}
	return pending, nil
}

// find is the approval that a task waits at, nil when there is none.
func (d *Desk) find(ctx context.Context, task storage.Task) (*Pending, error) {
	if task.Status == storage.TaskCanceling || task.WaitsFor != storage.WaitApproval {
		return nil, nil
	}
	program, state, err := d.Runner.View(ctx, task)
	if err != nil {
		return nil, fmt.Errorf("read the state of %s: %w", task.ID, err)
	}
	approval, ok := program.Approval(state)
	if !ok {
		return nil, nil
	}
	return &Pending{Approval: approval, Task: task, Digest: digest(approval)}, nil
}

// digest names what is asked. The run's id stands for the visit and the attempt;
// the input is taken as it is shown, spaces aside.
func digest(approval engine.Approval) string {
	var input bytes.Buffer
	if json.Compact(&input, approval.Input) != nil {
		input.Reset()
		input.WriteString("null") // as none is shown
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %s", approval.RunID, approval.Key, input.Bytes()))
	return "sha256:" + hex.EncodeToString(sum[:])
}
