package conformance

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/connect"
	"github.com/pocketflowgo/pocketflow/tests/pgtest"
)

// What a scrape asks every few seconds may not grow with the tasks that have
// ended.
func TestPostgres_StatsDoNotReadFinishedTasks(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dsn := pgtest.Migrated(t, migrations.Scheduler)
	conn := connected(t, dsn)
	const finished, unfinished = 10_000, 100
	_, err := conn.Exec(ctx, `
INSERT INTO scheduler.tasks (id, flow_id, flow_version_id, flow_name, flow_version, status, current_node, lease_owner, lease_epoch,
    runnable_at, seq, inbox_seq, inbox_done, created_at, updated_at, request_id, request_hash, shared, params)
SELECT 'task-' || n, '', '', '', 1, CASE WHEN n <= $1 THEN 'waiting' ELSE 'completed' END, '', '', 1,
    CASE WHEN n <= $1 THEN n END, 1, 0, 0, n, n, '', '', '{}', '{}' FROM generate_series(1, $2) n`, unfinished, finished+unfinished)
	require.NoError(t, err)
	_, err = conn.Exec(ctx, "VACUUM ANALYZE scheduler.tasks")
	require.NoError(t, err)
	handInCounts(t, conn)
	counts := func(c require.TestingT) (scans, entries, rows int64) {
		err := conn.QueryRow(ctx, `
SELECT SUM(i.idx_scan)::BIGINT, SUM(i.idx_tup_read)::BIGINT, MAX(t.seq_tup_read)
FROM pg_stat_user_tables t JOIN pg_stat_user_indexes i USING (relid) WHERE t.schemaname = 'scheduler' AND t.relname = 'tasks'`).
			Scan(&scans, &entries, &rows)
		require.NoError(c, err)
		return scans, entries, rows
	}
	scansBefore, entriesBefore, rowsBefore := counts(t)

	store, err := connect.Tasks(ctx, dsn, connect.Options{})
	require.NoError(t, err)
	const rounds = 8
	for range rounds {
		stats, err := store.Stats(ctx)
		require.NoError(t, err)
		require.Equal(t, unfinished, stats.Unfinished[storage.TaskWaiting])
		require.False(t, stats.NextRunnable.IsZero())
	}
	require.NoError(t, store.Close(), "a session hands in its counts when it ends")

	require.EventuallyWithT(t, func(c *assert.CollectT) {
		scans, _, _ := counts(c)
		require.GreaterOrEqual(c, scans, scansBefore+rounds)
	}, 30*time.Second, 20*time.Millisecond, "they read an index")
	_, entries, rows := counts(t)
	require.Equal(t, rowsBefore, rows)
	require.LessOrEqual(t, entries-entriesBefore, int64(rounds*(unfinished+1)))
}
