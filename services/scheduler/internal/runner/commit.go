package runner

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/shared/pause"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// step applies events and commits, in more than one transaction when the first
// is refused.
func (d *drive) step(ctx context.Context, inputs []input, extent extent) (*computed, error) {
	var earlier work // asked for by what was committed first
	for {
		s, err := d.try(ctx, inputs, extent)
		var first, rest []input
		switch {
		case err == nil:
			if !s.record.Release {
				earlier.without(s.ended)
				earlier.add(s.work)
				s.work = earlier
			}
			return s, nil
		case errors.Is(err, storage.ErrInvalidData), errors.Is(err, storage.ErrInvalidText):
			first, rest, err = divide(inputs, err)
		case errors.Is(err, storage.ErrInboxPending):
			first, rest, err = d.postpone(ctx, inputs, ending{by: inputs[s.endedBy], extent: extent})
		}
		if err != nil {
			return nil, err
		}
		if len(first) > 0 {
			s, err := d.step(ctx, first, untilTold)
			if err != nil || s.record.Release {
				return s, err
			}
			earlier.without(s.ended)
			earlier.add(s.work)
		}
		inputs = rest
	}
}

// try computes one transaction and commits it. What was computed comes along
// with the refusal storage.ErrInboxPending.
func (d *drive) try(ctx context.Context, inputs []input, extent extent) (*computed, error) {
	if err := d.prepare(ctx, inputs); err != nil {
		return nil, err
	}
	began := time.Now()
	s, err := d.compute(inputs, extent)
	if err != nil {
		return nil, err
	}
	outcome, err := d.settle(ctx, s.record)
	switch {
	case err != nil:
		return nil, err
	case errors.Is(outcome.Err, storage.ErrLeaseLost):
		return nil, errLeaseLost
	case outcome.Err != nil:
		return s, outcome.Err
	}
	d.r.Metrics.stepSeconds.Observe(time.Since(began).Seconds())
	d.committed(s)
	d.afterCommit(s, outcome)
	return s, nil
}

// divide finds the input that the database does not store, one by one, and
// replaces it by a failure that says so.
func divide(inputs []input, refused error) (first, rest []input, err error) {
	if len(inputs) > 1 {
		return inputs[:1], inputs[1:], nil
	}
	rest, err = storable(inputs, refused)
	return nil, rest, err
}

// ending is a step that would end the task.
type ending struct {
	by     input
	extent extent
}

// postpone is for a step that would end the task while events from outside are
// unheard: it is refused, because whoever sent them was told that they count.
// Then the event that ends the task is kept for last: all others are committed
// first, so each refusal makes progress. A cancel keeps its turn, since nothing
// can follow it; and so does everything when there is another one among the
// others that ends the task, since they cannot both be last.
func (d *drive) postpone(ctx context.Context, inputs []input, end ending) (first, rest []input, err error) {
	all, err := d.inTurn(ctx, inputs)
	if err != nil {
		return nil, nil, err
	}
	if end.by.event.Kind == storage.EventCancel || end.extent == untilTold && end.by.logged != nil {
		return nil, all, nil
	}
	others := slices.DeleteFunc(all, func(in input) bool {
		return in.event.Kind == end.by.event.Kind && in.source() == end.by.source()
	})
	return others, []input{end.by}, nil
}

// inTurn is what is in the inbox by now, in its order, and the drive's own
// inputs. It reads more each time, because a step that ends the task has to
// apply all there is.
func (d *drive) inTurn(ctx context.Context, inputs []input) ([]input, error) {
	all, err := d.inboxOf(ctx, max(inboxBatch, 2*len(inputs)))
	if err != nil {
		return nil, err
	}
	for _, in := range inputs {
		if in.logged == nil {
			all = append(all, in)
		}
	}
	return all, nil
}

// prepare loads what the events need besides the committed state.
func (d *drive) prepare(ctx context.Context, inputs []input) error {
	for _, in := range inputs {
		if resolved := in.event.Resolved; resolved != nil && resolved.Error == nil {
			if err := d.loadPlan(ctx, resolved.VersionID, d.r.Plans.Get); err != nil {
				return err
			}
		}
	}
	if needs := d.state.Needs(events(inputs)); !needs.None() {
		return d.attach(ctx, needs)
	}
	return nil
}

// storable replaces what the database refuses to store by a failure that says
// so. It fails when there is no result to blame.
func storable(inputs []input, refused error) ([]input, error) {
	out := slices.Clone(inputs)
	replaced := false
	for i, in := range out {
		if result := in.event.Result; result != nil && in.logged == nil && result.Error == nil {
			failed := *result
			failed.Result = nil
			failed.Error = &engine.RunError{Code: CodeNotStorable, Message: "the database refuses the result", Final: true}
			out[i].event.Result, out[i].data = &failed, nil
			replaced = true
		}
	}
	if !replaced {
		return nil, refused
	}
	return out, nil
}

// The codes of failures that are the runner's.
const (
	CodeNotStorable = "not_storable" // the database refuses the result
	CodeInternal    = "internal"     // a bug; the log has it
)

// settle commits. Repeating is safe, see SettleSteps.
func (d *drive) settle(ctx context.Context, record storage.TaskStep) (storage.StepOutcome, error) {
	var outcomes []storage.StepOutcome
	err := d.r.patiently(ctx, "settle_failed", func() (err error) {
		outcomes, err = d.r.Store.SettleSteps(ctx, []storage.TaskStep{record})
		return err
	})
	if err != nil {
		return storage.StepOutcome{}, err
	}
	return outcomes[0], nil
}

// patiently repeats a call of storage while that is away: the work on a task in
// hand is worth more than the wait. It fails with what ended ctx, or when the
// data itself is refused.
func (r *Runner) patiently(ctx context.Context, what string, call func() error) error {
	for failing := false; ; failing = true {
		err := call()
		switch {
		case err == nil, errors.Is(err, storage.ErrInvalidData):
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !failing:
			r.Log.Error(what, zap.Error(err)) // once: an outage meets every task
		}
		if !pause.For(ctx, storagePause) {
			return context.Cause(ctx)
		}
	}
}

func (d *drive) committed(s *computed) {
	d.r.Metrics.committed(&s.record, d.trace.created)
	d.traceEnd(&s.record)
	d.state, d.seq, d.inboxDone = s.state, s.record.Seq, s.record.InboxDone
	for _, runID := range s.ended {
		if cancel := d.running[runID]; cancel != nil {
			cancel()
			delete(d.running, runID)
		}
	}
	if len(s.record.Outbox) > 0 {
		d.r.Outbox.Offer(s.record.Outbox)
	}
	if s.record.Release {
		d.keep()
	}
	d.held.markStepped(nil)
}

// keep puts aside, of a task that is let go, what saves reading it again.
func (d *drive) keep() {
	if run, laid := d.state.Fan(); laid != nil {
		d.r.recent.put(run, laid, laid.Size())
	}
	if d.state.Status == storage.TaskWaitingQueue {
		d.r.waiting.put(d.lease.TaskID, d.standing, standingSize+d.state.Size()+len(d.program.Params))
	}
}

func (d *drive) afterCommit(s *computed, outcome storage.StepOutcome) {
	switch {
	case !s.record.Release:
		if outcome.InboxPending {
			d.held.notify()
		}
	case s.state.Status.Terminal():
	case outcome.InboxPending || !s.record.RunnableAt.IsZero():
		d.r.Poke()
	}
}
