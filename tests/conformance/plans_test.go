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

// Among many finished jobs nothing that runs for each poll, answer or list may
// read the table from end to end, nor an index of them all: Postgres counts the
// rows and the entries it read.
func TestPostgres_FinishedJobsAreNotRead(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dsn := pgtest.Migrated(t, migrations.Queue)
	conn := connected(t, dsn)
	const finished = 20_000
	_, err := conn.Exec(ctx, `
INSERT INTO queue.jobs (id, task_id, run_id, node_key, path, visit, attempt, service, input, priority, status, deliveries,
    available_at, worker_id, token, created_at, result_hash, log_path)
SELECT 'done-' || n, '', '', '', '', 1, 1, 'service' || n % 3, '{}', 0, 'completed', 1, n, '', '', n, '', '' FROM generate_series(1, $1) n`, finished)
	require.NoError(t, err)
	_, err = conn.Exec(ctx, "VACUUM ANALYZE queue.jobs")
	require.NoError(t, err)
	handInCounts(t, conn)

	counts := func(c require.TestingT) (claims, entries, rows int64) {
		err := conn.QueryRow(ctx, `
SELECT SUM(i.idx_scan) FILTER (WHERE i.indexrelname = 'jobs_ready')::BIGINT, SUM(i.idx_tup_read)::BIGINT, MAX(t.seq_tup_read)
FROM pg_stat_user_tables t JOIN pg_stat_user_indexes i USING (relid) WHERE t.schemaname = 'queue' AND t.relname = 'jobs'`).
			Scan(&claims, &entries, &rows)
		require.NoError(c, err)
		return claims, entries, rows
	}
	claimsBefore, entriesBefore, rowsBefore := counts(t)

	const rounds = 8
	store, err := connect.Queue(ctx, dsn, connect.Options{})
	require.NoError(t, err)
	for n := range rounds {
		if n == rounds/2 {
			require.NoError(t, store.SetLimit(ctx, storage.ServiceLimit{
				Service: "service0", MaxClaimed: 1000, RatePerSecond: 1000, Burst: 1000, UpdatedAt: storage.Now(),
			}))
		}
		eachStatement(t, store, n)
	}
	require.NoError(t, store.Close(), "a session hands in its counts when it ends")

	require.EventuallyWithT(t, func(c *assert.CollectT) {
		claims, _, _ := counts(c)
		require.GreaterOrEqual(c, claims, claimsBefore+rounds)
	}, 30*time.Second, 20*time.Millisecond, "the claims read their index")
	_, entries, rows := counts(t)
	require.Equal(t, rowsBefore, rows)
	require.Less(t, entries-entriesBefore, int64(finished), "not even once all of an index")

	var ended, kept int
	require.NoError(t, conn.QueryRow(ctx, `
SELECT COUNT(*), COUNT(*) FILTER (WHERE input <> '{}') FROM queue.jobs WHERE status IN ('completed', 'failed', 'withdrawn')`).Scan(&ended, &kept))
	require.Greater(t, ended, finished)
	require.Zero(t, kept, "an input is kept for as long as somebody may read it")
}

// connected is a session of the test's own.
func connected(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close(context.Background())) })
	return conn
}

// handInCounts has the session add what it has read so far to the statistics,
// which it otherwise does about once a second: then it is not taken for what
// the statements under test read.
func handInCounts(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	_, err := conn.Exec(t.Context(), "SELECT pg_stat_force_next_flush()")
	require.NoError(t, err)
}

// eachStatement makes the queue run every statement that polls, answers and
// lists are made of.
func eachStatement(t *testing.T, store storage.Queue, round int) {
	t.Helper()
	ctx := t.Context()
	services := []string{"service0", "service1", "service2"}
	var ids []string
	for _, service := range services {
		jobs := jobsOf(fmt.Sprintf("%s-%d", service, round), 10)
		for i := range jobs {
			jobs[i].Service = service
		}
		require.NoError(t, store.PutJobs(ctx, jobs))
	}
	now := storage.Now()
	claim := storage.ClaimJobs{
		WorkerID: "w", Services: services, Max: 8, Now: now, VisibleUntil: now.Add(time.Minute), NewToken: func() string { return "token" },
	}
	jobs, err := store.ClaimJobs(ctx, claim)
	require.NoError(t, err)
	require.Len(t, jobs, 8)
	for _, service := range services {
		claim.Services, claim.Max = []string{service}, 1
		_, err := store.ClaimJobs(ctx, claim)
		require.NoError(t, err)
	}
	outcomes, err := store.CompleteJobs(ctx, []storage.JobCompletion{{
		JobID: jobs[0].ID, Token: "token", Result: json.RawMessage(`{}`), Hash: "h", At: now,
	}})
	require.NoError(t, err)
	require.Equal(t, storage.Outcomes{nil}, outcomes)
	var refs []storage.ClaimRef
	for _, job := range jobs[1:] {
		ids = append(ids, job.ID)
		refs = append(refs, storage.ClaimRef{JobID: job.ID, Token: "token"})
	}
	outcomes, err = store.WithdrawJobs(ctx, ids[:1], now)
	require.NoError(t, err)
	require.Equal(t, storage.Outcomes{nil}, outcomes)
	_, err = store.ExtendClaims(ctx, refs[1:], now)
	require.NoError(t, err)
	dead, err := store.ExpireClaims(ctx, now, 1, 100, func(storage.Job) json.RawMessage { return json.RawMessage(`{}`) })
	require.NoError(t, err)
	require.Len(t, dead, len(refs)-1)
	for _, service := range []string{"", dead[0].Service} {
		query := storage.DeadQuery{Service: service, ListOptions: storage.ListOptions{Limit: 1}}
		for range 3 {
			page, err := store.ListDead(ctx, query)
			require.NoError(t, err)
			query.Cursor = page.Next
		}
	}
	_, err = store.RequeueJobs(ctx, ids[1:3], now)
	require.NoError(t, err)
	_, err = store.DiscardJobs(ctx, ids[3:5], now)
	require.NoError(t, err)
	_, err = store.NextChange(ctx, now)
	require.NoError(t, err)
	_, err = store.Stats(ctx, now)
	require.NoError(t, err)
	_, err = store.ClaimResults(ctx, now, now.Add(time.Hour), 100)
	require.NoError(t, err)
}

// A list of approvals reads the few tasks that wait for one, of all and of one
// flow, however many others there are.
func TestPostgres_TasksThatWaitForNobodyAreNotRead(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dsn := pgtest.Migrated(t, migrations.Scheduler)
	conn := connected(t, dsn)
	_, err := conn.Exec(ctx, `
INSERT INTO scheduler.tasks (id, flow_id, flow_version_id, flow_name, flow_version, status, current_node, lease_owner, lease_epoch,
    seq, inbox_seq, inbox_done, created_at, updated_at, request_id, request_hash, shared, params, waits_for)
SELECT 'task-' || lpad(n::text, 6, '0'), 'flow-' || n % 2, 'ver-1', 'f', 1, 'waiting', 'a', '', 1, 1, 0, 0, n, n, '', '', '{}', '{}',
    CASE WHEN n % 1000 < 2 THEN 'approval' ELSE 'event' END FROM generate_series(1, 20000) n`)
	require.NoError(t, err)
	_, err = conn.Exec(ctx, "VACUUM ANALYZE scheduler.tasks")
	require.NoError(t, err)
	handInCounts(t, conn)

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
