package postgres

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
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
	err := pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error {
		began = time.Now()
		own := transaction{tx: tx}
		if err := closure(ctx, &own); err != nil {
			return err
		}
		return own.notify(ctx, d.schema)
	})
	switch {
	case err == nil:
		d.commits.Committed(sqlstore.Merged(ctx), time.Since(began))
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

// Several hints travel in one notification, parted by hintSeparator, up to the
// payload limit of the server (8000 bytes).
const (
	hintSeparator = "\n"
	maxPayload    = 7900
)

const notifySQL = `SELECT pg_notify($1, $2)`

// notify sends the hints with the commit. It is the last statement, because
// the server lets one transaction with notifications commit at a time.
func (t *transaction) notify(ctx context.Context, channel string) error {
	if len(t.hints) == 0 {
		return nil
	}
	slices.Sort(t.hints)
	var batch sqlstore.Batch
	for _, payload := range pack(slices.Compact(t.hints)) {
		batch.Exec(notifySQL, channel, payload)
	}
	if err := t.Run(ctx, &batch); err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	return nil
}

// pack joins hints into as few payloads as the limit allows. A hint that exceeds
// it by itself is lost, as hints may be; the server would refuse the commit.
func pack(hints []string) []string {
	var payloads []string
	var payload strings.Builder
	for _, hint := range hints {
		if len(hint) > maxPayload {
			continue
		}
		if payload.Len() > 0 && payload.Len()+len(hintSeparator)+len(hint) > maxPayload {
			payloads = append(payloads, payload.String())
			payload.Reset()
		}
		if payload.Len() > 0 {
			payload.WriteString(hintSeparator)
		}
		payload.WriteString(hint)
	}
	if payload.Len() > 0 {
		payloads = append(payloads, payload.String())
	}
	return payloads
}

// sender is a pool or a transaction.
type sender interface {
	SendBatch(ctx context.Context, batch *pgx.Batch) pgx.BatchResults
}

// run sends a batch in one round trip. Each statement has a snapshot of its
// own, taken when the ones before it are done.
func run(ctx context.Context, conn sender, batch *sqlstore.Batch) error {
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
