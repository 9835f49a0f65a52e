package sqlstore

import (
	"database/sql"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite" // the database/sql driver "sqlite"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Finished jobs are nearly all there are: what runs for each poll must read
// the index of its status, in the order it wants, and nothing besides.
func TestQueuePlans_ReadTheirIndexAlone(t *testing.T) {
	t.Parallel()
	db := migrated(t, migrations.Queue)
	const limitsKey = "service_limits USING PRIMARY KEY (service=?)"
	deadCount, dead := listDead(storage.DeadQuery{})
	serviceDeadCount, serviceDead := listDead(storage.DeadQuery{Service: "s"})
	_, deadAfter := listDead(storage.DeadQuery{ListOptions: storage.ListOptions{Cursor: "c"}})
	_, serviceDeadAfter := listDead(storage.DeadQuery{Service: "s", ListOptions: storage.ListOptions{Cursor: "c"}})
	for name, test := range map[string]struct {
		sql    string
		tables []string // what each step that reads reads
		args   []any
	}{
		"claim":              {readyJobsSQL, []string{"USING INDEX jobs_ready (service=?)"}, []any{1, "s", 1, 1}},
		"claim unlimited":    {freelyReadyJobsSQL, []string{"USING INDEX jobs_ready (service=?)", limitsKey}, []any{1, "s", 1, 1}},
		"input":              {getInputSQL, []string{"sqlite_autoindex_jobs_1 (id=?)"}, []any{"j"}},
		"peek":               {peekJobsSQL, []string{"COVERING INDEX jobs_ready", limitsKey}, []any{"s", 1, 1}},
		"get limit":          {getLimitSQL, []string{limitsKey}, []any{"s"}},
		"spend":              {spendSQL, []string{limitsKey}, []any{"s", 1}},
		"count claimed":      {countClaimedSQL, []string{"COVERING INDEX jobs_claimed (service=?)", limitsKey}, []any{"s"}},
		"lock":               {lockJobSQL, []string{"sqlite_autoindex_jobs_1 (id=?)", limitsKey}, []any{"j"}},
		"mark claimed":       {claimJobSQL, []string{"sqlite_autoindex_jobs_1 (id=?)"}, []any{"j", "w", "t", 1, 2}},
		"complete":           {completeJobSQL, []string{"sqlite_autoindex_jobs_1 (id=?)"}, []any{"j", "s", 1, "h", "l"}},
		"extend":             {extendClaimSQL, []string{"sqlite_autoindex_jobs_1 (id=?)"}, []any{"j", 1}},
		"withdraw":           {withdrawJobSQL, []string{"sqlite_autoindex_jobs_1 (id=?)"}, []any{"j", 1}},
		"release":            {releaseJobSQL, []string{"sqlite_autoindex_jobs_1 (id=?)"}, []any{"j"}},
		"bury":               {buryJobSQL, []string{"sqlite_autoindex_jobs_1 (id=?)"}, []any{"j", 1}},
		"requeue":            {requeueJobSQL, []string{"sqlite_autoindex_jobs_1 (id=?)"}, []any{"j", 1}},
		"discard":            {discardJobSQL, []string{"sqlite_autoindex_jobs_1 (id=?)"}, []any{"j", 1}},
		"expire":             {expiredJobsSQL, []string{"USING INDEX jobs_claims (timeout_at<?)"}, []any{1, 1}},
		"next delayed":       {nextDelayedSQL, []string{"jobs_delayed (available_at>?)"}, []any{1}},
		"next timeout":       {nextTimeoutSQL, []string{"jobs_claims"}, nil},
		"due results":        {dueResultsSQL, []string{"job_results_next (next_at<?)"}, []any{1, 1}},
		"claim result":       {claimResultSQL, []string{"sqlite_autoindex_job_results_1 (job_id=?)"}, []any{"j", 1}},
		"acknowledge":        {ackResultSQL, []string{"sqlite_autoindex_job_results_1 (job_id=?)"}, []any{"j"}},
		"stats ready":        {pendingStatsSQL, []string{"COVERING INDEX jobs_ready"}, []any{1}},
		"stats claimed":      {claimedStatsSQL, []string{"COVERING INDEX jobs_claimed"}, nil},
		"stats dead":         {deadStatsSQL, []string{"COVERING INDEX jobs_dead_service"}, nil},
		"dead":               {dead.SQL, []string{"USING INDEX jobs_dead_newest"}, dead.Args},
		"dead after":         {deadAfter.SQL, []string{"USING INDEX jobs_dead_newest (id<?)"}, deadAfter.Args},
		"dead count":         {deadCount.SQL, []string{"COVERING INDEX jobs_dead_newest"}, deadCount.Args},
		"service dead":       {serviceDead.SQL, []string{"USING INDEX jobs_dead_service (service=?)"}, serviceDead.Args},
		"service dead after": {serviceDeadAfter.SQL, []string{"USING INDEX jobs_dead_service (service=? AND id<?)"}, serviceDeadAfter.Args},
		"service dead count": {serviceDeadCount.SQL, []string{"COVERING INDEX jobs_dead_service (service=?)"}, serviceDeadCount.Args},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan := slices.DeleteFunc(explain(t, db, test.sql, test.args...), func(step string) bool {
				return strings.HasPrefix(step, "SCALAR SUBQUERY") || strings.HasPrefix(step, "CORRELATED SCALAR SUBQUERY") // its own steps follow
			})
			require.Len(t, plan, len(test.tables), "a step for each, so no sort either: %v", plan)
			for i, table := range test.tables {
				require.Contains(t, plan[i], table)
			}
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
