package runner

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/plans"
	"github.com/pocketflowgo/pocketflow/shared/pause"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Deliver makes the ends of queued runs their tasks' next steps at once: a step
// that takes the lease with it is one transaction, where to append the event,
// to claim the task and to make the step are three. It returns the events that
// it could not apply so, of which nothing is known but that appending them is
// safe: those of tasks that somebody holds or that do not wait for them, and all
// when no place is free. They are to be appended.
func (r *Runner) Deliver(ctx context.Context, events []storage.InboxEvent) []storage.InboxEvent {
	byTask := map[string][]storage.InboxEvent{}
	for _, event := range events {
		byTask[event.TaskID] = append(byTask[event.TaskID], event)
	}
	var group sync.WaitGroup
	var mu sync.Mutex
	var left []storage.InboxEvent
	for taskID, events := range byTask {
		if r.reserve(1) == 0 {
			mu.Lock()
			left = append(left, events...)
			mu.Unlock()
			continue
		}
		group.Add(1)
		r.crew.Go(func() { // under a place, so never after a stop
			defer group.Done()
			if !r.deliver(ctx, taskID, events) {
				mu.Lock()
				left = append(left, events...)
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return left
}

// deliver reports whether the events of one task are a committed step. A commit
// whose answer is lost is not: appending them finds out, and the lease, if it
// was taken, ends with its time, as that of a claim does. It uses a place that
// the caller has reserved.
func (r *Runner) deliver(ctx context.Context, taskID string, events []storage.InboxEvent) (applied bool) {
	holdCtx, h := r.holdFree(taskID)
	if h == nil {
		r.free(1)
		return false
	}
	driving := false
	letGo := func() {
		r.letGo(h)
		r.free(1)
	}
	defer func() {
		// A bug that one result trips is that task's: the poll finds the events
		// in its inbox, and puts it off.
		if p := recover(); p != nil {
			applied = false
			h.markStepped(errNotFree)
			r.Log.Error("deliver_panicked", zap.String("task_id", taskID), zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
		}
		if !driving {
			letGo()
		}
	}()
	d, work, err := r.stepFree(ctx, h, events)
	switch {
	case err != nil:
		if !errors.Is(err, errNotFree) {
			r.Log.Warn("deliver_failed", zap.String("task_id", taskID), zap.Error(err))
		}
		h.markStepped(errNotFree)
		return false
	case d == nil:
		return true
	}
	driving = true
	r.crew.Go(func() {
		defer letGo()
		d.run(holdCtx, work)
	})
	return true
}

// errNotFree tells that a task is not one to make a step of without a claim.
var errNotFree = errors.New("the task is held, or does not wait for this")

// stepFree makes a step of a task that nobody holds. When it goes on here, its
// drive is returned with what is to be carried out. errNotFree, or an error that
// leaves it open whether the step is committed.
func (r *Runner) stepFree(ctx context.Context, h *held, events []storage.InboxEvent) (*drive, work, error) {
	// A caller who leaves does not break it off: see claimOne.
	ctx, cancel := pause.Outlast(ctx, claimPatience)
	defer cancel()
	d, err := r.driveFree(ctx, h)
	if err != nil {
		return nil, work{}, err
	}
	inputs, err := d.awaited(events)
	if err != nil {
		return nil, work{}, err
	}
	if elapsed(d.state.NextDue(), r.Now()) {
		inputs = append(inputs, d.fired()) // or the step would begin what the time forbids
	}
	if err := d.prepare(ctx, inputs); err != nil {
		return nil, work{}, err
	}
	began := time.Now()
	s, err := d.compute(inputs, goOn)
	if err != nil {
		return nil, work{}, err
	}
	s.record.Take = &storage.Take{Owner: r.Owner, Until: s.record.At.Add(r.LeaseTTL)}
	// Once: repeated, it would be refused even if it was committed, and would
	// take a lease that has run for a while.
	outcomes, err := r.Store.SettleSteps(ctx, []storage.TaskStep{s.record})
	switch {
	case err != nil:
		return nil, work{}, err
	case outcomes[0].Err != nil:
		// Moved on in between, or not storable, which is answered where it is appended.
		return nil, work{}, errNotFree
	}
	d.lease.Epoch++
	r.Metrics.claimed.Inc()
	r.Metrics.stepSeconds.Observe(time.Since(began).Seconds())
	d.committed(s)
	d.afterCommit(s, outcomes[0])
	if s.record.Release {
		return nil, work{}, nil
	}
	r.setEpoch(h, d.lease.Epoch)
	return d, s.work, nil
}

// driveFree is the drive of a task that waits for the queue: of such a task
// nothing is executing anywhere, so what the step asks for is all there is to
// carry out. Whether it still stands so, the commit finds out.
func (r *Runner) driveFree(ctx context.Context, h *held) (*drive, error) {
	// Taken, not only looked at: a fan's states share an array.
	if from, found := r.waiting.take(h.taskID); found {
		return r.driveFrom(h, goOn, from), nil
	}
	task, err := r.Store.GetTask(ctx, h.taskID)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil, errNotFree
	case err != nil:
		return nil, err
	case task.Status != storage.TaskWaitingQueue || task.Lease.Owner != "" || task.InboxSeq > task.InboxDone:
		return nil, errNotFree
	}
	d := r.newDrive(h, task, goOn)
	return d, d.load(ctx, task, r.knownPlan)
}

// knownPlan is for what must not wait for the catalog.
func (r *Runner) knownPlan(_ context.Context, versionID string) (*plans.Version, error) {
	if version, known := r.Plans.Known(versionID); known {
		return version, nil
	}
	return nil, errNotFree
}

// awaited are the inputs of events that each end a run which the state waits
// for, so none of them is in the log yet.
func (d *drive) awaited(events []storage.InboxEvent) ([]input, error) {
	inputs := make([]input, len(events))
	runs := map[string]bool{}
	for i, event := range events {
		in, err := made(storage.TaskEvent{
			TaskID: event.TaskID, SourceID: event.SourceID, Kind: event.Kind, Data: event.Data, At: event.At,
		})
		if err != nil {
			return nil, fmt.Errorf("read the event %s: %w", event.SourceID, err)
		}
		runID := runOf(in.event)
		if runs[runID] || !d.state.Awaits(runID) {
			return nil, errNotFree
		}
		runs[runID] = true
		inputs[i] = in
	}
	return inputs, nil
}
