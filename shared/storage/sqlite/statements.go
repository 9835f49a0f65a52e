package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/internal/sqlstore"
	"github.com/pocketflowgo/pocketflow/shared/storage/sqlite/internal/raw"
)

// session runs batches on a connection of its own over prepared statements, each
// text prepared once. The texts are the constants of sqlstore, so their number
// needs no limit. A session serves one goroutine at a time.
type session struct {
	conn   *raw.Conn
	byText map[string]*raw.Stmt
}

// openSession opens a connection with the settings of source, and others.
func openSession(path string, pragmas ...string) (*session, error) {
	conn, err := raw.Open(fileURI(path, nil))
	if err != nil {
		return nil, err
	}
	s := &session{conn: conn, byText: map[string]*raw.Stmt{}}
	for _, pragma := range append(settings(), pragmas...) {
		if err := s.set(pragma); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	return s, nil
}

// set runs a PRAGMA, whose statement is not kept.
func (s *session) set(pragma string) error {
	statement, err := s.conn.Prepare("PRAGMA " + pragma)
	if err != nil {
		return err
	}
	return errors.Join(statement.Run(nil, nil), statement.Close())
}

// shrink gives back what SQLite holds of pages that nobody needs at the moment:
// its cache of them would stay as large as it ever was. It fails only for want
// of memory.
func (s *session) shrink() { _ = s.set("shrink_memory") }

// refusal marks errors of the data itself.
func refusal(err error) error {
	if err == nil {
		return nil
	}
	var cause *raw.Error
	if errors.As(err, &cause) {
		switch cause.Code & 0xff { // the rest says which constraint it was
		case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH:
			return fmt.Errorf("%w: %w", storage.ErrInvalidData, err)
		}
	}
	return err
}

// run runs a batch to its end.
func (s *session) run(batch *sqlstore.Batch) error {
	for i := range batch.Statements {
		if err := s.runOne(&batch.Statements[i]); err != nil {
			return refusal(err)
		}
	}
	return nil
}

// runUntil runs a batch of reads until the context ends.
func (s *session) runUntil(ctx context.Context, batch *sqlstore.Batch) error {
	over, interrupted := make(chan struct{}), make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		s.interruptUntil(over)
	})
	defer func() {
		close(over)
		if !stop() {
			<-interrupted // or it would hit who has the session next
		}
	}()
	for i := range batch.Statements {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := s.runOne(&batch.Statements[i])
		if raw.Interrupted(err) {
			return ctx.Err()
		}
		if err != nil {
			return refusal(err)
		}
	}
	return nil
}

// interruptUntil interrupts until the batch is over: SQLite forgets an interrupt
// that comes before a statement's first step.
func (s *session) interruptUntil(over <-chan struct{}) {
	again := time.NewTicker(interruptEvery)
	defer again.Stop()
	for {
		s.conn.Interrupt()
		select {
		case <-over:
			return
		case <-again.C:
		}
	}
}

const interruptEvery = 5 * time.Millisecond

func (s *session) runOne(statement *sqlstore.Statement) error {
	prepared, err := s.prepared(statement.SQL)
	if err != nil {
		return err
	}
	var row func(*raw.Stmt) error
	if statement.Row != nil {
		row = func(stmt *raw.Stmt) error { return statement.Row(stmt) }
	}
	if err := prepared.Run(statement.Args, row); err != nil {
		return err
	}
	if statement.Affected != nil {
		*statement.Affected = s.conn.Changes()
	}
	return nil
}

func (s *session) prepared(text string) (*raw.Stmt, error) {
	if known := s.byText[text]; known != nil {
		return known, nil
	}
	prepared, err := s.conn.Prepare(text)
	if err != nil {
		return nil, err
	}
	s.byText[text] = prepared
	return prepared, nil
}

// exec runs one statement without arguments or result.
func (s *session) exec(text string) error {
	return refusal(s.runOne(&sqlstore.Statement{SQL: text}))
}

func (s *session) close() error {
	var errs []error
	for _, prepared := range s.byText {
		errs = append(errs, prepared.Close())
	}
	return errors.Join(append(errs, s.conn.Close())...)
}
