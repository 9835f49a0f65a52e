package conformance

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/connect"
	"github.com/pocketflowgo/pocketflow/shared/storage/storagetest"
	"github.com/pocketflowgo/pocketflow/tests/pgtest"
)

// On a server that pgtest started nothing waits for the disk: for durable
// figures set POCKETFLOW_TEST_POSTGRES_URL.

func openBenchQueue(b *testing.B, dsn string) storage.Queue {
	queue, err := connect.Queue(b.Context(), dsn, connect.Options{})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, queue.Close()) })
	return queue
}

func newBenchQueue(b *testing.B) storage.Queue {
	return openBenchQueue(b, pgtest.Migrated(b, migrations.Queue))
}

func BenchmarkPostgres_Queue(b *testing.B) { storagetest.BenchmarkQueue(b, newBenchQueue) }

func BenchmarkPostgres_QueueBatches(b *testing.B) {
	storagetest.BenchmarkQueueBatches(b, newBenchQueue)
}

func BenchmarkPostgres_QueueMillionFinished(b *testing.B) {
	dsn := pgtest.Migrated(b, migrations.Queue)
	conn, err := pgx.Connect(b.Context(), dsn)
	require.NoError(b, err)
	_, err = conn.Exec(b.Context(), `
INSERT INTO queue.jobs (id, task_id, run_id, node_key, path, visit, attempt, service, input, priority, status, deliveries,
    available_at, worker_id, token, created_at, started_at, timeout_at, finished_at, result_hash, log_path)
SELECT 'done-' || lpad(n::text, 9, '0'), 'task', 'run', 'node', 'node', 1, 1, 'abc', '{"input":1}', 0, 'completed', 1,
    n, 'w', 'token', n, n, n, n, 'hash', '' FROM generate_series(1, $1) n`, storagetest.BenchFinished)
	require.NoError(b, err)
	_, err = conn.Exec(b.Context(), "VACUUM ANALYZE queue.jobs")
	require.NoError(b, err)
	require.NoError(b, conn.Close(b.Context()))
	storagetest.CompareQueues(b, newBenchQueue(b), openBenchQueue(b, dsn))
}

func BenchmarkPostgres_TasksMillionFinished(b *testing.B) {
	stores := make([]storage.Tasks, 2)
	for i, finished := range []int{0, storagetest.BenchFinished} {
		dsn := pgtest.Migrated(b, migrations.Scheduler)
		conn, err := pgx.Connect(b.Context(), dsn)
		require.NoError(b, err)
		_, err = conn.Exec(b.Context(), `
INSERT INTO scheduler.tasks (id, flow_id, flow_version_id, flow_name, flow_version, status, current_node, lease_owner, lease_epoch,
    seq, inbox_seq, inbox_done, created_at, updated_at, finished_at, request_id, request_hash, state, shared, params)
SELECT 'done-' || lpad(n::text, 9, '0'), 'flow-' || n % 10, 'ver-' || n % 10, 'f', 1, CASE WHEN n % 1000 = 0 THEN 'failed' ELSE 'completed' END, '', '', 1,
    9, 0, 0, n, n, n, '', '', '{"steps":3}', '{"result":{"ok":true,"value":42}}', '{"a":1}' FROM generate_series(1, $1) n`, finished)
		require.NoError(b, err)
		_, err = conn.Exec(b.Context(), "VACUUM ANALYZE scheduler.tasks")
		require.NoError(b, err)
		require.NoError(b, conn.Close(b.Context()))
		stores[i], err = connect.Tasks(b.Context(), dsn, connect.Options{})
		require.NoError(b, err)
		b.Cleanup(func() { require.NoError(b, stores[i].Close()) })
	}
	storagetest.CompareTasks(b, stores[0], stores[1])
}

func BenchmarkPostgres_QueueLimitsOnOthers(b *testing.B) {
	limited := newBenchQueue(b)
	storagetest.LimitOthers(b, limited)
	storagetest.CompareQueues(b, newBenchQueue(b), limited)
}

func BenchmarkPostgres_QueueLimitsOnPolled(b *testing.B) {
	limited := newBenchQueue(b)
	storagetest.LimitPolled(b, limited)
	storagetest.CompareQueues(b, newBenchQueue(b), limited)
}
