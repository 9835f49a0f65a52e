package sqlite

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/pocketflowgo/pocketflow/shared/storage/internal/sqlstore"
)

// readers is a pool of sessions that read. They are opened when they are needed.
type readers struct {
	path   string
	taken  chan struct{} // one of its places for each read that runs
	closed chan struct{}

	mu   sync.Mutex
	idle []*session // the last one was used last, and has its pages at hand
}

func newReaders(path string, size int) *readers {
	return &readers{path: path, taken: make(chan struct{}, size), closed: make(chan struct{})}
}

// openFirst opens a session, so that what is wrong with the file is told now.
func (r *readers) openFirst() error {
	first, err := r.open()
	if err == nil {
		r.push(first)
	}
	return err
}

func (r *readers) open() (*session, error) { return openSession(r.path, "query_only(1)") }

// run runs a batch on a session that is free, or waits for one.
func (r *readers) run(ctx context.Context, batch *sqlstore.Batch) error {
	select {
	case r.taken <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-r.closed:
		return sqlstore.ErrClosed
	}
	defer func() { <-r.taken }()
	session := r.pop()
	if session == nil {
		var err error
		if session, err = r.open(); err != nil {
			return err
		}
	}
	defer r.push(session)
	return session.runUntil(ctx, batch)
}

// pop takes the session that was used last; nil when none is idle.
func (r *readers) pop() *session {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := len(r.idle) - 1
	if last < 0 {
		return nil
	}
	session := r.idle[last]
	r.idle = r.idle[:last]
	return session
}

func (r *readers) push(session *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.idle = append(r.idle, session)
}

// shrink gives back the memory of the sessions that are idle.
func (r *readers) shrink() {
	for range cap(r.taken) {
		select {
		case r.taken <- struct{}{}:
		default:
			return // the others are at work
		}
		if session := r.popOldest(); session != nil {
			session.shrink()
			r.push(session)
		}
		<-r.taken
	}
}

// popOldest takes the session that was not used for longest.
func (r *readers) popOldest() *session {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.idle) == 0 {
		return nil
	}
	session := r.idle[0]
	r.idle = slices.Delete(r.idle, 0, 1)
	return session
}

// close waits for the reads that run, and lets no other begin.
func (r *readers) close() error {
	close(r.closed)
	for range cap(r.taken) {
		r.taken <- struct{}{}
	}
	var errs []error
	for _, session := range r.idle {
		errs = append(errs, session.close())
	}
	return errors.Join(errs...)
}
