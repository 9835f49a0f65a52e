package sqlstore

import (
	"testing"

	"github.com/pocketflowgo/pocketflow/migrations"
)

// Postgres chooses by what it knows of a table: a queue as it is after a while,
// nearly all of it finished.
func TestQueuePlansOnPostgres_ReadTheirIndexAlone(t *testing.T) {
	t.Parallel()
	conn := filledOnPostgres(t, migrations.Queue, `
INSERT INTO jobs (id, task_id, run_id, node_key, path, visit, attempt, service, input, priority, status, deliveries,
    available_at, worker_id, token, timeout_at, created_at, finished_at, result_hash, log_path)
SELECT 'job-' || n, 'task', 'run', '', '', 1, 1, 's' || n % 50, '{}', n % 3, s.status, 1,
    n, '', '', n, n, n, CASE WHEN s.status = 'completed' THEN 'h' ELSE '' END, ''
FROM generate_series(1, 40000) n, LATERAL (SELECT CASE n % 500 WHEN 0 THEN 'pending' WHEN 1 THEN 'claimed' WHEN 2 THEN 'dead' ELSE 'completed' END AS status) s`,
		`INSERT INTO job_results SELECT id, task_id, run_id, '{}', created_at, 0 FROM jobs WHERE created_at % 8 = 0`,
		`INSERT INTO service_limits SELECT 'limited' || n, 1, 0, 0, 0, 0 FROM generate_series(1, 5) n`,
		`VACUUM ANALYZE jobs, job_results, service_limits`)
	readTheirIndexAlone(t, conn, queueStatements())
}
