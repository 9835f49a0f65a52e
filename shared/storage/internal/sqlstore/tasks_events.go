package sqlstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// The seq is NULL until the event is applied, for the index of the inbox.
const eventColumns = `task_id, source_id, kind, data, at, arrival`

func scanEvent(row Row) (storage.TaskEvent, error) {
	var event storage.TaskEvent
	var kind string
	err := row.Scan(&event.TaskID, &event.SourceID, &kind, (*[]byte)(&event.Data), intoTime(&event.At),
		&event.Arrival, &event.Seq)
	event.Kind = storage.EventKind(kind)
	return event, err
}

const listEventsSQL = `
SELECT ` + eventColumns + `, seq FROM task_events WHERE task_id = $1 AND seq > $2 ORDER BY seq LIMIT $3 + 0`

// ListEvents implements storage.Tasks.
func (t *Tasks) ListEvents(ctx context.Context, taskID string, afterSeq int64, limit int) ([]storage.TaskEvent, error) {
	events, err := queryAll(ctx, t.Read(), scanEvent, listEventsSQL, taskID, afterSeq, limit)
	if err != nil {
		return nil, fmt.Errorf("list events of task %s: %w", taskID, err)
	}
	return events, nil
}

const loadInboxSQL = `
SELECT ` + eventColumns + `, 0 FROM task_events WHERE task_id = $1 AND seq IS NULL ORDER BY arrival LIMIT $2 + 0`

// LoadInbox implements storage.Tasks.
func (t *Tasks) LoadInbox(ctx context.Context, taskID string, limit int) ([]storage.TaskEvent, error) {
	events, err := queryAll(ctx, t.Read(), scanEvent, loadInboxSQL, taskID, limit)
	if err != nil {
		return nil, fmt.Errorf("load inbox of task %s: %w", taskID, err)
	}
	return events, nil
}

// A repeated step writes the same row again.
const insertEventSQL = `
INSERT INTO task_events (` + eventColumns + `, seq) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (task_id, source_id) DO UPDATE SET kind = excluded.kind, data = excluded.data, at = excluded.at,
	seq = excluded.seq`

const applyEventSQL = `UPDATE task_events SET seq = $3 WHERE task_id = $1 AND source_id = $2`

// addEvents adds the events that a step applied.
func addEvents(batch *Batch, taskID string, events []storage.TaskEvent) {
	for i := range events {
		event := &events[i]
		if event.Arrival > 0 {
			batch.Exec(applyEventSQL, taskID, event.SourceID, event.Seq)
			continue
		}
		batch.Exec(insertEventSQL, taskID, event.SourceID, string(event.Kind), text(event.Data), micros(event.At), 0, event.Seq)
	}
}

// AppendEvents implements storage.Tasks.
func (t *Tasks) AppendEvents(ctx context.Context, events []storage.InboxEvent) ([]storage.AppendOutcome, error) {
	outcomes, err := sift(events, refuseInboxEvent, func(events []storage.InboxEvent) ([]storage.AppendOutcome, error) {
		return t.appends.Do(ctx, events)
	})
	if err != nil {
		return nil, fmt.Errorf("append events: %w", err)
	}
	return outcomes, nil
}

// inbox is what an append reads and changes of a task.
type inbox struct {
	status     storage.TaskStatus
	owner      string
	expiry     time.Time
	runnableAt time.Time
	at         storage.TaskPosition
	updatedAt  time.Time
	changed    bool
}

const (
	lockInboxSQL = `
SELECT status, lease_owner, lease_expiry, runnable_at, seq, inbox_seq, updated_at FROM tasks WHERE id = $1`

	knownEventSQL = `
SELECT ` + eventColumns + `, COALESCE(seq, 0) FROM task_events WHERE task_id = $1 AND source_id = $2`

	appendEventSQL = `INSERT INTO task_events (` + eventColumns + `, seq) VALUES ($1, $2, $3, $4, $5, $6, NULL)`

	// All of it was computed under the row's lock.
	updateInboxSQL = `UPDATE tasks SET status = $2, runnable_at = $3, inbox_seq = $4, updated_at = $5 WHERE id = $1`
)

