package pgtest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/tests/pgtest"
)

func connectTo(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	return conn
}

func TestDSN_EachIsEmptyAndItsOwn(t *testing.T) {
	t.Parallel()
	first, second := pgtest.DSN(t), pgtest.DSN(t)
	require.NotEqual(t, first, second)
	for _, dsn := range []string{first, second} {
		conn := connectTo(t, dsn)
		_, err := conn.Exec(t.Context(), "CREATE TABLE proof (n BIGINT)")
		require.NoError(t, err)
		require.NoError(t, conn.Close(t.Context()))
	}
}

func TestDSN_IsDroppedWithItsTest(t *testing.T) {
	t.Parallel()
	var dsn string
	t.Run("test", func(t *testing.T) {
		dsn = pgtest.DSN(t)
		connectTo(t, dsn) // left open, as by a service that was killed
	})
	_, err := pgx.Connect(t.Context(), dsn)
	require.ErrorContains(t, err, "does not exist")
}

func TestMigrated_HasTheSchemaOfItsService(t *testing.T) {
	t.Parallel()
	for service, table := range map[string]string{
		migrations.Registry: "workers", migrations.Catalog: "flow_versions", migrations.Scheduler: "tasks", migrations.Queue: "jobs",
	} {
		t.Run(service, func(t *testing.T) {
			t.Parallel()
			for range 2 {
				conn := connectTo(t, pgtest.Migrated(t, service))
				var rows int
				query := "SELECT COUNT(*) FROM " + pgx.Identifier{service, table}.Sanitize()
				require.NoError(t, conn.QueryRow(t.Context(), query).Scan(&rows))
				require.Zero(t, rows)
				_, err := conn.Exec(t.Context(), "DROP SCHEMA "+pgx.Identifier{service}.Sanitize()+" CASCADE")
				require.NoError(t, err, "a copy may be broken without harm to the next")
			}
		})
	}
}

// The helper of the next test: says where its server is, and waits to be
// killed.
func TestHelper_WaitsToBeKilled(t *testing.T) {
	t.Parallel()
	where := os.Getenv("PGTEST_HELPER_FILE")
	if where == "" {
		t.Skip("run by TestServer_EndsWithItsProcess")
	}
	require.NoError(t, os.WriteFile(where+".new", []byte(pgtest.DSN(t)), 0o600))
	require.NoError(t, os.Rename(where+".new", where))
	select {}
}

func TestServer_EndsWithItsProcess(t *testing.T) {
	t.Parallel()
	if os.Getenv(pgtest.URLVariable) != "" {
		t.Skip("the server is not ours to end")
	}
	pgtest.DSN(t) // skips where there is no server
	where := filepath.Join(t.TempDir(), "dsn")
	helper := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHelper_WaitsToBeKilled$", "-test.timeout=5m")
	helper.Env = append(os.Environ(), "PGTEST_HELPER_FILE="+where)
	require.NoError(t, helper.Start())
	var dsn []byte
	require.Eventually(t, func() bool {
		var err error
		dsn, err = os.ReadFile(where)
		return err == nil
	}, 2*time.Minute, 20*time.Millisecond)
	require.NoError(t, connectTo(t, string(dsn)).Close(t.Context()))

	require.NoError(t, helper.Process.Kill())
	require.Error(t, helper.Wait())
	require.Eventually(t, func() bool {
		_, err := pgx.Connect(t.Context(), string(dsn))
		return err != nil && strings.Contains(err.Error(), "refused")
	}, time.Minute, 20*time.Millisecond)
}
