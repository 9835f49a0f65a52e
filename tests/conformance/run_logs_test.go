package conformance

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/connect"
	"github.com/pocketflowgo/pocketflow/tests/pgtest"
)

// A task may have ten thousand runs, and a scheduler millions of logs: to mark
// a run, to write to its log and to read it reads neither from end to end.
func TestPostgres_OtherRunsAndTheirLogsAreNotRead(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dsn := pgtest.Migrated(t, migrations.Scheduler)
	conn := connected(t, dsn)
	for _, statement := range []string{
		`INSERT INTO scheduler.node_runs (task_id, no, id, node_key, path, visit, attempt, status, sub_status, branch_id, error_code,
    error_text, action, worker_id, worker_url, log_path)
SELECT 'task-' || n % 2, n, 'run-' || n, 'a', 'a', 1, 1, 'queued', '', '', '', '', '', '', '', '' FROM generate_series(1, 20000) n`,
		`INSERT INTO scheduler.run_logs (run_id, task_id, no, entries, bytes) SELECT id, task_id, no, 1, 65 FROM scheduler.node_runs`,
		`INSERT INTO scheduler.run_log_entries (run_id, seq, source_id, at, text) SELECT run_id, 1, 'a', 1, 'x' FROM scheduler.run_logs`,
		`VACUUM ANALYZE scheduler.node_runs, scheduler.run_logs, scheduler.run_log_entries`,
	} {
		_, err := conn.Exec(ctx, statement)
		require.NoError(t, err)
	}
	handInCounts(t, conn)
	reads := func(c require.TestingT) (rows, scans int64) {
		require.NoError(c, conn.QueryRow(ctx, `
SELECT SUM(seq_tup_read), SUM(idx_scan) FROM pg_stat_user_tables
WHERE schemaname = 'scheduler' AND relname IN ('node_runs', 'run_logs', 'run_log_entries')`).Scan(&rows, &scans))
		return rows, scans
	}
	rowsBefore, scansBefore := reads(t)

	const rounds = 5
	store, err := connect.Tasks(ctx, dsn, connect.Options{})
	require.NoError(t, err)
	for n := 1; n <= rounds; n++ {
		run := storage.RunRef{TaskID: fmt.Sprintf("task-%d", n%2), No: n, ID: fmt.Sprintf("run-%d", n)}
		outcomes, err := store.MarkRunning(ctx, []storage.RunningMark{{Run: run, WorkerID: "w"}})
		require.NoError(t, err)
		require.Equal(t, storage.Outcomes{nil}, outcomes)
		outcomes, err = store.AppendRunLogs(ctx, []storage.LogEntry{{Run: run, SourceID: "b", Text: "y\n", At: storage.Now()}}, 1<<20)
		require.NoError(t, err)
		require.Equal(t, storage.Outcomes{nil}, outcomes)
		log, err := store.ReadRunLog(ctx, storage.RunLogQuery{RunID: run.ID})
		require.NoError(t, err)
		require.Equal(t, storage.RunLog{Run: run, Status: storage.RunRunning, Text: "xy\n"}, log)
	}
	require.NoError(t, store.Close(), "a session hands in its counts when it ends")

	require.EventuallyWithT(t, func(c *assert.CollectT) {
		_, scans := reads(c)
		require.GreaterOrEqual(c, scans, scansBefore+6*rounds)
	}, 30*time.Second, 20*time.Millisecond, "they read their indexes")
	rows, _ := reads(t)
	require.Equal(t, rowsBefore, rows)
}
