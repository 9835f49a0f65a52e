package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/plans"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// drive executes one task from a committed state until it is released: it
// waits for what happens, commits the step, carries out what the step asks
// for, and so on. One goroutine owns it.
type drive struct {
	r       *Runner
	held    *held
	log     *zap.Logger
	program engine.Program
	extent  extent

	// What is committed.
	lease     storage.LeaseRef
	state     engine.State
	seq       int64
	inboxDone int64

	// Executions under way. Each hands over its end on ended, unless the
	// drive is over.
	running map[string]context.CancelFunc // by run id
	group   sync.WaitGroup
	ended   chan engine.RunResult
	over    chan struct{}
}

// extent says how long a task is kept.
type extent string

const (
	goOn    extent = "go_on"    // until it ends or waits
	oneStep extent = "one_step" // until the next commit

	// untilTold is for a commit that goes before another one.
	untilTold extent = "until_told"
)

// newDrive makes the drive of a task in hand. Give it what it executes with
// begin.
func (r *Runner) newDrive(h *held, task storage.Task, extent extent) *drive {
	return &drive{
		r: r, held: h, extent: extent,
		log:   r.Log.With(zap.String("task_id", task.ID)),
		lease: storage.LeaseRef{TaskID: task.ID, Epoch: task.Lease.Epoch},
		seq:   task.Seq, inboxDone: task.InboxDone,
		running: map[string]context.CancelFunc{},
		ended:   make(chan engine.RunResult),
		over:    make(chan struct{}),
	}
}

func (d *drive) begin(task storage.Task, version *plans.Version, state engine.State) {
	d.program = engine.Program{Plan: version.Plan, TaskID: task.ID, Params: task.Params, Limits: d.r.Limits}
	d.state = state
}

// run drives on from the committed state, of which the given executions are to
// be carried out. It returns when the task is released, lost or given up.
func (d *drive) run(ctx context.Context, execute []engine.Execution) {
	defer d.group.Wait()
	defer close(d.over)
	defer d.guard()
	defer func() {
		for _, cancel := range d.running {
			cancel()
		}
	}()
	for {
		for _, x := range execute {
			d.execute(ctx, x)
		}
		inputs, err := d.next(ctx)
		if err != nil {
			d.giveUp(err)
			return
		}
		if len(inputs) == 0 {
			execute = nil
			continue
		}
		s, err := d.step(ctx, inputs, d.extent)
		if err != nil {
			d.giveUp(err)
			return
		}
		if s.record.Release {
			return
		}
		execute = s.execute
	}
}

// execute carries one execution out in its own goroutine.
func (d *drive) execute(ctx context.Context, x engine.Execution) {
	ctx, cancel := context.WithCancel(ctx)
	d.running[x.RunID] = cancel
	d.group.Go(func() {
		defer cancel()
		result, err := d.attempt(ctx, x)
		if err != nil {
			return // aborted: nobody waits for it
		}
		select {
		case d.ended <- result:
		case <-d.over:
		}
	})
}

