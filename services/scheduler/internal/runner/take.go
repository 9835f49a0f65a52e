package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/pause"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// start drives a claimed task in a goroutine of its own. It uses a place that
// the caller has reserved.
func (r *Runner) start(task storage.Task, extent extent) *held {
	ctx, h := r.hold(task.ID, task.Lease.Epoch)
	go func() {
		defer r.free(1)
		defer r.letGo(h)
		r.take(ctx, h, task, extent)
	}()
	return h
}

// take brings a claimed task back to life and drives it.
func (r *Runner) take(ctx context.Context, h *held, task storage.Task, extent extent) {
	d := r.newDrive(h, task, extent)
	defer d.guard()
	inputs, err := d.revive(ctx, task)
	if err != nil {
		d.giveUp(err)
		return
	}
	if len(inputs) > 0 || d.state.Status != storage.TaskRunning {
		s, err := d.step(ctx, inputs, extent)
		if err != nil {
			d.giveUp(err)
			return
		}
		if s.record.Release {
			return
		}
	}
	// Not what the step asked for alone: what an earlier holder was executing
	// is to be carried out as well.
	d.run(ctx, d.program.Resume(d.state))
}

// revive loads what the task is executed with, and returns what has happened to
// it while nobody held it.
func (d *drive) revive(ctx context.Context, task storage.Task) ([]input, error) {
	state, err := d.r.loadState(ctx, task)
	if err != nil {
		return nil, err
	}
	version, err := d.r.Plans.Get(ctx, task.FlowVersionID)
	if err != nil {
		return nil, fmt.Errorf("get the plan: %w", err)
	}
	d.begin(task, version, state)
	return d.backlog(ctx, task)
}

func (r *Runner) loadState(ctx context.Context, task storage.Task) (engine.State, error) {
	state, err := engine.Load(task)
	if err != nil {
		return engine.State{}, err
	}
	if nos := state.ActiveRuns(); len(nos) > 0 {
		var runs []storage.NodeRun
		err := r.patiently(ctx, "load_runs_failed", func() (err error) {
			runs, err = r.Store.LoadRuns(ctx, task.ID, nos)
			return err
		})
		if err != nil {
			return engine.State{}, err
		}
		if err := state.Attach(runs); err != nil {
			return engine.State{}, err
		}
	}
	return state, nil
}

// backlog is what is in the task's inbox, its start if it has not started, and
// a due time that has come.
func (d *drive) backlog(ctx context.Context, task storage.Task) ([]input, error) {
	var inputs []input
	if task.InboxSeq > task.InboxDone {
		var err error
		if inputs, err = d.inbox(ctx); err != nil {
			return nil, err
		}
	}
	if d.state.Steps == 0 {
		inputs = append(inputs, input{event: engine.Event{Kind: storage.EventStarted, At: d.r.Now()}})
	}
	// What is left in a full inbox came before the time was looked at.
	if len(inputs) < inboxBatch && elapsed(d.state.NextDue(), d.r.Now()) {
		inputs = append(inputs, d.fired())
	}
	return inputs, nil
}

// elapsed reports whether a time, when there is one, has come.
func elapsed(at, now time.Time) bool { return !at.IsZero() && !at.After(now) }

// Attend sees to it that a task that nobody held a moment ago makes a step at
// once, and waits for that step or ctx's end. A task that another replica holds
// by now, or for which there is no place, is left to whoever comes to it.
func (r *Runner) Attend(ctx context.Context, taskID string) error {
	for {
		switch h := r.holder(taskID); {
		case h == nil:
		case !h.hasStepped():
			return h.untilStepped(ctx) // the poll was quicker
		case pause.For(ctx, claimPause):
			continue // it has released the task, or is about to: see who is next
		default:
			return ctx.Err()
		}
		if r.reserve(1) == 0 {
			return nil
		}
		h, err := r.claimOne(ctx, taskID, goOn)
		if err == nil {
			return h.untilStepped(ctx)
		}
		r.free(1)
		if !errors.Is(err, storage.ErrLeaseHeld) || !r.mayHold(taskID) {
			return err
		}
		// The poll may have it and not hold it yet.
		pause.For(ctx, claimPause)
	}
}

// claimPause is longer than it takes to go from a claim to holding its tasks.
const claimPause = time.Millisecond

// RunOnce makes one step of a task under a lease and releases it: what is due
// is applied, or else what is executing is carried out and its end applied.
// storage.ErrLeaseHeld while another executes the task, ErrEnded, ErrNotFound.
func (r *Runner) RunOnce(ctx context.Context, taskID string) error {
	if r.reserve(1) == 0 {
		return errs.New(errs.Unavailable, "every place of this scheduler is taken")
	}
	h, err := r.claimOne(ctx, taskID, oneStep)
	if err != nil {
		r.free(1)
		return err
	}
	return h.untilStepped(ctx)
}

func (r *Runner) claimOne(ctx context.Context, taskID string, extent extent) (h *held, err error) {
	r.claiming(func() {
		var task storage.Task
		task, err = r.Store.ClaimTask(ctx, taskID, r.claimParams())
		if err == nil {
			h = r.start(task, extent)
		}
	})
	return h, err
}
