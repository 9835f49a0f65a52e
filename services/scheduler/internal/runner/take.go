package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/outbox"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/plans"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/pause"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// start drives a claimed task in a goroutine of its own. It uses a place that
// the caller has reserved.
func (r *Runner) start(task storage.Task, extent extent) *held {
	ctx, h := r.hold(task.ID, task.Lease.Epoch)
	r.crew.Go(func() {
		defer r.free(1)
		defer r.letGo(h)
		r.take(ctx, h, task, extent)
	})
	return h
}

// take brings a claimed task back to life and drives it.
func (r *Runner) take(ctx context.Context, h *held, task storage.Task, extent extent) {
	d := r.newDrive(h, task, extent)
	defer d.guard()
	inputs, err := d.revive(ctx, task)
	if err != nil && task.Status == storage.TaskCanceling && ctx.Err() == nil {
		d.log.Warn("canceled_unread", zap.Error(err))
		err = d.cancelUnread(ctx, task)
		if err == nil {
			d.held.markStepped(nil)
			return
		}
	}
	if err != nil {
		d.giveUp(err)
		return
	}
	if len(inputs) > 0 || d.state.Status != storage.TaskRunning || extent == eventsOnly {
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
	if err := d.attach(ctx, d.state.NeedsToResume()); err != nil {
		d.giveUp(err)
		return
	}
	d.run(ctx, workOf(d.program.Resume(d.state)))
}

// revive loads what the task is executed with, and returns what has happened to
// it while nobody held it.
func (d *drive) revive(ctx context.Context, task storage.Task) ([]input, error) {
	if err := d.load(ctx, task, d.r.Plans.Get); err != nil {
		return nil, err
	}
	inputs, err := d.backlog(ctx, task)
	if err != nil {
		return nil, err
	}
	return inputs, d.attach(ctx, d.state.Needs(events(inputs)))
}

// cancelUnread ends a task whose state or plan cannot be had, because somebody
// wants it canceled: for that the engine is not needed.
func (d *drive) cancelUnread(ctx context.Context, task storage.Task) error {
	record := storage.TaskStep{
		Lease: d.lease, At: d.r.Now(), Status: storage.TaskCanceled, State: task.State,
		Seq: task.Seq, InboxDone: task.InboxSeq, Release: true,
	}
	record.FinishedAt = record.At
	var err error
	// A recorded cancel has closed the inbox: this is all there will be.
	if record.Events, err = d.r.Store.LoadInbox(ctx, task.ID, int(task.InboxSeq-task.InboxDone)); err != nil {
		return err
	}
	for i := range record.Events {
		record.Seq++
		record.Events[i].Seq = record.Seq
	}
	runs, err := d.r.Store.ListRuns(ctx, task.ID)
	if err != nil {
		return err
	}
	for _, run := range runs {
		if !run.FinishedAt.IsZero() {
			continue
		}
		record.Finished = append(record.Finished, storage.RunFinish{No: run.No, Status: storage.RunCanceled, FinishedAt: record.At})
		// A pull worker that began marks its run, with its name; a push worker is
		// named at the end.
		if run.Status == storage.RunQueued || run.WorkerID != "" {
			record.Outbox = append(record.Outbox, outbox.Withdraw(task.ID, run.ID, record.At))
		}
	}
	outcome, err := d.settle(ctx, record)
	if err == nil {
		err = outcome.Err
	}
	if err == nil {
		d.r.Metrics.committed(&record, d.trace.created)
		d.traceEnd(&record)
		d.r.Outbox.Offer(record.Outbox)
	}
	return err
}

// planGetter gives the plan of a flow version.
type planGetter func(ctx context.Context, versionID string) (*plans.Version, error)

// load gives the drive the task's state and plans. The state is to be attached.
func (d *drive) load(ctx context.Context, task storage.Task, get planGetter) error {
	state, err := engine.Load(task)
	if err != nil {
		return err
	}
	version, err := get(ctx, task.FlowVersionID)
	if err != nil {
		return fmt.Errorf("get the plan: %w", err)
	}
	if run, _ := state.Fan(); run != "" {
		if laid, found := d.r.recent.get(run); found {
			state.Recall(laid)
		}
	}
	d.begin(task, version, state)
	for _, id := range state.Versions() {
		if err := d.loadPlan(ctx, id, get); err != nil {
			return err
		}
	}
	return nil
}

// attach completes the committed state.
func (d *drive) attach(ctx context.Context, needs engine.Needs) error {
	var runs []storage.NodeRun
	if !needs.None() {
		err := d.r.patiently(ctx, "load_runs_failed", func() (err error) {
			runs, err = d.r.loadRuns(ctx, d.lease.TaskID, needs)
			return err
		})
		if err != nil {
			return err
		}
	}
	return d.program.Attach(&d.state, needs, runs)
}

// loadRuns gives the rows that are needed, in order.
func (r *Runner) loadRuns(ctx context.Context, taskID string, needs engine.Needs) ([]storage.NodeRun, error) {
	runs, err := r.Store.LoadRuns(ctx, taskID, needs.Runs)
	if err != nil || needs.EndedAfter == 0 {
		return runs, err
	}
	// A run that is active has not ended: none comes twice.
	ended, err := r.Store.LoadEndedRuns(ctx, taskID, needs.EndedAfter)
	runs = append(runs, ended...)
	slices.SortFunc(runs, func(a, b storage.NodeRun) int { return a.No - b.No })
	return runs, err
}

// loadPlan gives the program the plan of a version that a subflow is pinned to.
func (d *drive) loadPlan(ctx context.Context, versionID string, get planGetter) error {
	version, err := get(ctx, versionID)
	if err != nil {
		return fmt.Errorf("get the plan of a subflow: %w", err)
	}
	d.program.Flows[versionID] = version.Plan
	return nil
}

// View is a task as it stands, for reading only.
func (r *Runner) View(ctx context.Context, task storage.Task) (engine.Program, engine.State, error) {
	d := r.newDrive(nil, task, oneStep)
	if err := d.load(ctx, task, r.Plans.Get); err != nil {
		return engine.Program{}, engine.State{}, err
	}
	needs := d.state.Needs(nil)
	runs, err := r.loadRuns(ctx, task.ID, needs)
	if err == nil {
		err = d.program.Attach(&d.state, needs, runs)
	}
	return d.program, d.state, err
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
		inputs = append(inputs, input{event: engine.Event{Kind: storage.EventStarted, At: d.r.Now(), Limits: &d.r.Limits}})
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
// by now is left to it. When no place is free, the task makes that step alone and
// goes on when one is.
func (r *Runner) Attend(ctx context.Context, taskID string) error {
	for tries := 0; ; {
		switch h := r.holder(taskID); {
		case h == nil:
		case !h.hasStepped():
			// The poll was quicker, or a delivery that may yet leave it alone.
			if err := h.untilStepped(ctx); !errors.Is(err, errNotFree) {
				return err
			}
			continue
		case tries == lettingGo:
			return nil // the poll was quicker still: it holds the task since, and has made the step
		default:
			// It has released the task, or is about to: see who is next.
			tries++
			if !pause.For(ctx, claimPause) {
				return ctx.Err()
			}
			continue
		}
		extent := goOn
		if r.reserve(1) == 0 {
			if r.reserveOf(r.MaxInFlight+attendants, 1) == 0 {
				return nil
			}
			extent = eventsOnly
		}
		h, err := r.claimOne(ctx, taskID, extent)
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

const (
	// attendants are places beside MaxInFlight, for tasks that are to make one
	// step at once. A cancel must not wait for executions to end.
	attendants = 16
	// claimPause is longer than it takes to go from a claim to holding its tasks.
	claimPause = time.Millisecond
	// lettingGo is how many such pauses a holder may take from its last commit
	// to letting go.
	lettingGo = 20
)

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

// claimOne is not broken off by a caller who leaves: storage may have made the
// claim by then, and the task would be nobody's until its lease ends.
func (r *Runner) claimOne(ctx context.Context, taskID string, extent extent) (h *held, err error) {
	ctx, cancel := pause.Outlast(ctx, claimPatience)
	defer cancel()
	r.claiming(func() {
		var task storage.Task
		task, err = r.Store.ClaimTask(ctx, taskID, r.claimParams())
		if err == nil {
			h = r.start(task, extent)
		}
	})
	return h, err
}
