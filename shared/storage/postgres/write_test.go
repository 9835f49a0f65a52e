package postgres

import (
	"fmt"
	"io"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/internal/sqlstore"
)

func TestRetryable_IsLosingAgainstAnotherTransaction(t *testing.T) {
	t.Parallel()
	require.True(t, retryable(fmt.Errorf("commit: %w", &pgconn.PgError{Code: deadlockDetected})))
	require.True(t, retryable(&pgconn.PgError{Code: serializationFailure}))
	require.False(t, retryable(&pgconn.PgError{Code: uniqueViolation}))
	require.False(t, retryable(nil))
}

func TestTold_NamesWhatTheCallerMayActOn(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]error{
		"22021": storage.ErrInvalidData, // a byte that is no text
		"23505": storage.ErrInvalidData,
		"54000": storage.ErrInvalidData, // larger than an index takes
		"55P03": sqlstore.ErrRowsLocked,
	} {
		require.ErrorIs(t, told(fmt.Errorf("insert: %w", &pgconn.PgError{Code: code})), want, code)
	}
	for _, err := range []error{nil, io.EOF, &pgconn.PgError{Code: "57P01"}, &pgconn.PgError{Code: "42601"}} {
		require.Equal(t, err, told(err))
	}
}
