package approvals

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
	"github.com/pocketflowgo/pocketflow/shared/pause"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Decision is somebody's answer to an approval.
type Decision struct {
	TaskID  string
	Digest  string          // of what was shown
	RunID   string          // of the approval, "" when it is not known
	Value   json.RawMessage // true, false or a string
	By      string
	Comment string
}

const (
	// settleWait is how long a decision waits for a task that is being moved on
	// or has not come to what it was sent.
	settleWait = 2 * time.Second
	// attendWait is how long its answer waits for the task to go on. The decision
	// is durable before that.
	attendWait = time.Second
)

// The pauses between looks at a task that is being moved on, which takes
// milliseconds unless an owner is lost.
const (
	firstLook = 2 * time.Millisecond
	mostLook  = 100 * time.Millisecond
)

// Decide makes the decision part of the task's history, if the task still asks
// what the digest names; of several decisions one is taken. Nil also when this
// very decision was taken before. Otherwise errs.ApprovalChanged,
// errs.ApprovalClosed, errs.LeaseHeld when the task did not come to rest, or
// storage.ErrNotFound and ErrEnded.
func (d *Desk) Decide(ctx context.Context, decision Decision) error {
	patience, stop := context.WithTimeout(ctx, settleWait)
	defer stop()
	wait := pause.Backoff{First: firstLook, Most: mostLook}
	for {
		task, err := d.Store.GetTask(ctx, decision.TaskID)
		if err != nil {
			return err
		}
		err = d.decideAt(ctx, task, decision)
		if !errors.Is(err, storage.ErrMoved) {
			return err
		}
		if task.Lease.Owner == "" || !task.Lease.Expiry.After(d.Now()) {
			// What it was sent is not applied yet, or its owner is gone. What
			// comes of this the next look tells.
			_ = d.Runner.Attend(patience, task.ID)
		}
		if !pause.For(patience, wait.Next()) {
			if err := ctx.Err(); err != nil {
				return err
			}
			return errs.New(errs.LeaseHeld, "the task %q is being executed; try again", task.ID)
		}
	}
}

// decideAt decides on the task as it was read. storage.ErrMoved: not there, or
// not yet; look again.
func (d *Desk) decideAt(ctx context.Context, task storage.Task, decision Decision) error {
	if task.Status.Terminal() || task.Status == storage.TaskCanceling {
		return d.unlessRepeated(ctx, decision, storage.ErrEnded)
	}
	pending, err := d.find(ctx, task)
	switch {
	case err != nil:
		return err
	case pending == nil:
		return d.unlessRepeated(ctx, decision, errs.New(errs.ApprovalClosed, "the task %q does not wait for a decision", task.ID))
	case pending.Digest != decision.Digest || decision.RunID != "" && decision.RunID != pending.RunID:
		return d.unlessRepeated(ctx, decision, errs.New(errs.ApprovalChanged,
			"the task %q waits for a decision on something else than was shown; look at it again", task.ID))
	}
	entry := record{Decision: decision, runID: pending.RunID, key: pending.Key, at: nowhere()}
	if task.InboxSeq == task.InboxDone {
		entry.at = storage.TaskPosition{Seq: task.Seq, InboxSeq: task.InboxSeq}
	}
	outcome, err := d.append(ctx, entry)
	if err != nil || outcome.Duplicate {
		return err
	}
	stepped, stop := context.WithTimeout(ctx, attendWait)
	defer stop()
	// If that does not work out, the hint or the poll comes to it.
	_ = d.Runner.Attend(stepped, task.ID)
	return nil
}

// unlessRepeated is nil when this very decision was taken before, and otherwise
// the given error or who decided instead.
func (d *Desk) unlessRepeated(ctx context.Context, decision Decision, otherwise error) error {
	if decision.RunID == "" {
		return otherwise
	}
	outcome, err := d.append(ctx, record{Decision: decision, runID: decision.RunID, at: nowhere()})
	if outcome.Duplicate {
		return err
	}
	if errors.Is(err, storage.ErrMoved) || errors.Is(err, storage.ErrEnded) {
		return otherwise
	}
	return err
}

// nowhere is a place where no task ever is: an append that is only for it finds
// out whether its event is in the log, and changes nothing.
func nowhere() storage.TaskPosition { return storage.TaskPosition{Seq: -1, InboxSeq: -1} }

// record is a decision on its way into the log.
type record struct {
	Decision
	runID string
	key   string
	at    storage.TaskPosition
}

// append puts the decision into the log if the task is where it has to be. There
// is one decision of a run: another one that is there already is
// errs.ApprovalClosed, the same one a duplicate without an error.
func (d *Desk) append(ctx context.Context, entry record) (storage.AppendOutcome, error) {
	signal := engine.Signal{
		Key: entry.key, Value: entry.Value, RunID: entry.runID, DecidedBy: entry.By, Comment: entry.Comment,
	}
	event := engine.Event{Kind: storage.EventSignal, Signal: &signal}
	data, err := event.Data()
	if err != nil {
		return storage.AppendOutcome{}, err
	}
	outcomes, err := d.Store.AppendEvents(ctx, []storage.InboxEvent{{
		TaskID: entry.TaskID, SourceID: "decision:" + entry.runID, Kind: storage.EventSignal, Data: data, At: d.Now(),
		OnlyAt: &entry.at,
	}})
	if err != nil {
		return storage.AppendOutcome{}, err
	}
	outcome := outcomes[0]
	if outcome.Duplicate {
		return outcome, sameDecision(signal, outcome.Stored)
	}
	return outcome, outcome.Err
}

// sameDecision is nil when the event in the log says the same.
func sameDecision(signal engine.Signal, stored storage.TaskEvent) error {
	event, err := engine.ReadEvent(stored)
	if err != nil {
		return fmt.Errorf("read the decision that was taken: %w", err)
	}
	taken := event.Signal
	if taken == nil {
		return fmt.Errorf("the event %s of %s is no decision", stored.SourceID, stored.TaskID)
	}
	if rawjson.Equal(taken.Value, signal.Value) && taken.DecidedBy == signal.DecidedBy && taken.Comment == signal.Comment {
		return nil
	}
	by := ""
	if taken.DecidedBy != "" {
		by = fmt.Sprintf(" by %q", taken.DecidedBy)
	}
	return errs.New(errs.ApprovalClosed, "it was decided before%s: %s", by, taken.Value)
}
