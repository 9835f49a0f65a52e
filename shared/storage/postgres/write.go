package postgres

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

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
	conn, err := d.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	// A connection that is still in a transaction goes no further than here: the
	// pool closes it.
	defer conn.Release()
	began := time.Now()
	own := transaction{conn: conn.Conn()}
	if err = closure(ctx, &own); err == nil {
		err = own.Finish(ctx, &sqlstore.Batch{})
	}
	if err != nil {
		if own.begun {
			_, _ = conn.Exec(ctx, rollbackSQL)
		}
		d.commits.RolledBack()
		return err
	}
	d.commits.Committed(sqlstore.Merged(ctx), time.Since(began))
	d.tell(own.hints)
	return nil
}

const (
	beginSQL    = `BEGIN`
	commitSQL   = `COMMIT`
	rollbackSQL = `ROLLBACK`
)

// transaction is what a closure sees of a transaction. It begins with the first
// batch and ends with the last, on the way that they make anyhow: of four
// trips to the server two are left, and a transaction is shorter by them.
type transaction struct {
	conn  *pgx.Conn
	hints []string
	begun bool
	ended bool // a batch was the last, or has failed
	fault error
}

// errOver is for a batch that would run outside the transaction.
var errOver = errors.New("the transaction is over")

// Run implements sqlstore.Conn.
func (t *transaction) Run(ctx context.Context, batch *sqlstore.Batch) error {
	if len(batch.Statements) == 0 {
		return nil
	}
	return t.send(ctx, batch, goesOn)
}

// Finish implements sqlstore.Tx.
func (t *transaction) Finish(ctx context.Context, batch *sqlstore.Batch) error {
	if len(batch.Statements) == 0 && (t.ended || !t.begun) {
		return t.fault
	}
	return t.send(ctx, batch, isLast)
}

// place is where a batch stands in its transaction.
type place string

const (
	goesOn place = "goes_on"
	isLast place = "is_last"
)

func (t *transaction) send(ctx context.Context, batch *sqlstore.Batch, at place) error {
	if t.ended {
		return errOver
	}
	var queue pgx.Batch
	if !t.begun {
		t.begun = true
		queue.Queue(beginSQL)
	}
	fill(&queue, batch)
	if at == isLast {
		queue.Queue(commitSQL).Exec(func(tag pgconn.CommandTag) error {
			if tag.String() != commitSQL {
				return pgx.ErrTxCommitRollback
			}
			return nil
		})
	}
	t.fault = t.conn.SendBatch(ctx, &queue).Close()
	t.ended = t.fault != nil || at == isLast
	return t.fault
}

// Hint implements sqlstore.Tx.
func (t *transaction) Hint(payload string) { t.hints = append(t.hints, payload) }

// run sends a batch in one round trip. Each statement has a snapshot of its
// own, taken when the ones before it are done.
func run(ctx context.Context, conn *pgxpool.Pool, batch *sqlstore.Batch) error {
	if len(batch.Statements) == 0 {
		return nil
	}
	var queue pgx.Batch
	fill(&queue, batch)
	return conn.SendBatch(ctx, &queue).Close()
}

func fill(queue *pgx.Batch, batch *sqlstore.Batch) {
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
}
