package runner

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/outbox"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// computed is a step that is not committed yet.
type computed struct {
	state   engine.State
	record  storage.TaskStep
	work    work     // to carry out here, after the commit
	ended   []string // ids of runs whose execution here is over or to be aborted
	endedBy int      // index of the input that made the state terminal, if it is
}

// work is what steps ask a scheduler to do.
type work struct {
	execute []engine.Execution
	resolve []engine.Resolve
}

func workOf(effects engine.Effects) work {
	return work{execute: effects.Execute, resolve: effects.Resolve}
}

func (w *work) clear() { *w = work{} }

// without leaves out what is for runs that have ended.
func (w *work) without(ended []string) {
	w.execute = slices.DeleteFunc(w.execute, func(x engine.Execution) bool { return slices.Contains(ended, x.RunID) })
	w.resolve = slices.DeleteFunc(w.resolve, func(q engine.Resolve) bool { return slices.Contains(ended, q.RunID) })
}

func (w *work) add(more work) {
	w.execute = append(w.execute, more.execute...)
	w.resolve = append(w.resolve, more.resolve...)
}

// compute applies events to the committed state and makes the transaction of
// it. It changes nothing in the drive, so it can be done again.
func (d *drive) compute(inputs []input, extent extent) (*computed, error) {
	s := &computed{state: d.state}
	s.record = storage.TaskStep{Lease: d.lease, At: d.r.Now(), Seq: d.seq, InboxDone: d.inboxDone}
	var queued []engine.Execution
	for i, in := range inputs {
		event := in.event
		var effects engine.Effects
		if !s.state.Status.Terminal() {
			s.endedBy = i
		}
		s.state, effects = d.program.Step(s.state, event)

		s.record.Seq++
		logged, err := d.logEntry(in, s.record.Seq)
		if err != nil {
			return nil, err
		}
		s.record.Events = append(s.record.Events, logged)
		if logged.Arrival > 0 {
			s.record.InboxDone++
		}
		s.record.Started = append(s.record.Started, effects.Started...)
		s.record.Finished = append(s.record.Finished, effects.Finished...)

		if runID := runOf(event); runID != "" {
			s.ended = append(s.ended, runID)
		}
		for _, x := range effects.Execute {
			if x.Exec.Type == flow.ExecQueue {
				queued = append(queued, x)
			} else {
				s.work.execute = append(s.work.execute, x)
			}
		}
		s.work.resolve = append(s.work.resolve, effects.Resolve...)
		for _, abort := range effects.Abort {
			isIt := func(x engine.Execution) bool { return x.RunID == abort.RunID }
			s.ended = append(s.ended, abort.RunID)
			s.work.without([]string{abort.RunID})
			if before := len(queued); abort.Queued {
				if queued = slices.DeleteFunc(queued, isIt); len(queued) == before {
					s.record.Outbox = append(s.record.Outbox, outbox.Withdraw(d.lease.TaskID, abort.RunID, s.record.At))
				}
			}
		}
	}
	for _, x := range queued {
		message, err := outbox.PutJob(outbox.Origin{TaskID: d.lease.TaskID, Trace: d.trace.text}, x, s.record.At)
		if err != nil {
			return nil, err
		}
		s.record.Outbox = append(s.record.Outbox, message)
	}
	return s, d.finishRecord(s, extent)
}

// logEntry is the event as the log keeps it.
func (d *drive) logEntry(in input, seq int64) (storage.TaskEvent, error) {
	if in.logged != nil {
		logged := *in.logged
		logged.Seq = seq
		return logged, nil
	}
	data := in.data
	if data == nil {
		var err error
		if data, err = in.event.Data(); err != nil {
			return storage.TaskEvent{}, err
		}
	}
	source := in.sourceID
	if source == "" {
		source = fmt.Sprintf("%s:%d", in.event.Kind, seq)
	}
	return storage.TaskEvent{
		TaskID: d.lease.TaskID, SourceID: source, Kind: in.event.Kind, Data: data, At: in.event.At, Seq: seq,
	}, nil
}

// finishRecord fills in the task's row and decides whether the task is let go.
func (d *drive) finishRecord(s *computed, extent extent) error {
	state, err := s.state.JSON()
	if err != nil {
		return err
	}
	s.record.State, s.record.Status, s.record.CurrentNode = state, s.state.Status, s.state.CurrentNode()
	s.record.WaitsFor = d.program.WaitsFor(s.state)
	if !bytes.Equal(s.state.Shared, d.state.Shared) {
		s.record.Shared = s.state.Shared
	}
	if s.state.Failure != nil {
		s.record.Error = s.state.Failure.JSON()
	}
	switch {
	case s.state.Status.Terminal():
		s.record.FinishedAt = s.record.At
		s.record.Release = true
	case extent == untilTold:
	case s.state.Status == storage.TaskPending:
		s.record.Release, s.record.RunnableAt = true, s.record.At
	case s.state.Status != storage.TaskRunning:
		s.record.Release, s.record.RunnableAt = true, s.state.NextDue()
	case (extent == oneStep || extent == eventsOnly || d.stopping()) && !d.executing(s.ended):
		// Whoever takes it next carries out what this step has recorded as
		// running.
		s.record.Release, s.record.RunnableAt = true, s.record.At
	}
	if s.record.Release {
		s.work.clear()
	}
	return nil
}

// executing reports whether an execution is under way here besides those that
// have ended: a task is not let go in the middle of one.
func (d *drive) executing(ended []string) bool {
	for runID := range d.running {
		if !slices.Contains(ended, runID) {
			return true
		}
	}
	return false
}

func (d *drive) stopping() bool {
	select {
	case <-d.r.stopping:
		return true
	default:
		return false
	}
}
