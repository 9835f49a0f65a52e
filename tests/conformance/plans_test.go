package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/connect"
	"github.com/pocketflowgo/pocketflow/tests/pgtest"
)

// Among many finished jobs nothing that runs for each poll may read the table
// from end to end: Postgres counts the rows it read that way.
func TestPostgres_FinishedJobsAreNotRead(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dsn := pgtest.Migrated(t, migrations.Queue)
	conn, err := pgx.Connect(ctx, dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close(context.Background())) })
	_, err = conn.Exec(ctx, `
INSERT INTO queue.jobs (id, task_id, run_id, node_key, path, visit, attempt, service, input, priority, status, deliveries,
    available_at, worker_id, token, created_at, result_hash, log_path)
SELECT 'done-' || n, '', '', '', '', 1, 1, 'service' || n % 3, '{}', 0, 'completed', 1, n, '', '', n, '', '' FROM generate_series(1, 20000) n`)
	require.NoError(t, err)
	_, err = conn.Exec(ctx, "VACUUM ANALYZE queue.jobs")
	require.NoError(t, err)

	counts := func(c require.TestingT) (scans, rows int64) {
		err := conn.QueryRow(ctx, `
SELECT i.idx_scan, t.seq_tup_read FROM pg_stat_user_tables t JOIN pg_stat_user_indexes i USING (relid)
WHERE t.schemaname = 'queue' AND i.indexrelname = 'jobs_ready'`).Scan(&scans, &rows)
		require.NoError(c, err)
		return scans, rows
	}
	scansBefore, rowsBefore := counts(t)

	const rounds = 5
	store, err := connect.Queue(ctx, dsn, connect.Options{})
	require.NoError(t, err)
	for n := range rounds {
		require.NoError(t, store.PutJobs(ctx, jobsOf(fmt.Sprintf("service%d", n%3), 10)))
		now := storage.Now()
		jobs, err := store.ClaimJobs(ctx, storage.ClaimJobs{
			WorkerID: "w", Services: []string{"service0", "service1", "service2"}, Max: 4, Now: now, VisibleUntil: now.Add(time.Minute),
			NewToken: func() string { return "token" },
		})
		require.NoError(t, err)
		require.Len(t, jobs, 4)
		_, err = store.CompleteJobs(ctx, []storage.JobCompletion{{
			JobID: jobs[0].ID, Token: "token", Result: json.RawMessage(`{}`), Hash: "h", At: now,
		}})
		require.NoError(t, err)
		_, err = store.ExpireClaims(ctx, now, 5, 10, func(storage.Job) json.RawMessage { return json.RawMessage(`{}`) })
		require.NoError(t, err)
		_, err = store.NextChange(ctx, now)
		require.NoError(t, err)
		_, err = store.Stats(ctx, now)
		require.NoError(t, err)
	}
	require.NoError(t, store.Close(), "a session hands in its counts when it ends")

	require.EventuallyWithT(t, func(c *assert.CollectT) {
		scans, _ := counts(c)
		require.GreaterOrEqual(c, scans, scansBefore+rounds)
	}, 30*time.Second, 20*time.Millisecond, "the claims read their index")
	_, rows := counts(t)
	require.Equal(t, rowsBefore, rows)
}

// A list of approvals reads the few tasks that wait for one, of all and of one
// flow, however many others there are.
func TestPostgres_TasksThatWaitForNobodyAreNotRead(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dsn := pgtest.Migrated(t, migrations.Scheduler)
	conn, err := pgx.Connect(ctx, dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close(context.Background())) })
	_, err = conn.Exec(ctx, `
INSERT INTO scheduler.tasks (id, flow_id, flow_version_id, flow_name, flow_version, status, current_node, lease_owner, lease_epoch,
    seq, inbox_seq, inbox_done, created_at, updated_at, request_id, request_hash, shared, params, waits_for)
SELECT 'task-' || lpad(n::text, 6, '0'), 'flow-' || n % 2, 'ver-1', 'f', 1, 'waiting', 'a', '', 1, 1, 0, 0, n, n, '', '', '{}', '{}',
    CASE WHEN n % 1000 < 2 THEN 'approval' ELSE 'event' END FROM generate_series(1, 20000) n`)
	require.NoError(t, err)
	_, err = conn.Exec(ctx, "VACUUM ANALYZE scheduler.tasks")
	require.NoError(t, err)

	store, err := connect.Tasks(ctx, dsn, connect.Options{})
	require.NoError(t, err)
	for flow, want := range map[string]int{"": 40, "flow-0": 20} {
		query := storage.TaskQuery{WaitsFor: storage.WaitApproval, FlowID: flow}
		query.Limit = 7
		got := 0
		for {
			page, err := store.ListTasks(ctx, query)
			require.NoError(t, err)
			require.Equal(t, want, page.Total)
			got += len(page.Items)
			if query.Cursor = page.Next; page.Next == "" {
				break
			}
		}
		require.Equal(t, want, got)
	}
	require.NoError(t, store.Close(), "a session hands in its counts when it ends")

	require.EventuallyWithT(t, func(c *assert.CollectT) {
		var approvals, others int64
		require.NoError(c, conn.QueryRow(ctx, `
SELECT COALESCE(SUM(idx_scan) FILTER (WHERE indexrelname LIKE '%approvals'), 0),
    COALESCE(SUM(idx_scan) FILTER (WHERE indexrelname IN ('tasks_pkey', 'tasks_flow', 'tasks_status')), 0)
FROM pg_stat_user_indexes WHERE schemaname = 'scheduler' AND relname = 'tasks'`).Scan(&approvals, &others))
		require.EqualValues(c, 18, approvals, "nine pages, each with its count")
		require.Zero(c, others)
	}, 30*time.Second, 20*time.Millisecond)
	var rows int64
	require.NoError(t, conn.QueryRow(ctx, `SELECT seq_tup_read FROM pg_stat_user_tables WHERE schemaname = 'scheduler' AND relname = 'tasks'`).Scan(&rows))
	require.Zero(t, rows)
}
