package transfer

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"strings"

	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/internal/dsn"
	"github.com/pocketflowgo/pocketflow/shared/storage/sqlite"
)

// rowsPerInsert is how many rows a statement has: each statement costs a round
// through the driver. Wide tables stay far below SQLite's 32,766 parameters.
const rowsPerInsert = 32

var sqliteDialect = dialect{
	columnsSQL: `
SELECT m.name, c.name, c.type, c.pk, 0
FROM sqlite_master m JOIN pragma_table_info(m.name) c
WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY m.name, c.cid`,
	referencesSQL: `
SELECT m.name, f."table" FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) f
WHERE m.type = 'table' ORDER BY 1, 2`,
}

// sqliteConn is a session with a SQLite file, and the lock on the file.
type sqliteConn struct {
	conn *sql.Conn
	done func() error
}

func (db *database) openSQLite(ctx context.Context, name dsn.DSN) error {
	path, err := filepath.Abs(name.Path)
	if err != nil {
		return fmt.Errorf("find %s: %w", name.Path, err)
	}
	conn, done, err := sqlite.OpenForCopy(ctx, path)
	if errors.Is(err, storage.ErrLocked) {
		return fmt.Errorf("%w (%s)", ErrInUse, path)
	}
	if err != nil {
		return err
	}
	db.conn, db.dialect, db.name = &sqliteConn{conn: conn, done: done}, sqliteDialect, "sqlite://"+filepath.ToSlash(path)
	return nil
}

func (c *sqliteConn) exec(ctx context.Context, statement string, args ...any) error {
	_, err := c.conn.ExecContext(ctx, statement, args...)
	return err
}

func (c *sqliteConn) query(ctx context.Context, query string, args ...any) iter.Seq2[[]any, error] {
	return func(yield func([]any, error) bool) {
		rows, err := c.conn.QueryContext(ctx, query, args...)
		if err != nil {
			yield(nil, err)
			return
		}
		defer rows.Close()
		columns, err := rows.Columns()
		if err != nil {
			yield(nil, err)
			return
		}
		into := make([]any, len(columns))
		for rows.Next() {
			row := make([]any, len(columns))
			for i := range row {
				into[i] = &row[i]
			}
			if err := rows.Scan(into...); err != nil {
				yield(nil, err)
				return
			}
			if !yield(row, nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(nil, err)
		}
	}
}

func (c *sqliteConn) insert(ctx context.Context, t table, rows [][]any) error {
	tx, err := c.conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, size := range []int{rowsPerInsert, 1} {
		if len(rows) < size {
			continue
		}
		if rows, err = insertChunks(ctx, tx, t, chunks{size: size, rows: rows}); err != nil {
			return err
		}
	}
	return tx.Commit()
}

type chunks struct {
	size int
	rows [][]any
}

// insertChunks inserts as many whole chunks as there are and returns the rest.
func insertChunks(ctx context.Context, tx *sql.Tx, t table, c chunks) (rest [][]any, err error) {
	one := "(?" + strings.Repeat(", ?", len(t.columns)-1) + ")"
	statement, err := tx.PrepareContext(ctx, "INSERT INTO "+quote(t.name)+" ("+list(t.columnNames(), "")+") VALUES "+
		one+strings.Repeat(", "+one, c.size-1))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, statement.Close()) }()
	args := make([]any, 0, c.size*len(t.columns))
	rest = c.rows
	for len(rest) >= c.size {
		args = args[:0]
		for _, row := range rest[:c.size] {
			args = append(args, row...)
		}
		if _, err := statement.ExecContext(ctx, args...); err != nil {
			return nil, err
		}
		rest = rest[c.size:]
	}
	return rest, nil
}

// alone has nothing to ask: the lock on the file is held.
func (c *sqliteConn) alone(context.Context) error { return nil }

// freeze guards against programs that do not know the lock, such as a shell.
func (c *sqliteConn) freeze(ctx context.Context, _ []table) error {
	if err := c.exec(ctx, "PRAGMA query_only(1)"); err != nil {
		return err
	}
	return c.exec(ctx, "BEGIN")
}

func (c *sqliteConn) loaded(context.Context, []table) error { return nil }

func (c *sqliteConn) close() error { return c.done() }
