//go:build linux

package bench

import (
	"testing"

	"github.com/jackc/pgx/v5" //nolint:depguard // looks at the server, of which no role tells
	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/tests/pgtest"
)

// durable is a fresh database for a floor.
func durable(b *testing.B, s *system) string {
	b.Helper()
	dsn := pgtest.DSN(b)
	watch(b, s, dsn)
	return dsn
}

// migrated is a fresh database with a service's schema.
func migrated(b *testing.B, s *system, role string) string {
	b.Helper()
	dsn := pgtest.Migrated(b, role)
	if s.wal == nil {
		watch(b, s, dsn)
	}
	return dsn
}

// watch has the system tell how much its server logs, and makes sure that the
// server keeps what it says it has committed.
func watch(b *testing.B, s *system, dsn string) {
	b.Helper()
	conn := connectPostgres(b, dsn)
	for _, name := range []string{"fsync", "synchronous_commit"} {
		var value string
		require.NoError(b, conn.QueryRow(b.Context(), "SHOW "+name).Scan(&value))
		require.Equal(b, "on", value, "%s of the Postgres to measure", name)
	}
	s.wal = func() (bytes int64) {
		require.NoError(b, conn.QueryRow(b.Context(), "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint").Scan(&bytes))
		return bytes
	}
}

func connectPostgres(b *testing.B, dsn string) *pgx.Conn {
	b.Helper()
	conn, err := pgx.Connect(b.Context(), dsn)
	require.NoError(b, err)
	b.Cleanup(func() { _ = conn.Close(b.Context()) })
	return conn
}
