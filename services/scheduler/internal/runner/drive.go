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
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
	"github.com/pocketflowgo/pocketflow/shared/pause"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/tracing"
)

// drive executes one task from a committed state until it is released: it
// waits for what happens, commits the step, carries out what the step asks
// for, and so on. One goroutine owns it.
type drive struct {
	r      *Runner
	held   *held
	log    *zap.Logger
	extent extent
	standing

	// Executions under way. Each hands over its end on ended, unless the
	// drive is over.
	running map[string]context.CancelFunc // by run id
	group   sync.WaitGroup
	ended   chan engine.Event
	over    chan struct{}
}

// standing is what is committed of a task, and what it is executed with.
type standing struct {
	program engine.Program
	trace   taskTrace

	lease     storage.LeaseRef
	state     engine.State
	seq       int64
	inboxDone int64
}

// extent says how long a task is kept.
type extent string

const (
	goOn    extent = "go_on"    // until it ends or waits
	oneStep extent = "one_step" // until the next commit
	// eventsOnly is for the one step that applies what has happened, and
	// executes nothing.
	eventsOnly extent = "events_only"

	// untilTold is for a commit that goes before another one.
	untilTold extent = "until_told"
)

// newDrive makes the drive of a task in hand. Give it what it executes with
// begin.
func (r *Runner) newDrive(h *held, task storage.Task, extent extent) *drive {
	return r.driveFrom(h, extent, standing{
		trace: traceOf(task), lease: storage.LeaseRef{TaskID: task.ID, Epoch: task.Lease.Epoch},
		seq: task.Seq, inboxDone: task.InboxDone,
	})
}

func (r *Runner) driveFrom(h *held, extent extent, from standing) *drive {
	return &drive{
		r: r, held: h, extent: extent, standing: from,
		log:     r.Log.With(zap.String("task_id", from.lease.TaskID)),
		running: map[string]context.CancelFunc{},
		ended:   make(chan engine.Event),
		over:    make(chan struct{}),
	}
}

func (d *drive) begin(task storage.Task, version *plans.Version, state engine.State) {
	d.program = engine.Program{
		Plan: version.Plan, TaskID: task.ID, Params: task.Params, Limits: d.r.Limits,
		Flows: map[string]*flow.Plan{},
	}
	d.state = state
}

