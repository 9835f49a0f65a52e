package postgres

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

func TestPack_KeepsPayloadsWithinTheServersLimit(t *testing.T) {
	t.Parallel()
	hints := make([]string, 1000)
	for i := range hints {
		hints[i] = fmt.Sprintf("task-%036d", i)
	}
	payloads := pack(hints)
	require.Greater(t, len(payloads), 1)
	for _, payload := range payloads {
		require.LessOrEqual(t, len(payload), maxPayload)
	}
	require.Equal(t, hints, strings.Split(strings.Join(payloads, hintSeparator), hintSeparator))
	require.Equal(t, []string{"one"}, pack([]string{"one"}))
}

func TestRetryable_IsLosingAgainstAnotherTransaction(t *testing.T) {
	t.Parallel()
	require.True(t, retryable(fmt.Errorf("commit: %w", &pgconn.PgError{Code: deadlockDetected})))
	require.True(t, retryable(&pgconn.PgError{Code: serializationFailure}))
	require.False(t, retryable(&pgconn.PgError{Code: uniqueViolation}))
	require.False(t, retryable(nil))
}
