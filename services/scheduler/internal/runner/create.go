package runner

import (
	"context"
	"encoding/json"
	"time"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/plans"
	"github.com/pocketflowgo/pocketflow/shared/ids"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/tracing"
)

// CreateParams are a new task.
type CreateParams struct {
	Version     *plans.Version
	Params      json.RawMessage // a JSON object
	RequestID   string
	RequestHash string
}

// Create stores a task and, when a place is free, takes its lease in the same
// transaction and executes it at once: the first step is committed with the
// task itself. Otherwise the task is pending, and the poll finds it.
func (r *Runner) Create(ctx context.Context, p CreateParams) (storage.CreateOutcome, error) {
	now := r.Now()
	task := storage.Task{
		ID: ids.New(ids.Task), FlowID: p.Version.FlowID, FlowVersionID: p.Version.ID,
		FlowName: p.Version.FlowName, FlowVersion: p.Version.Number,
		Params: p.Params, RequestID: p.RequestID, RequestHash: p.RequestHash, Trace: tracing.Text(ctx),
		RunnableAt: now, CreatedAt: now, UpdatedAt: now,
	}
	state := engine.NewState()
	if r.reserve(1) == 1 {
		return r.createAndStart(ctx, task, p.Version, state)
	}
	stateJSON, err := state.JSON()
	if err != nil {
		return storage.CreateOutcome{}, err
	}
	task.Status, task.Shared, task.State = state.Status, state.Shared, stateJSON
	return r.insert(ctx, storage.NewTask{Task: task})
}

func (r *Runner) insert(ctx context.Context, task storage.NewTask) (storage.CreateOutcome, error) {
	// A caller that hangs up must not leave it open whether the task is held
	// here: storage bounds the time.
	outcomes, err := r.Store.CreateTasks(context.WithoutCancel(ctx), []storage.NewTask{task})
	if err != nil {
		return storage.CreateOutcome{}, err
	}
	if outcomes[0].Err == nil && !outcomes[0].Existing {
		r.Metrics.created.Inc()
	}
	return outcomes[0], nil
}

// createAndStart uses the place that the caller has reserved.
func (r *Runner) createAndStart(ctx context.Context, task storage.Task, version *plans.Version, state engine.State) (storage.CreateOutcome, error) {
	holdCtx, h := r.hold(task.ID, 0)
	d := r.newDrive(h, task, goOn)
	d.begin(task, version, state)
	driving := false
	letGo := func() {
		r.letGo(h)
		r.free(1)
	}
	defer func() {
		if !driving {
			letGo()
		}
	}()
	began := time.Now()
	s, err := d.compute([]input{{event: engine.Event{Kind: storage.EventStarted, At: task.CreatedAt, Limits: &r.Limits}}}, goOn)
	if err != nil {
		return storage.CreateOutcome{}, err
	}
	task.Status, task.Shared, task.State = s.state.Status, s.state.Shared, s.record.State
	task.CurrentNode, task.WaitsFor, task.Error = s.record.CurrentNode, s.record.WaitsFor, s.record.Error
	task.FinishedAt, task.Seq = s.record.FinishedAt, s.record.Seq
	task.RunnableAt = s.record.RunnableAt
	task.Lease = storage.Lease{Epoch: firstEpoch}
	if !s.record.Release {
		until := task.CreatedAt.Add(r.LeaseTTL)
		task.Lease = storage.Lease{Owner: r.Owner, Expiry: until, Epoch: firstEpoch}
		task.RunnableAt = until
	}
	outcome, err := r.insert(ctx, storage.NewTask{
		Task: task, Events: s.record.Events, Started: s.record.Started, Outbox: s.record.Outbox,
	})
	if err != nil || outcome.Err != nil || outcome.Existing {
		return outcome, err
	}
	r.setEpoch(h, firstEpoch)
	d.lease.Epoch = firstEpoch
	r.Metrics.stepSeconds.Observe(time.Since(began).Seconds())
	d.committed(s)
	if s.record.Release {
		if !s.record.RunnableAt.IsZero() {
			r.Poke() // to sleep no longer than until then
		}
		return outcome, nil
	}
	driving = true
	r.crew.Go(func() {
		defer letGo()
		d.run(holdCtx, s.work)
	})
	return outcome, nil
}

const firstEpoch = 1
