package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	modernc "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/internal/sqlstore"
)

// statements runs batches over prepared statements, each text prepared once.
// The texts are the constants of sqlstore, so the cache needs no limit.
type statements struct {
	prepare func(ctx context.Context, text string) (*sql.Stmt, error)

	mu     sync.RWMutex
	byText map[string]*sql.Stmt
	closed bool
}

// refusal marks errors of the data itself.
func refusal(err error) error {
	if err == nil {
		return nil
	}
	var cause *modernc.Error
	if errors.As(err, &cause) {
		switch cause.Code() & 0xff { // the rest says which constraint it was
		case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH:
			return fmt.Errorf("%w: %w", storage.ErrInvalidData, err)
		}
	}
	return err
}

func (s *statements) run(ctx context.Context, batch *sqlstore.Batch) error {
	for i := range batch.Statements {
		if err := s.runOne(ctx, &batch.Statements[i]); err != nil {
			return refusal(err)
		}
	}
	return nil
}

func (s *statements) runOne(ctx context.Context, statement *sqlstore.Statement) error {
	prepared, err := s.get(ctx, statement.SQL) //nolint:sqlclosecheck // the cache keeps it
	if err != nil {
		return err
	}
	if statement.Row == nil {
		result, err := prepared.ExecContext(ctx, statement.Args...)
		if err == nil && statement.Affected != nil {
			*statement.Affected, err = result.RowsAffected()
		}
		return err
	}
	rows, err := prepared.QueryContext(ctx, statement.Args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := statement.Row(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (s *statements) get(ctx context.Context, text string) (*sql.Stmt, error) {
	s.mu.RLock()
	prepared, closed := s.byText[text], s.closed
	s.mu.RUnlock()
	if closed {
		return nil, sqlstore.ErrClosed
	}
	if prepared != nil {
		return prepared, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, sqlstore.ErrClosed
	}
	if prepared := s.byText[text]; prepared != nil {
		return prepared, nil
	}
	prepared, err := s.prepare(ctx, text) //nolint:sqlclosecheck // the cache keeps it
	if err != nil {
		return nil, err
	}
	if s.byText == nil {
		s.byText = map[string]*sql.Stmt{}
	}
	s.byText[text] = prepared
	return prepared, nil
}

func (s *statements) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	var errs []error
	for _, prepared := range s.byText {
		errs = append(errs, prepared.Close())
	}
	s.byText = nil
	return errors.Join(errs...)
}

// exec runs one statement without arguments or result.
func (s *statements) exec(ctx context.Context, text string) error {
	return refusal(s.runOne(ctx, &sqlstore.Statement{SQL: text}))
}
