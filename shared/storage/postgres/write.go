package postgres

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pocketflowgo/pocketflow/shared/pause"
	"github.com/pocketflowgo/pocketflow/shared/storage/internal/sqlstore"
)

// A transaction that lost against another one is run again, so many times in
// all. Locks are taken in order, so even the second try is rare.
const writeTries = 6

// retryPause bounds the wait before the second try, which is random and doubles
// from try to try. The one that won needs that time: a loser that comes back at
// once takes its locks again before the winner has woken.
const retryPause = 20 * time.Millisecond

// Write implements sqlstore.Driver.
func (d *Driver) Write(ctx context.Context, closure func(context.Context, sqlstore.Tx) error) error {
	limit := retryPause
	for try := 1; ; try++ {
		err := d.writeOnce(ctx, closure)
		if try == writeTries || !retryable(err) {
			return told(err)
		}
		if !pause.For(ctx, limit/2+rand.N(limit/2)) {
			return told(err)
		}
		limit *= 2
	}
}

func retryable(err error) bool {
	return code(err) == serializationFailure || code(err) == deadlockDetected
}

func (d *Driver) writeOnce(ctx context.Context, closure func(context.Context, sqlstore.Tx) error) error {
	select {
	case <-d.closed:
		return sqlstore.ErrClosed
	default:
	}
	var began time.Time // once there is a connection
	var own transaction
	err := pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error {
		began, own.tx = time.Now(), tx
		return closure(ctx, &own)
	})
	switch {
	case err == nil:
		d.commits.Committed(sqlstore.Merged(ctx), time.Since(began))
		d.tell(own.hints)
	case !began.IsZero():
		d.commits.RolledBack()
	}
	return err
}

// transaction is what a closure sees of a transaction.
type transaction struct {
	tx    pgx.Tx
	hints []string
}

// Run implements sqlstore.Conn.
func (t *transaction) Run(ctx context.Context, batch *sqlstore.Batch) error {
	return run(ctx, t.tx, batch)
}

// Hint implements sqlstore.Tx.
func (t *transaction) Hint(payload string) { t.hints = append(t.hints, payload) }

// batcher is a pool or a transaction.
type batcher interface {
	SendBatch(ctx context.Context, batch *pgx.Batch) pgx.BatchResults
}

// run sends a batch in one round trip. Each statement has a snapshot of its
// own, taken when the ones before it are done.
func run(ctx context.Context, conn batcher, batch *sqlstore.Batch) error {
	if len(batch.Statements) == 0 {
		return nil
	}
	var queue pgx.Batch
	for i := range batch.Statements {
		statement := &batch.Statements[i]
		queued := queue.Queue(statement.SQL, statement.Args...)
		switch {
		case statement.Row != nil:
			queued.Query(func(rows pgx.Rows) error {
				for rows.Next() {
					if err := statement.Row(rows); err != nil {
						return err
					}
				}
				return rows.Err()
			})
		case statement.Affected != nil:
			queued.Exec(func(tag pgconn.CommandTag) error {
				*statement.Affected = tag.RowsAffected()
				return nil
			})
		}
	}
	return conn.SendBatch(ctx, &queue).Close()
}
