package postgres

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/internal/sqlstore"
)

// The error codes that the driver acts on.
const (
	uniqueViolation      = "23505"
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	lockNotAvailable     = "55P03"
)

// The classes of errors, the first two letters of a code, that are the data's.
const (
	dataException        = "22"
	integrityViolation   = "23"
	programLimitExceeded = "54" // too large for a row, an index or the server
)

func code(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Code
	}
	return ""
}

// LockedOut tells a failure for want of a lock, which is worth another try.
func LockedOut(err error) bool { return code(err) == lockNotAvailable }

// told wraps a server's error in the sentinel that says what to do about it.
func told(err error) error {
	c := code(err)
	if len(c) < 2 {
		return err
	}
	if c == lockNotAvailable {
		return fmt.Errorf("%w: %w", sqlstore.ErrRowsLocked, err)
	}
	switch c[:2] {
	case dataException, integrityViolation, programLimitExceeded:
		return fmt.Errorf("%w: %w", storage.ErrInvalidData, err)
	}
	return err
}
