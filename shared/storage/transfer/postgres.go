package transfer

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"iter"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pocketflowgo/pocketflow/shared/storage/internal/dsn"
	"github.com/pocketflowgo/pocketflow/shared/storage/postgres"
)

var postgresDialect = dialect{
	// The numbers are cast to what SQLite has.
	columnsSQL: `
SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod),
    COALESCE(array_position(i.indkey::int[], a.attnum::int) + 1 - array_lower(i.indkey::int[], 1), 0)::bigint,
    (CASE WHEN a.attcollation = 0 OR o.collname = 'C' THEN 0 ELSE 1 END)::bigint
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
LEFT JOIN pg_collation o ON o.oid = a.attcollation
WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())
    AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY c.relname COLLATE "C", a.attnum`,
	referencesSQL: `
SELECT DISTINCT c.relname::text, t.relname::text
FROM pg_constraint f JOIN pg_class c ON c.oid = f.conrelid JOIN pg_class t ON t.oid = f.confrelid
WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) AND f.contype = 'f' ORDER BY 1, 2`,
}

// postgresConn is a session with one schema of a PostgreSQL database.
type postgresConn struct {
	conn    *pgx.Conn
	service string
}

func (db *database) openPostgres(ctx context.Context, name dsn.DSN, service string) error {
	conn, err := postgres.OpenForCopy(ctx, name, service)
	if err != nil {
		return err
	}
	at := conn.Config()
	db.conn, db.dialect = &postgresConn{conn: conn, service: service}, postgresDialect
	db.name = fmt.Sprintf("postgres://%s:%d/%s (schema %s)", at.Host, at.Port, at.Database, service)
	return nil
}

func (c *postgresConn) exec(ctx context.Context, statement string, args ...any) error {
	_, err := c.conn.Exec(ctx, statement, args...)
	return err
}

// query streams. Who stops early ends the context, as closing the rows would
// read all that is left.
func (c *postgresConn) query(ctx context.Context, query string, args ...any) iter.Seq2[[]any, error] {
	return func(yield func([]any, error) bool) {
		rows, err := c.conn.Query(ctx, query, args...)
		if err != nil {
			yield(nil, err)
			return
		}
		defer rows.Close()
		for rows.Next() {
			row, err := rows.Values()
			if !yield(row, err) || err != nil {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(nil, err)
		}
	}
}

// insert uses COPY, which is a transaction of its own.
func (c *postgresConn) insert(ctx context.Context, t table, rows [][]any) error {
	_, err := c.conn.CopyFrom(ctx, pgx.Identifier{t.name}, t.columnNames(), pgx.CopyFromRows(rows))
	return err
}

const (
	// partingPatience is how long the server may take to end the sessions of a
	// process that has ended.
	partingPatience = 3 * time.Second
	partingLook     = 50 * time.Millisecond

	copyLockSQL = `SELECT pg_try_advisory_lock($1)`
	usersSQL    = `SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1`
)

// alone takes the lock that every copy takes, and counts the sessions of
// services by the name that they give themselves.
func (c *postgresConn) alone(ctx context.Context) error {
	deadline := time.NewTimer(partingPatience)
	defer deadline.Stop()
	again := time.NewTicker(partingLook)
	defer again.Stop()
	for {
		err := c.aloneNow(ctx)
		if !errors.Is(err, ErrInUse) {
			return err
		}
		select {
		case <-again.C:
		case <-deadline.C:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c *postgresConn) aloneNow(ctx context.Context) error {
	// Held until the session ends; a second time it is had at once.
	var locked bool
	if err := c.conn.QueryRow(ctx, copyLockSQL, copyLock(c.service)).Scan(&locked); err != nil {
		return fmt.Errorf("lock the database: %w", err)
	}
	if !locked {
		return fmt.Errorf("%w (by another copy)", ErrInUse)
	}
	name := postgres.ApplicationName(c.service)
	var users int
	if err := c.conn.QueryRow(ctx, usersSQL, name).Scan(&users); err != nil {
		return fmt.Errorf("look for sessions of services: %w", err)
	}
	if users > 0 {
		return fmt.Errorf("%w (%d sessions of %s)", ErrInUse, users, name)
	}
	return nil
}

// copyLock is the number of the advisory lock on a service's schema.
func copyLock(service string) int64 {
	digest := fnv.New64a()
	// A hash in memory takes every write.
	_, _ = digest.Write([]byte("pocketflow copy of " + service))
	return int64(digest.Sum64())
}

// freeze locks the tables against writers, also those that go by another name
// than a service's: each of their writes waits, and fails by its time limit.
// The locks come before the first read, which is when the snapshot is taken.
func (c *postgresConn) freeze(ctx context.Context, tables []table) error {
	if err := c.exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ"); err != nil {
		return err
	}
	for _, t := range tables {
		if err := c.exec(ctx, "LOCK TABLE "+quote(t.name)+" IN EXCLUSIVE MODE NOWAIT"); err != nil {
			if postgres.LockedOut(err) {
				return fmt.Errorf("%w (table %s is being written to)", ErrInUse, t.name)
			}
			return fmt.Errorf("lock table %s: %w", t.name, err)
		}
	}
	return nil
}

// loaded has the planner's statistics made, without which the first queries of
// the services would be planned for empty tables.
func (c *postgresConn) loaded(ctx context.Context, tables []table) error {
	for _, t := range tables {
		if err := c.exec(ctx, "ANALYZE "+quote(t.name)); err != nil {
			return fmt.Errorf("analyze table %s: %w", t.name, err)
		}
	}
	return nil
}

// closeTimeout bounds the farewell to a server that may be gone.
const closeTimeout = 2 * time.Second

func (c *postgresConn) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	return c.conn.Close(ctx)
}
