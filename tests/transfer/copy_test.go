//go:build unix

package transfer

import (
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/connect"
	"github.com/pocketflowgo/pocketflow/shared/storage/migrate"
	"github.com/pocketflowgo/pocketflow/shared/storage/transfer"
	"github.com/pocketflowgo/pocketflow/tests/pgtest"
)

// oddRows bring every odd value into every column.
const oddRows = 40

func move(t testing.TB, from, to string) transfer.Report {
	t.Helper()
	report, err := transfer.Copy(t.Context(), transfer.Params{Pairs: pairsOf(from, to)})
	require.NoError(t, err)
	return report
}

func TestCopy_BringsEveryTableThereAndBack(t *testing.T) {
	t.Parallel()
	first, postgres, back, again := suiteOf(t), pgtest.DSN(t), filepath.Join(t.TempDir(), "new"), pgtest.DSN(t)
	fill(t, first, odd, oddRows)
	there := move(t, first, postgres)
	require.NotEmpty(t, there.Tables)
	require.Equal(t, int64(len(there.Tables)*oddRows), there.Copied)
	for _, one := range there.Tables {
		require.Equal(t, int64(oddRows), one.From.Rows, one.Table)
		require.True(t, one.Equal, one.Table)
	}
	require.Equal(t, there.Tables, move(t, postgres, back).Tables)
	require.Equal(t, there.Tables, move(t, postgres, again).Tables, "from Postgres to Postgres")
	require.Equal(t, there.Tables, move(t, back, filepath.Join(t.TempDir(), "new")).Tables, "from SQLite to SQLite")
	same, err := transfer.Compare(t.Context(), transfer.Params{Pairs: pairsOf(first, again)})
	require.NoError(t, err)
	require.Equal(t, there.Tables, same.Tables)
}

func TestCopy_LeavesDatabasesThatServicesOpen(t *testing.T) {
	t.Parallel()
	dir, postgres := suiteOf(t), pgtest.DSN(t)
	move(t, dir, postgres)
	tasks, err := connect.Tasks(t.Context(), postgres, connect.Options{Migration: connect.MigrateOnOpen})
	require.NoError(t, err)
	require.NoError(t, tasks.Ready(t.Context()))
	require.NoError(t, tasks.Close())
}

func TestCopy_RefusesATargetWithRows(t *testing.T) {
	t.Parallel()
	for _, to := range []string{suiteOf(t), pgtest.DSN(t)} {
		dir, empty := suiteOf(t), suiteOf(t)
		fill(t, dir, plain, 1, "jobs")
		move(t, dir, to)
		_, err := transfer.Copy(t.Context(), transfer.Params{Pairs: pairsOf(empty, to)})
		require.ErrorIs(t, err, transfer.ErrNotEmpty)
		require.ErrorContains(t, err, "jobs")
	}
}

func TestCopy_TouchesNoTargetWhenOneIsNotEmpty(t *testing.T) {
	t.Parallel()
	from, to := suiteOf(t), t.TempDir()
	_, err := migrate.Up(t.Context(), migrate.Target{Service: migrations.Queue, DSN: file(to, migrations.Queue)})
	require.NoError(t, err)
	fill(t, from, plain, 5)
	db := openSQLite(t, file(to, migrations.Queue))
	fillTable(t, db, fillParams{table: "jobs", columns: columnsOf(t, db, "jobs"), values: plain, rows: 1})
	require.NoError(t, db.Close())
	_, err = transfer.Copy(t.Context(), transfer.Params{Pairs: pairsOf(from, to)})
	require.ErrorIs(t, err, transfer.ErrNotEmpty)
	untouched := openSQLite(t, file(to, migrations.Registry))
	require.Empty(t, list(t, untouched, tablesSQL))
	require.NoError(t, untouched.Close())
}

func TestCopy_RefusesDatabasesInUse(t *testing.T) {
	t.Parallel()
	dir, postgres := suiteOf(t), pgtest.DSN(t)
	move(t, dir, postgres)
	for _, used := range []string{file(dir, migrations.Scheduler), postgres} {
		tasks, err := connect.Tasks(t.Context(), used, connect.Options{})
		require.NoError(t, err)
		for _, pairs := range [][]transfer.Pair{pairsOf(dir, t.TempDir()), pairsOf(postgres, t.TempDir()), pairsOf(suiteOf(t), postgres), pairsOf(suiteOf(t), dir)} {
			if names := []string{pairs[2].From, pairs[2].To}; names[0] != used && names[1] != used {
				continue
			}
			_, err := transfer.Copy(t.Context(), transfer.Params{Pairs: pairs})
			require.ErrorIs(t, err, transfer.ErrInUse)
		}
		require.NoError(t, tasks.Close())
	}
}

func TestCopy_KeepsServicesOutOfItsSource(t *testing.T) {
	t.Parallel()
	dir, postgres := suiteOf(t), pgtest.DSN(t)
	fill(t, dir, plain, 10)
	move(t, dir, postgres)
	for _, from := range []string{dir, postgres} {
		asked := false
		_, err := transfer.Copy(t.Context(), transfer.Params{Pairs: pairsOf(from, t.TempDir()), Tell: func(transfer.Progress) {
			if asked {
				return
			}
			asked = true
			pair := pairsOf(from, from)[2]
			tasks, err := connect.Tasks(t.Context(), pair.From, connect.Options{})
			if from == dir {
				require.ErrorIs(t, err, storage.ErrLocked)
				return
			}
			require.NoError(t, err, "Postgres lets it in, to look")
			require.NoError(t, tasks.Close())
			conn, err := pgx.Connect(t.Context(), postgres)
			require.NoError(t, err)
			_, err = conn.Exec(t.Context(), "SET lock_timeout = '100ms'; DELETE FROM scheduler.tasks")
			require.ErrorContains(t, err, "lock timeout")
			require.NoError(t, conn.Close(t.Context()))
		}})
		require.NoError(t, err)
		require.True(t, asked)
	}
}

