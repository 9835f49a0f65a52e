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

// planned is a statement of the queue that runs for each poll, answer or list,
// and what each step of it that reads may read.
type planned struct {
	sql      string
	args     []any
	sqlite   []string
	postgres []string // indexes; those of service_limits left out
}

// queueStatements are all of them.
func queueStatements() map[string]planned {
	deadCount, dead := listDead(storage.DeadQuery{})
	serviceDeadCount, serviceDead := listDead(storage.DeadQuery{Service: "s"})
	_, deadAfter := listDead(storage.DeadQuery{ListOptions: storage.ListOptions{Cursor: "c"}})
	_, serviceDeadAfter := listDead(storage.DeadQuery{Service: "s", ListOptions: storage.ListOptions{Cursor: "c"}})
	const limitsKey = "service_limits USING PRIMARY KEY (service=?)"
	byID := func(sql string, args ...any) planned {
		return planned{sql, append([]any{"j"}, args...), []string{"sqlite_autoindex_jobs_1 (id=?)"}, []string{"jobs_pkey"}}
	}
	ofResult := func(sql string, args ...any) planned {
		return planned{sql, append([]any{"j"}, args...), []string{"sqlite_autoindex_job_results_1 (job_id=?)"}, []string{"job_results_pkey"}}
	}
	return map[string]planned{
		"claim":              {readyJobsSQL, []any{1, "s", 1, 1}, []string{"USING INDEX jobs_ready (service=?)"}, []string{"jobs_ready"}},
		"claim unlimited":    {freelyReadyJobsSQL, []any{1, "s", 1, 1}, []string{"USING INDEX jobs_ready (service=?)", limitsKey}, []string{"jobs_ready"}},
		"peek":               {peekJobsSQL, []any{"s", 1, 1}, []string{"COVERING INDEX jobs_ready", limitsKey}, []string{"jobs_ready"}},
		"get limit":          {getLimitSQL, []any{"s"}, []string{limitsKey}, nil},
		"spend":              {spendSQL, []any{"s", 1}, []string{limitsKey}, nil},
		"count claimed":      {countClaimedSQL, []any{"s"}, []string{"COVERING INDEX jobs_claimed (service=?)", limitsKey}, []string{"jobs_claimed"}},
		"lock":               {lockJobSQL, []any{"j"}, []string{"sqlite_autoindex_jobs_1 (id=?)", limitsKey}, []string{"jobs_pkey"}},
		"get":                byID(getJobSQL),
		"input":              byID(getInputSQL),
		"mark claimed":       byID(claimJobSQL, "w", "t", 1, 2),
		"complete":           byID(completeJobSQL, "s", 1, "h", "l"),
		"extend":             byID(extendClaimSQL, 1),
		"withdraw":           byID(withdrawJobSQL, 1),
		"release":            byID(releaseJobSQL),
		"undeliver":          byID(undeliverJobSQL),
		"bury":               byID(buryJobSQL, 1),
		"requeue":            byID(requeueJobSQL, 1),
		"expire":             {expiredJobsSQL, []any{1, 1}, []string{"USING INDEX jobs_claims (timeout_at<?)"}, []string{"jobs_claims"}},
		"next delayed":       {nextDelayedSQL, []any{1}, []string{"jobs_delayed (available_at>?)"}, []string{"jobs_delayed"}},
		"next timeout":       {nextTimeoutSQL, nil, []string{"jobs_claims"}, []string{"jobs_claims"}},
		"due results":        {dueResultsSQL, []any{1, 1}, []string{"job_results_next (next_at<?)"}, []string{"job_results_next"}},
		"held result":        {heldResultSQL, []any{"j", 1}, []string{"sqlite_autoindex_job_results_1 (job_id=?)"}, []string{"job_results_next"}},
		"claim result":       ofResult(claimResultSQL, 1),
		"acknowledge":        ofResult(ackResultSQL),
		"oldest result":      {oldestResultSQL, []any{1}, []string{"CO-ROUTINE r", "COVERING INDEX job_results_next", "SEARCH r", "sqlite_autoindex_jobs_1 (id=?)"}, []string{"job_results_next", "jobs_pkey"}},
		"stats ready":        {pendingStatsSQL, []any{1}, []string{"COVERING INDEX jobs_ready"}, []string{"jobs_ready"}},
		"stats claimed":      {claimedStatsSQL, nil, []string{"COVERING INDEX jobs_claimed"}, []string{"jobs_claimed"}},
		"stats dead":         {deadStatsSQL, nil, []string{"COVERING INDEX jobs_dead_service"}, []string{"jobs_dead_service"}},
		"dead":               {dead.SQL, dead.Args, []string{"USING INDEX jobs_dead_newest"}, []string{"jobs_dead_newest"}},
		"dead after":         {deadAfter.SQL, deadAfter.Args, []string{"USING INDEX jobs_dead_newest (id<?)"}, []string{"jobs_dead_newest"}},
		"dead count":         {deadCount.SQL, deadCount.Args, []string{"COVERING INDEX jobs_dead_newest"}, []string{"jobs_dead_newest"}},
		"service dead":       {serviceDead.SQL, serviceDead.Args, []string{"USING INDEX jobs_dead_service (service=?)"}, []string{"jobs_dead_service"}},
		"service dead after": {serviceDeadAfter.SQL, serviceDeadAfter.Args, []string{"USING INDEX jobs_dead_service (service=? AND id<?)"}, []string{"jobs_dead_service"}},
		"service dead count": {serviceDeadCount.SQL, serviceDeadCount.Args, []string{"COVERING INDEX jobs_dead_service (service=?)"}, []string{"jobs_dead_service"}},
	}
}

// Finished jobs are nearly all there are: what runs for each poll must read
// the index of its status, in the order it wants, and nothing besides.
func TestQueuePlans_ReadTheirIndexAlone(t *testing.T) {
	t.Parallel()
	db := migrated(t, migrations.Queue)
	for name, test := range queueStatements() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan := slices.DeleteFunc(explain(t, db, test.sql, test.args...), func(step string) bool {
				return strings.HasPrefix(step, "SCALAR SUBQUERY") || strings.HasPrefix(step, "CORRELATED SCALAR SUBQUERY") // its own steps follow
			})
			require.Len(t, plan, len(test.sqlite), "a step for each, so no sort either: %v", plan)
			for i, step := range test.sqlite {
				require.Contains(t, plan[i], step)
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
