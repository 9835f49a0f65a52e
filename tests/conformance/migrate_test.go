package conformance

import (
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/storage/migrate"
	"github.com/pocketflowgo/pocketflow/tests/pgtest"
)

func TestPostgres_ReplicasMigrateAnEmptyDatabaseAtOnce(t *testing.T) {
	t.Parallel()
	target := migrate.Target{Service: migrations.Queue, DSN: pgtest.DSN(t)}
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			status, err := migrate.Up(t.Context(), target)
			if assert.NoError(t, err) {
				assert.Equal(t, migrate.StateCurrent, status.State())
			}
		})
	}
	all.Wait()
}

// waitingMigrations are the sessions of migrations that wait for a table.
const waitingMigrations = `SELECT pid FROM pg_locks l JOIN pg_stat_activity USING (pid)
WHERE NOT l.granted AND l.locktype = 'relation' AND query LIKE 'ALTER TABLE%'`

func connectTo(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	return conn
}

// held is a scheduler's database at version 1 with a session that reads a table
// of it, as a dump does for hours, and the migration that wants the table.
func held(t *testing.T) (target migrate.Target, let func(), migrated <-chan error, other *pgx.Conn) {
	t.Helper()
	target = migrate.Target{Service: migrations.Scheduler, DSN: pgtest.DSN(t)}
	_, err := migrate.UpTo(t.Context(), target, 1)
	require.NoError(t, err)
	dump, err := connectTo(t, target.DSN).Begin(t.Context())
	require.NoError(t, err)
	_, err = dump.Exec(t.Context(), `SELECT count(*) FROM scheduler.node_runs`)
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { // ends when let is called or its session is ended
		_, err := migrate.Up(t.Context(), target)
		ended <- err
	}()
	other = connectTo(t, target.DSN)
	return target, func() { require.NoError(t, dump.Rollback(t.Context())) }, ended, other
}

func waiting(t *testing.T, conn *pgx.Conn) (pids []int32) {
	t.Helper()
	rows, err := conn.Query(t.Context(), waitingMigrations)
	require.NoError(t, err)
	pids, err = pgx.CollectRows(rows, pgx.RowTo[int32])
	require.NoError(t, err)
	return pids
}

func TestPostgres_AMigrationThatWaitsForATableKeepsNobodyElseFromIt(t *testing.T) {
	t.Parallel()
	_, let, migrated, other := held(t)
	require.Eventually(t, func() bool { return len(waiting(t, other)) > 0 }, 30*time.Second, 10*time.Millisecond)
	// Until the dump ends this would wait as well, behind the migration.
	_, err := other.Exec(t.Context(), `SELECT count(*) FROM scheduler.node_runs`)
	require.NoError(t, err)
	require.Empty(t, migrated, "the migration has not given up")
	let()
	require.NoError(t, <-migrated)
}

func TestPostgres_AMigrationThatIsKilledLeavesWholeVersions(t *testing.T) {
	t.Parallel()
	target, let, migrated, other := held(t)
	var pids []int32
	require.Eventually(t, func() bool { pids = waiting(t, other); return len(pids) > 0 }, 30*time.Second, 10*time.Millisecond)
	_, err := other.Exec(t.Context(), `SELECT pg_terminate_backend($1)`, pids[0])
	require.NoError(t, err)
	require.Error(t, <-migrated)
	status, err := migrate.Read(t.Context(), target)
	require.NoError(t, err)
	require.Equal(t, int64(1), status.Database)

	let()
	status, err = migrate.Up(t.Context(), target)
	require.NoError(t, err)
	require.Equal(t, migrate.StateCurrent, status.State())
}

// overdueBuild tells of an index whose build has waited for longer than a
// migration waits for a table.
const overdueBuild = `SELECT 'scheduler.tasks_flow_ended'::regclass::oid FROM pg_stat_activity
WHERE query LIKE 'CREATE INDEX CONCURRENTLY%' AND wait_event_type = 'Lock' AND clock_timestamp() - query_start > interval '1500 ms'`

func TestPostgres_AnIndexIsBuiltOnceBesideADump(t *testing.T) {
	t.Parallel()
	target := migrate.Target{Service: migrations.Scheduler, DSN: pgtest.DSN(t)}
	_, err := migrate.UpTo(t.Context(), target, 4)
	require.NoError(t, err)
	dump, err := connectTo(t, target.DSN).BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	require.NoError(t, err)
	_, err = dump.Exec(t.Context(), `SELECT 1`) // its snapshot is older than the index
	require.NoError(t, err)
	migrated := make(chan error, 1)
	go func() {
		_, err := migrate.Up(t.Context(), target)
		migrated <- err
	}()

	other := connectTo(t, target.DSN)
	var index uint32
	require.Eventually(t, func() bool {
		return other.QueryRow(t.Context(), overdueBuild).Scan(&index) == nil
	}, 30*time.Second, 20*time.Millisecond)
	require.NoError(t, dump.Rollback(t.Context()))
	require.NoError(t, <-migrated)
	var built uint32
	require.NoError(t, other.QueryRow(t.Context(), `SELECT 'scheduler.tasks_flow_ended'::regclass::oid`).Scan(&built))
	require.Equal(t, index, built, "it was begun anew")
}
