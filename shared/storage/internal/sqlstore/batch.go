package sqlstore

import (
	"context"
	"errors"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Row is one row of a result, as both drivers offer it.
type Row interface {
	Scan(dest ...any) error
}

// Statement is one SQL text with its arguments: string, int64, int, nil.
type Statement struct {
	SQL  string
	Args []any
	// Row is called for each row of the result; it scans and runs nothing. Nil
	// for statements without a result.
	Row func(Row) error
	// Affected, when not nil, is given the number of rows written.
	Affected *int64
}

// Batch is a list of statements that run in order. The zero Batch is empty and
// ready.
type Batch struct {
	Statements []Statement
}

// Exec adds a statement without a result.
func (b *Batch) Exec(sql string, args ...any) {
	b.Statements = append(b.Statements, Statement{SQL: sql, Args: args})
}

// ExecCount adds a statement and sets affected to the number of rows it wrote.
func (b *Batch) ExecCount(affected *int64, sql string, args ...any) {
	b.Statements = append(b.Statements, Statement{SQL: sql, Args: args, Affected: affected})
}

// Query adds a statement whose rows are handed to row.
func (b *Batch) Query(row func(Row) error, sql string, args ...any) {
	b.Statements = append(b.Statements, Statement{SQL: sql, Args: args, Row: row})
}

// exec runs one statement and returns the number of rows it wrote.
func exec(ctx context.Context, conn Conn, sql string, args ...any) (int64, error) {
	var batch Batch
	var affected int64
	batch.ExecCount(&affected, sql, args...)
	err := conn.Run(ctx, &batch)
	return affected, err
}

// queryAll runs one statement and returns its rows; empty, never nil.
func queryAll[T any](ctx context.Context, conn Conn, scan func(Row) (T, error), sql string, args ...any) ([]T, error) {
	var batch Batch
	items := []T{}
	batch.Query(appendTo(&items, scan), sql, args...)
	if err := conn.Run(ctx, &batch); err != nil {
		return nil, err
	}
	return items, nil
}

// queryOne runs one statement and returns its only row, or ErrNotFound.
func queryOne[T any](ctx context.Context, conn Conn, scan func(Row) (T, error), sql string, args ...any) (T, error) {
	items, err := queryAll(ctx, conn, scan, sql, args...)
	var none T
	switch {
	case err != nil:
		return none, err
	case len(items) == 0:
		return none, storage.ErrNotFound
	case len(items) > 1:
		return none, errors.New("more than one row where one was asked for")
	}
	return items[0], nil
}

// appendTo is a row function that collects what scan makes of each row.
func appendTo[T any](items *[]T, scan func(Row) (T, error)) func(Row) error {
	return func(row Row) error {
		item, err := scan(row)
		if err == nil {
			*items = append(*items, item)
		}
		return err
	}
}

// sought is a row that is looked for together with others.
type sought[T any] struct {
	value T
	// err is ErrNotFound, or says why the row cannot be read, which is nobody
	// else's fault.
	err error
}

// seek adds a query for the row.
func (s *sought[T]) seek(batch *Batch, scan func(Row) (T, error), sql string, args ...any) {
	s.err = storage.ErrNotFound
	batch.Query(func(row Row) error {
		s.value, s.err = scan(row)
		return nil
	}, sql, args...)
}

// scanInt scans a row of one number.
func scanInt(row Row) (int64, error) {
	var n int64
	err := row.Scan(&n)
	return n, err
}
