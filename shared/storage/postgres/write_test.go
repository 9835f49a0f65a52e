package postgres

import (
	"context"
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

// A closure that goes on after a failure, or after its last batch, must change
// nothing outside the transaction, and must not pass for committed.
func TestWrite_RunsNothingAfterTheEnd(t *testing.T) {
	t.Parallel()
	driver := setup(t, "over")
	insert := func(id int) *sqlstore.Batch {
		var batch sqlstore.Batch
		batch.Exec(`INSERT INTO rows (id, n) VALUES ($1, 0)`, id)
		return &batch
	}
	err := driver.Write(t.Context(), func(ctx context.Context, tx sqlstore.Tx) error {
		var broken sqlstore.Batch
		broken.Exec(`not SQL`)
		require.Error(t, tx.Run(ctx, &broken))
		require.ErrorIs(t, tx.Run(ctx, insert(1)), errOver)
		return nil
	})
	require.ErrorContains(t, err, "syntax error")
	err = driver.Write(t.Context(), func(ctx context.Context, tx sqlstore.Tx) error {
		require.NoError(t, tx.Finish(ctx, insert(2)))
		return tx.Finish(ctx, insert(3))
	})
	require.ErrorIs(t, err, errOver)
	var ids []int64
	var batch sqlstore.Batch
	batch.Query(func(row sqlstore.Row) error {
		var id int64
		err := row.Scan(&id)
		ids = append(ids, id)
		return err
	}, `SELECT id FROM rows`)
	require.NoError(t, driver.Run(t.Context(), &batch))
	require.Equal(t, []int64{2}, ids)
}