func TestCopy_RefusesASecondOne(t *testing.T) {
	t.Parallel()
	dir, others := suiteOf(t), suiteOf(t)
	for _, to := range []string{filepath.Join(t.TempDir(), "data"), pgtest.DSN(t)} {
		asked := false
		_, err := transfer.Copy(t.Context(), transfer.Params{Pairs: pairsOf(dir, to), Tell: func(transfer.Progress) {
			if !asked {
				asked = true
				_, err := transfer.Copy(t.Context(), transfer.Params{Pairs: pairsOf(others, to)})
				require.ErrorIs(t, err, transfer.ErrInUse)
			}
		}})
		require.NoError(t, err)
		require.True(t, asked)
	}
}

// Rows are all that moves: what else holds data would be forgotten.
func TestSchema_HasNoSequences(t *testing.T) {
	t.Parallel()
	postgres := pgtest.DSN(t)
	move(t, suiteOf(t), postgres)
	conn, err := pgx.Connect(t.Context(), postgres)
	require.NoError(t, err)
	rows, err := conn.Query(t.Context(), `SELECT relname::text FROM pg_class WHERE relkind = 'S' AND relname NOT LIKE 'goose\_db\_version%'`)
	require.NoError(t, err)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Empty(t, names)
	require.NoError(t, conn.Close(t.Context()))
}

func TestCopy_RefusesAnotherSchema(t *testing.T) {
	t.Parallel()
	params := func(from, to string) transfer.Params { return transfer.Params{Pairs: pairsOf(from, to)} }

	older := suiteOf(t)
	_, err := migrate.Down(t.Context(), migrate.Target{Service: migrations.Scheduler, DSN: file(older, migrations.Scheduler)})
	require.NoError(t, err)
	_, err = transfer.Copy(t.Context(), params(older, t.TempDir()))
	require.ErrorIs(t, err, transfer.ErrSchema)
	require.ErrorContains(t, err, "pocketflow migrate up")
	require.NotEmpty(t, move(t, suiteOf(t), older), "an empty target is migrated")

	newer := suiteOf(t)
	alter(t, file(newer, migrations.Queue), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)")
	for _, p := range []transfer.Params{params(newer, t.TempDir()), params(suiteOf(t), newer)} {
		_, err = transfer.Copy(t.Context(), p)
		require.ErrorIs(t, err, transfer.ErrSchema)
		require.ErrorContains(t, err, "newer binary")
	}

	changed := suiteOf(t)
	alter(t, file(changed, migrations.Catalog), "ALTER TABLE flows ADD COLUMN mine TEXT")
	_, err = transfer.Copy(t.Context(), params(changed, t.TempDir()))
	require.ErrorIs(t, err, transfer.ErrSchema)
	require.ErrorContains(t, err, "flows")
}

func TestCompare_FindsWhatWasTamperedWith(t *testing.T) {
	t.Parallel()
	dir, postgres := suiteOf(t), pgtest.DSN(t)
	fill(t, dir, odd, oddRows)
	move(t, dir, postgres)
	for _, tamper := range []struct{ table, change, back string }{
		{"scheduler.node_runs", "UPDATE scheduler.node_runs SET output = output || ' ' WHERE no = 7", "UPDATE scheduler.node_runs SET output = left(output, -1) WHERE no = 7"},
		{"scheduler.tasks", "UPDATE scheduler.tasks SET error = 'was null' WHERE id = (SELECT min(id) FROM scheduler.tasks WHERE error IS NULL)", "UPDATE scheduler.tasks SET error = NULL WHERE error = 'was null'"},
		{"queue.jobs", "INSERT INTO queue.jobs SELECT 'new', task_id, run_id, node_key, path, visit, attempt, service, input, priority, status, deliveries, available_at, worker_id, token, timeout_at, created_at, started_at, finished_at, result_hash, log_path, run_no FROM queue.jobs LIMIT 1", "DELETE FROM queue.jobs WHERE id = 'new'"},
	} {
		alterPostgres(t, postgres, tamper.change)
		report, err := transfer.Compare(t.Context(), transfer.Params{Pairs: pairsOf(dir, postgres)})
		require.ErrorIs(t, err, transfer.ErrDiffers)
		require.ErrorContains(t, err, "in "+tamper.table)
		for _, one := range report.Tables {
			require.Equal(t, one.Service+"."+one.Table != tamper.table, one.Equal, one.Table)
		}
		alterPostgres(t, postgres, tamper.back)
		_, err = transfer.Compare(t.Context(), transfer.Params{Pairs: pairsOf(dir, postgres)})
		require.NoError(t, err, tamper.table)
	}
}

func alter(t testing.TB, path, statement string) {
	t.Helper()
	db := openSQLite(t, path)
	_, err := db.ExecContext(t.Context(), statement)
	require.NoError(t, err)
	require.NoError(t, db.Close())
}

func alterPostgres(t testing.TB, dsn, statement string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	tag, err := conn.Exec(t.Context(), statement)
	require.NoError(t, err)
	require.NotZero(t, tag.RowsAffected(), statement)
	require.NoError(t, conn.Close(t.Context()))
}
