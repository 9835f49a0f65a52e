package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// OpenForCopy opens one session for reading or filling the file as a whole, and
// makes the file when it does not exist. ErrLocked when a process serves from
// it; those that want to meanwhile are refused until done is called.
func OpenForCopy(ctx context.Context, path string) (conn *sql.Conn, done func() error, err error) {
	lock, err := lockFile(ctx, path, copying)
	if err != nil {
		return nil, nil, err
	}
	db, err := sql.Open("sqlite", source(path))
	if err == nil {
		if conn, err = db.Conn(ctx); err != nil {
			err = errors.Join(err, db.Close())
		}
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open database %s: %w", path, err), lock.release())
	}
	return conn, func() error { return errors.Join(conn.Close(), db.Close(), lock.release()) }, nil
}