// run drives on from the committed state, of which the given work is to be
// carried out. It returns when the task is released, lost or given up.
func (d *drive) run(ctx context.Context, work work) {
	defer d.group.Wait()
	defer close(d.over)
	defer d.guard()
	defer func() {
		for _, cancel := range d.running {
			cancel()
		}
	}()
	for {
		d.carryOut(ctx, work)
		inputs, err := d.next(ctx)
		if err != nil {
			d.giveUp(err)
			return
		}
		if len(inputs) == 0 {
			work.clear()
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
		work = s.work
	}
}

// carryOut begins what a committed step asks for. Where the task is to be let
// go once nothing is executing, nothing more is begun beside what is; whoever
// takes the task next does.
func (d *drive) carryOut(ctx context.Context, work work) {
	if len(d.running) > 0 && (d.extent == oneStep || d.stopping()) {
		return
	}
	for _, x := range work.execute {
		d.begun(ctx, x.RunID, func(ctx context.Context) (engine.Event, error) {
			result, err := d.attempt(ctx, x)
			return engine.Event{Kind: storage.EventRunFinished, Result: &result}, err
		})
	}
	for _, question := range work.resolve {
		d.begun(ctx, question.RunID, func(ctx context.Context) (engine.Event, error) {
			return d.resolve(ctx, question)
		})
	}
}

// begun does something for a run in a goroutine of its own, which hands over
// the event that is its end. An error means that it was aborted: nobody waits
// for it.
func (d *drive) begun(ctx context.Context, runID string, do func(context.Context) (engine.Event, error)) {
	ctx, cancel := context.WithCancel(ctx)
	d.running[runID] = cancel
	d.group.Add(1)
	d.r.crew.Go(func() {
		defer d.group.Done()
		defer cancel()
		event, err := do(ctx)
		if err != nil {
			return
		}
		select {
		case d.ended <- event:
		case <-d.over:
		}
	})
}

// resolve asks the catalog which version a subflow executes, until it says.
func (d *drive) resolve(ctx context.Context, question engine.Resolve) (engine.Event, error) {
	answer := &engine.FlowResolved{RunID: question.RunID}
	event := engine.Event{Kind: storage.EventFlowResolved, Resolved: answer}
	for failing := false; ; failing = true {
		version, err := d.r.Plans.ResolveRef(ctx, question.Ref)
		code := errs.CodeOf(err)
		switch {
		case err == nil:
			answer.VersionID = version.ID
			return event, nil
		case ctx.Err() != nil:
			return event, ctx.Err()
		case code == errs.NotFound || code == errs.NotPublished || code == errs.InvalidArgument:
			answer.Error = &engine.RunError{Code: engine.CodeFlowNotFound, Message: errs.DetailOf(err)}
			return event, nil
		case !failing:
			d.log.Warn("resolve_flow_failed", zap.Error(err))
		}
		if !pause.For(ctx, resolvePause) {
			return event, ctx.Err()
		}
	}
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
	began := time.Now()
	result, err = d.r.Executor.Do(tracing.Join(ctx, d.trace.text), d.lease.TaskID, x)
	if err == nil {
		d.r.Metrics.executed(x, result, time.Since(began))
	}
	if err == nil && rawjson.TooDeep(result.Result) {
		result.Result = nil
		result.Error = &engine.RunError{
			Code: engine.CodeTooLarge, Message: fmt.Sprintf("the result has more than %d levels", rawjson.MaxDepth), Final: true,
		}
	}
	return result, err
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
	case event := <-d.ended:
		return d.endings(event)
	case <-d.held.news:
		return d.inbox(ctx)
	case <-due:
		return []input{d.fired()}, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// endings takes along what else has ended by now: branches that end together
// are one step, and one commit.
func (d *drive) endings(event engine.Event) ([]input, error) {
	var inputs []input
	for {
		if d.running[runOf(event)] != nil { // or else aborted while it handed over
			in, err := d.finished(event)
			if err != nil {
				return nil, err
			}
			inputs = append(inputs, in)
		}
		if len(inputs) == endingsBatch {
			return inputs, nil
		}
		select {
		case event = <-d.ended:
		default:
			return inputs, nil
		}
	}
}

// runOf is the run that an event is the end of; "" when it is of none.
func runOf(event engine.Event) string {
	switch {
	case event.Result != nil:
		return event.Result.RunID
	case event.Resolved != nil:
		return event.Resolved.RunID
	}
	return ""
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

func events(inputs []input) []engine.Event {
	list := make([]engine.Event, len(inputs))
	for i := range inputs {
		list[i] = inputs[i].event
	}
	return list
}

// finished is an end that was handed over, read back from what the log will
// hold: a replay must apply the same bytes.
func (d *drive) finished(event engine.Event) (input, error) {
	event.At = d.r.Now()
	sourceID := "here:" + runOf(event)
	if event.Resolved != nil {
		sourceID = "flow:" + event.Resolved.RunID
	}
	data, err := event.Data()
	if err != nil {
		return input{}, err
	}
	return made(storage.TaskEvent{TaskID: d.lease.TaskID, SourceID: sourceID, Kind: event.Kind, Data: data, At: event.At})
}

// made is an event that the step is to add to the log.
func made(logged storage.TaskEvent) (input, error) {
	event, err := engine.ReadEvent(logged)
	return input{event: event, sourceID: logged.SourceID, data: logged.Data}, err
}

func (d *drive) fired() input {
	// Two clocks may differ by less than they are read apart; never be early.
	at := d.r.Now()
	if due := d.state.NextDue(); at.Before(due) {
		at = due
	}
	return input{event: engine.Event{Kind: storage.EventTimerFired, At: at}}
}

// RunSource is the source id of a run's end that comes from outside: however
// often it does, it is one event. An end from here is another one. It may be
// committed while one from outside is in the inbox, which that must leave as it
// is: an event that is counted there is to be applied.
func RunSource(runID string) string { return "run:" + runID }

// inbox reads the events from outside that are not applied.
func (d *drive) inbox(ctx context.Context) ([]input, error) { return d.inboxOf(ctx, inboxBatch) }

func (d *drive) inboxOf(ctx context.Context, limit int) ([]input, error) {
	var events []storage.TaskEvent
	err := d.r.patiently(ctx, "load_inbox_failed", func() (err error) {
		events, err = d.r.Store.LoadInbox(ctx, d.lease.TaskID, limit)
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
		d.r.Metrics.leaseLosses.Inc()
		d.log.Warn("lease_lost", zap.Int64("epoch", d.lease.Epoch))
		return
	case errors.Is(cause, errCutOff):
	case errs.CodeOf(cause) == errs.Unavailable || errs.CodeOf(cause) == errs.DeadlineExceeded:
		d.r.Metrics.putOff.Inc()
		d.log.Warn("task_put_off", zap.Error(cause))
		again = again.Add(retryTaskAfter)
	default:
		d.r.Metrics.givenUp.Inc()
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
	// endingsBatch is the most executions that end in one step.
	endingsBatch = 100
	// resolvePause is how long the catalog is left alone when it is away.
	resolvePause = 500 * time.Millisecond
)
