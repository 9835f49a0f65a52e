package sqlstore

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite" // the database/sql driver "sqlite"

	"github.com/pocketflowgo/pocketflow/migrations"
)

// Finished jobs are nearly all there are: what runs for each poll must read
// the index of its status, in the order it wants, and nothing besides.
func TestQueuePlans_ReadTheirIndexAlone(t *testing.T) {
	t.Parallel()
	db := migrated(t, migrations.Queue)
	for name, test := range map[string]struct {
		sql   string
		index string
		args  []any
	}{
		"claim":        {readyJobsSQL, "jobs_ready (service=?)", []any{"s", 1, 1}},
		"peek":         {peekJobsSQL, "COVERING INDEX jobs_ready", []any{"s", 1, 1}},
		"expire":       {expiredJobsSQL, "jobs_claims (timeout_at<?)", []any{1, 1}},
		"next delayed": {nextDelayedSQL, "jobs_delayed (available_at>?)", []any{1}},
		"next timeout": {nextTimeoutSQL, "jobs_claims", nil},
		"due results":  {dueResultsSQL, "job_results_next (next_at<?)", []any{1, 1}},
		"stats ready":  {pendingStatsSQL, "jobs_ready", []any{1}},
		"stats dead":   {deadStatsSQL, "jobs_dead", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan := explain(t, db, test.sql, test.args...)
			require.Len(t, plan, 1, "one step, so no sort either: %v", plan)
			require.Contains(t, plan[0], test.index)
		})
	}
}

func TestFlowPlans_ReadTheirIndexAlone(t *testing.T) {
	t.Parallel()
	db := migrated(t, migrations.Catalog)
	for name, test := range map[string]struct {
		sql   string
		index string
		args  []any
	}{
		"find":       {findFlowSQL, "flows_name (name=?)", []any{"n"}},
		"list":       {listFlowsSQL, "(id<?)", []any{"i", 1, 0}},
		"list named": {listNamedFlowsSQL, "flows_name (name=? AND id<?)", []any{"i", 1, 0, "n"}},
		"number":     {nextVersionSQL, "COVERING INDEX flow_versions_number (flow_id=?)", []any{"f"}},
		"latest":     {resolveLatestSQL, "flow_versions_number (flow_id=?)", []any{"f"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan := explain(t, db, test.sql, test.args...)
			text := strings.Join(plan, "\n")
			require.Contains(t, text, test.index)
			require.NotContains(t, text, "SCAN")
			require.NotContains(t, text, "TEMP B-TREE")
		})
	}
}

func migrated(t *testing.T, service string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "plan.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	files, err := migrations.FS(service, migrations.SQLite)
	require.NoError(t, err)
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, files)
	require.NoError(t, err)
	_, err = provider.Up(t.Context())
	require.NoError(t, err)
	return db
}

func explain(t *testing.T, db *sql.DB, query string, args ...any) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, args...)
	require.NoError(t, err)
	defer rows.Close()
	var plan []string
	for rows.Next() {
		var id, parent, unused int
		var step string
		require.NoError(t, rows.Scan(&id, &parent, &unused, &step))
		plan = append(plan, step)
	}
	require.NoError(t, rows.Err())
	return plan
}
