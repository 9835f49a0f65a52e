package sqlstore

import (
	"testing"

	"github.com/pocketflowgo/pocketflow/migrations"
)

// All workers are few and most of them are online: they are listed by reading
// their table, in order of the key.
func workerStatements() map[string]planned {
	byID := func(sql string, args ...any) planned {
		return planned{sql, append([]any{"w"}, args...), []string{"sqlite_autoindex_workers_1 (id=?)"}, []string{"workers_pkey"}}
	}
	return map[string]planned{
		"heartbeat":  byID(recordHeartbeatSQL, 1, "u", 1),
		"deregister": byID(deleteWorkerSQL),
		"prune":      {pruneWorkersSQL, []any{1}, []string{"workers_last_heartbeat (last_heartbeat<?)"}, []string{"workers_last_heartbeat"}},
	}
}

func TestWorkerPlans_ReadTheirIndexAlone(t *testing.T) {
	t.Parallel()
	readTheirIndexAloneOnSQLite(t, migrated(t, migrations.Registry), workerStatements())
}

func TestWorkerPlansOnPostgres_ReadTheirIndexAlone(t *testing.T) {
	t.Parallel()
	conn := filledOnPostgres(t, migrations.Registry,
		`INSERT INTO workers SELECT 'w' || n, 'http://worker.example:8080', '["a","b"]', 'http', 1, 0, '{}', n, n FROM generate_series(1, 5000) n`,
		`VACUUM ANALYZE workers`)
	readTheirIndexAlone(t, conn, workerStatements())
}
