package sqlstore

import (
	"testing"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

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
		"ready service":      {readyServiceSQL, []any{"s", 1}, []string{"COVERING INDEX jobs_ready (service=?)"}, []string{"jobs_ready"}},
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
	readTheirIndexAloneOnSQLite(t, migrated(t, migrations.Queue), queueStatements())
}
