package roster

import (
	"context"
	"fmt"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Heartbeats are written together: a commit costs a disk flush however many
// are in it, and a lost one is made good by the next. The interval is what a
// crash may lose and, with refreshInterval, how late other replicas hear of a
// heartbeat; both together stay far below the TTL of 15 s. The size bounds one
// transaction, so that it never holds up the registrations behind it for long.
const (
	flushInterval = 500 * time.Millisecond
	flushSize     = 1000
	lastFlush     = 5 * time.Second // most time for the flush of Close
)

// Heartbeat tells that a worker lives, how loaded it is and, unless url is "",
// where it listens now. Errors: storage.ErrNotFound for a worker that is in
// the database neither, invalid_argument.
func (r *Roster) Heartbeat(ctx context.Context, beat storage.Heartbeat) error {
	if err := append(checkID(beat.ID), checkLoad(beat.Load)...).Err(); err != nil {
		return err
	}
	beat.At = storage.Now()
	known, err := r.absorb(beat)
	if known || err != nil {
		return err
	}
	// Another replica may have registered it since the last refresh. The write
	// asks for this one worker, where a refresh would read them all; without
	// the address, which is not checked before the worker's type is known.
	outcomes, err := r.store.RecordHeartbeats(ctx, []storage.Heartbeat{{ID: beat.ID, Load: beat.Load, At: beat.At}})
	if err != nil {
		return fmt.Errorf("record heartbeat of worker %s: %w", beat.ID, err)
	}
	if outcomes[0] != nil {
		return outcomes[0]
	}
	if err := r.Load(ctx); err != nil {
		return err
	}
	if known, err = r.absorb(beat); err != nil {
		return err
	}
	if !known {
		return storage.ErrNotFound // deregistered in between
	}
	return nil
}

// absorb takes the heartbeat of a worker in the view and leaves it to be
// written; false when the worker is not in the view.
func (r *Roster) absorb(beat storage.Heartbeat) (known bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	worker, known := r.workers[beat.ID]
	if !known {
		return false, nil
	}
	if err := r.checkURL(worker.Type, beat.URL).Err(); err != nil {
		return true, err
	}
	if beat.URL == worker.URL {
		// Most workers repeat their address with each heartbeat. Only one that
		// moved writes it, so that a late write cannot undo a registration.
		beat.URL = ""
	}
	before := worker
	apply(&worker, beat)
	r.workers[beat.ID] = worker
	r.pending[beat.ID] = newest(r.pending[beat.ID], beat)
	if len(r.pending) >= flushSize {
		select {
		case r.flushNow <- struct{}{}:
		default:
		}
	}
	if !r.online(before, beat.At) || !sameOffer(before, worker) {
		r.announce()
	}
	return true, nil
}

// apply changes a worker by a heartbeat, unless it is older than what the
// worker was last heard of by.
func apply(w *storage.Worker, beat storage.Heartbeat) {
	if beat.At.Before(w.LastHeartbeat) {
		return
	}
	w.LastHeartbeat, w.Load = beat.At, beat.Load
	if beat.URL != "" {
		w.URL = beat.URL
	}
}

// newest makes one heartbeat of two of a worker. An address that either names
// is kept: an empty one says nothing about it.
func newest(a, b storage.Heartbeat) storage.Heartbeat {
	if b.At.Before(a.At) {
		a, b = b, a
	}
	if b.URL == "" {
		b.URL = a.URL
	}
	return b
}

// flush writes all pending heartbeats.
func (r *Roster) flush(ctx context.Context) error {
	for {
		n, err := r.flushBatch(ctx)
		if n == 0 || err != nil {
			return err
		}
	}
}

// flushBatch writes some of the pending heartbeats and returns how many. Those
// of a failed write are pending again. It shares membership, so to a refresh
// every heartbeat is either pending or in the database.
func (r *Roster) flushBatch(ctx context.Context) (int, error) {
	r.membership.RLock()
	defer r.membership.RUnlock()
	batch := r.takePending()
	// The outcome of a worker that another replica removed is ErrNotFound: the
	// refresh takes it out of the view, and its next heartbeat is told.
	if _, err := r.store.RecordHeartbeats(ctx, batch); err != nil {
		r.putBack(batch)
		return 0, fmt.Errorf("write %d heartbeats: %w", len(batch), err)
	}
	return len(batch), nil
}

func (r *Roster) takePending() []storage.Heartbeat {
	r.mu.Lock()
	defer r.mu.Unlock()
	batch := make([]storage.Heartbeat, 0, min(len(r.pending), flushSize))
	for id, beat := range r.pending {
		if len(batch) == flushSize {
			break
		}
		batch = append(batch, beat)
		delete(r.pending, id)
	}
	return batch
}

func (r *Roster) putBack(batch []storage.Heartbeat) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, beat := range batch {
		if _, known := r.workers[beat.ID]; known {
			r.pending[beat.ID] = newest(r.pending[beat.ID], beat)
		}
	}
}

// Close writes what is still pending. Call it after the last request.
func (r *Roster) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), lastFlush)
	defer cancel()
	return r.flush(ctx)
}
