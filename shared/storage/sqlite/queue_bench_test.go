package sqlite_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/connect"
	"github.com/pocketflowgo/pocketflow/shared/storage/migrate"
	"github.com/pocketflowgo/pocketflow/shared/storage/storagetest"
)

func openQueue(b *testing.B, path string) storage.Queue {
	queue, err := connect.Queue(b.Context(), "sqlite://"+path, connect.Options{Migration: connect.MigrateOnOpen})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, queue.Close()) })
	return queue
}

func newQueue(b *testing.B) storage.Queue {
	return openQueue(b, filepath.Join(b.TempDir(), "queue.db"))
}

func BenchmarkQueue(b *testing.B) { storagetest.BenchmarkQueue(b, newQueue) }

func BenchmarkQueue_Batches(b *testing.B) { storagetest.BenchmarkQueueBatches(b, newQueue) }

func BenchmarkQueue_MillionFinished(b *testing.B) {
	path := filepath.Join(b.TempDir(), "queue.db")
	_, err := migrate.Up(b.Context(), migrate.Target{Service: migrations.Queue, DSN: "sqlite://" + path})
	require.NoError(b, err)
	db, err := sql.Open("sqlite", path)
	require.NoError(b, err)
	_, err = db.ExecContext(b.Context(), `
WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < $1)
INSERT INTO jobs (id, task_id, run_id, node_key, path, visit, attempt, service, input, priority, status, deliveries,
    available_at, worker_id, token, created_at, started_at, timeout_at, finished_at, result_hash, log_path)
SELECT printf('done-%09d', n), 'task', 'run', 'node', 'node', 1, 1, 'abc', '{"input":1}', 0, 'completed', 1,
    n, 'w', 'token', n, n, n, n, 'hash', '' FROM numbers`, storagetest.BenchFinished)
	require.NoError(b, err)
	require.NoError(b, db.Close())
	storagetest.CompareQueues(b, newQueue(b), openQueue(b, path))
}

func BenchmarkQueue_LimitsOnOthers(b *testing.B) {
	limited := newQueue(b)
	storagetest.LimitOthers(b, limited)
	storagetest.CompareQueues(b, newQueue(b), limited)
}

func BenchmarkQueue_LimitsOnPolled(b *testing.B) {
	limited := newQueue(b)
	storagetest.LimitPolled(b, limited)
	storagetest.CompareQueues(b, newQueue(b), limited)
}