// appendEvents locks the tasks' rows and reads what it needs of them, decides,
// and writes.
func (t *Tasks) appendEvents(ctx context.Context, events []storage.InboxEvent) ([]storage.AppendOutcome, error) {
	ids := make([]string, len(events))
	for i := range events {
		ids[i] = events[i].TaskID
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)

	var outcomes []storage.AppendOutcome
	err := t.TryWrite(ctx, func(ctx context.Context, tx Tx) error {
		inboxes := make(map[string]*inbox, len(ids))
		known := make(map[eventKey]storage.TaskEvent)
		var reads Batch
		for _, id := range ids {
			reads.Query(func(row Row) error {
				inboxes[id] = &inbox{}
				return inboxes[id].scan(row)
			}, lockInboxSQL+t.Dialect().ForUpdate, id)
		}
		// Only after the locks: whoever is adding one of these events has
		// committed by then.
		for i := range events {
			key := eventKey{events[i].TaskID, events[i].SourceID}
			reads.Query(func(row Row) error {
				var err error
				known[key], err = scanEvent(row)
				return err
			}, knownEventSQL, key.taskID, key.sourceID)
		}
		if err := tx.Run(ctx, &reads); err != nil {
			return err
		}

		outcomes = make([]storage.AppendOutcome, len(events))
		var writes Batch
		for i := range events {
			event, key := &events[i], eventKey{events[i].TaskID, events[i].SourceID}
			box := inboxes[event.TaskID]
			if box == nil {
				outcomes[i].Err = storage.ErrNotFound
				continue
			}
			if stored, found := known[key]; found {
				outcomes[i] = storage.AppendOutcome{Duplicate: true, Stored: stored, Leased: box.leased(event.At)}
				continue
			}
			outcomes[i] = box.add(event)
			if outcomes[i].Err == nil {
				known[key] = storage.TaskEvent{
					TaskID: event.TaskID, SourceID: event.SourceID, Kind: event.Kind, Data: event.Data, At: event.At, Arrival: box.at.InboxSeq,
				}
				writes.Exec(appendEventSQL, event.TaskID, event.SourceID, string(event.Kind), text(event.Data),
					micros(event.At), box.at.InboxSeq)
			}
		}
		for _, id := range ids {
			if box := inboxes[id]; box != nil && box.changed {
				writes.Exec(updateInboxSQL, id, string(box.status), micros(box.runnableAt), box.at.InboxSeq, micros(box.updatedAt))
				tx.Hint(id)
			}
		}
		return tx.Finish(ctx, &writes)
	})
	return outcomes, err
}

type eventKey struct{ taskID, sourceID string }

func (b *inbox) scan(row Row) error {
	var status string
	err := row.Scan(&status, &b.owner, intoTime(&b.expiry), intoTime(&b.runnableAt), &b.at.Seq, &b.at.InboxSeq, intoTime(&b.updatedAt))
	b.status = storage.TaskStatus(status)
	return err
}

func (b *inbox) leased(at time.Time) bool { return b.owner != "" && b.expiry.After(at) }

// add counts a new event in, unless the task has ended or has moved on.
func (b *inbox) add(event *storage.InboxEvent) storage.AppendOutcome {
	switch {
	case b.status.Terminal() || b.status == storage.TaskCanceling:
		return storage.AppendOutcome{Err: storage.ErrEnded}
	case event.OnlyAt != nil && (b.owner != "" || b.at != *event.OnlyAt):
		return storage.AppendOutcome{Err: storage.ErrMoved}
	}
	b.changed = true
	b.at.InboxSeq++
	if event.At.After(b.updatedAt) {
		b.updatedAt = event.At
	}
	if event.Kind == storage.EventCancel {
		b.status = storage.TaskCanceling
	}
	// A held task is runnable at its lease's expiry: nobody need look before.
	if b.owner == "" && (b.runnableAt.IsZero() || b.runnableAt.After(event.At)) {
		b.runnableAt = event.At
	}
	return storage.AppendOutcome{Leased: b.leased(event.At)}
}