// attempt is one execution. A panic in it is its failure and no one else's.
func (d *drive) attempt(ctx context.Context, x engine.Execution) (result engine.RunResult, err error) {
	defer func() {
		if p := recover(); p != nil {
			d.log.Error("execution_panicked", zap.String("node", x.Path), zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
			result, err = engine.RunResult{RunID: x.RunID, Error: &engine.RunError{
				Code: CodeInternal, Message: "the execution failed inside the scheduler", Final: true,
			}}, nil
		}
	}()
	return d.r.Executor.Do(ctx, d.lease.TaskID, x)
}

// next waits until something has happened. It may return nothing, when what
// woke it turned out to be no news.
func (d *drive) next(ctx context.Context) ([]input, error) {
	var due <-chan time.Time
	if at := d.state.NextDue(); !at.IsZero() {
		timer := time.NewTimer(at.Sub(d.r.Now()))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case result := <-d.ended:
		if d.running[result.RunID] == nil {
			return nil, nil // aborted while it handed over
		}
		in, err := d.finished(result)
		return []input{in}, err
	case <-d.held.news:
		return d.inbox(ctx)
	case <-due:
		return []input{d.fired()}, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// input is an event to apply. Those from the inbox are in the log already.
type input struct {
	event    engine.Event
	sourceID string          // "": the step makes one from the seq
	data     json.RawMessage // of the event, when it is encoded already
	logged   *storage.TaskEvent
}

func (in input) source() string {
	if in.logged != nil {
		return in.logged.SourceID
	}
	return in.sourceID
}

// finished is the end of an execution, read back from what the log will hold: a
// replay must apply the same bytes.
func (d *drive) finished(result engine.RunResult) (input, error) {
	logged := storage.TaskEvent{TaskID: d.lease.TaskID, SourceID: RunSource(result.RunID), Kind: storage.EventRunFinished, At: d.r.Now()}
	event := engine.Event{Kind: logged.Kind, At: logged.At, Result: &result}
	var err error
	if logged.Data, err = event.Data(); err != nil {
		return input{}, err
	}
	if event, err = engine.ReadEvent(logged); err != nil {
		return input{}, err
	}
	return input{event: event, sourceID: logged.SourceID, data: logged.Data}, nil
}

func (d *drive) fired() input {
	// Two clocks may differ by less than they are read apart; never be early.
	at := d.r.Now()
	if due := d.state.NextDue(); at.Before(due) {
		at = due
	}
	return input{event: engine.Event{Kind: storage.EventTimerFired, At: at}}
}

// RunSource is the source id of a run's end: a result that comes twice, or
// from the queue as well as from here, is one event.
func RunSource(runID string) string { return "run:" + runID }

// inbox reads the events from outside that are not applied.
func (d *drive) inbox(ctx context.Context) ([]input, error) {
	var events []storage.TaskEvent
	err := d.r.patiently(ctx, "load_inbox_failed", func() (err error) {
		events, err = d.r.Store.LoadInbox(ctx, d.lease.TaskID, inboxBatch)
		return err
	})
	if err != nil {
		return nil, err
	}
	inputs := make([]input, 0, len(events))
	for _, logged := range events {
		event, err := engine.ReadEvent(logged)
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, input{event: event, logged: &logged})
	}
	return inputs, nil
}

// giveUp lets go of a task without a step. What is executing is aborted.
func (d *drive) giveUp(cause error) {
	d.held.markStepped(cause)
	again := d.r.Now()
	switch {
	case errors.Is(cause, errLeaseLost):
		d.log.Warn("lease_lost", zap.Int64("epoch", d.lease.Epoch))
		return
	case errors.Is(cause, errCutOff):
	case errs.CodeOf(cause) == errs.Unavailable || errs.CodeOf(cause) == errs.DeadlineExceeded:
		d.log.Warn("task_put_off", zap.Error(cause))
		again = again.Add(retryTaskAfter)
	default:
		d.log.Error("task_given_up", zap.Error(cause))
		again = again.Add(retryBrokenTaskAfter)
	}
	// Should this fail as well, the lease's expiry frees the task.
	ctx, cancel := context.WithTimeout(context.Background(), storageTimeout)
	defer cancel()
	if _, err := d.r.Store.ReleaseLeases(ctx, []storage.LeaseRef{d.lease}, again); err != nil {
		d.log.Error("release_failed", zap.Error(err))
	}
}

// guard turns a panic into giving the task up, so that one task that trips a
// bug neither ends the process nor is taken again at once.
func (d *drive) guard() {
	if p := recover(); p != nil {
		d.giveUp(fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
	}
}

const (
	storageTimeout = 5 * time.Second
	// retryTaskAfter is when a task that could not be executed because a peer
	// is away is tried again.
	retryTaskAfter = 2 * time.Second
	// retryBrokenTaskAfter is the same for a task that cannot be executed for
	// a reason that time alone may not mend.
	retryBrokenTaskAfter = time.Minute
	// inboxBatch is the most events from outside that one step applies.
	inboxBatch = 1000
)
