package sqlstore

import (
	"testing"

	"github.com/pocketflowgo/pocketflow/migrations"
)

func TestTaskPlansOnPostgres_ReadTheirIndexAlone(t *testing.T) {
	t.Parallel()
	conn := filledOnPostgres(t, migrations.Scheduler,
		`INSERT INTO tasks (id, flow_id, flow_version_id, flow_name, flow_version, status, current_node, waits_for, lease_owner, lease_epoch,
	runnable_at, seq, inbox_seq, inbox_done, created_at, updated_at, request_id, request_hash, shared, params)
`+numbers+`SELECT 'task-' || lpad(n::text, 6, '0'), `+taskOf+` FROM numbers`,
		`INSERT INTO node_runs (`+runColumns+`) `+numbers+`SELECT `+runOf+` FROM numbers`,
		`INSERT INTO task_events (`+eventColumns+`, seq) `+numbers+`SELECT `+eventOf+` FROM numbers`,
		`INSERT INTO outbox (`+outboxColumns+`) `+numbers+`SELECT 'm' || n, 't', '', '{}', n / 10, 0 FROM numbers`,
		`INSERT INTO run_logs `+numbers+`SELECT 'r' || n, 't', n, 1, 1 FROM numbers`,
		`INSERT INTO run_log_entries `+numbers+`SELECT 'r' || n, 1, 's' || n, 1, 'x' FROM numbers`,
		`VACUUM ANALYZE tasks, node_runs, task_events, outbox, run_logs, run_log_entries`)
	readTheirIndexAlone(t, conn, taskStatements())
	readTheirIndexAlone(t, conn, listStatements())
}
