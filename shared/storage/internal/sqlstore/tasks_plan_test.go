package sqlstore

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// taskStatements are those that run for each poll, each step, each reading of
// the gauges, or a reader.
func taskStatements() map[string]planned {
	one := func(sql string, args ...any) planned {
		return planned{sql, append([]any{"t"}, args...), []string{"sqlite_autoindex_tasks_1 (id=?)"}, []string{"tasks_pkey"}}
	}
	oneRun := func(sql string, args ...any) planned {
		return planned{sql, append([]any{"t", 1}, args...), []string{"PRIMARY KEY (task_id=? AND no=?)"}, []string{"node_runs_pkey"}}
	}
	runs := func(sql, sqlite string, args ...any) planned {
		return planned{sql, append([]any{"t"}, args...), []string{"node_runs USING PRIMARY KEY " + sqlite}, []string{"node_runs_pkey"}}
	}
	oneEvent := func(sql string, args ...any) planned {
		return planned{sql, append([]any{"t", "s"}, args...), []string{"PRIMARY KEY (task_id=? AND source_id=?)"}, []string{"task_events_pkey"}}
	}
	oneMessage := func(sql string, args ...any) planned {
		return planned{sql, append([]any{"m"}, args...), []string{"PRIMARY KEY (id=?)"}, []string{"outbox_pkey"}}
	}
	settled := []any{1, "{}", "{}", "a", "{}", 1, 1, 1, 1, "", "running"}
	extended := one(extendLeaseSQL+extendedSQL, 1, 1)
	extended.sqlite = append(extended.sqlite, extended.sqlite...)
	extended.postgres = append(extended.postgres, extended.postgres...)

	all := map[string]planned{
		"get":           one(getTaskSQL),
		"claim":         {claimableSQL, []any{1, 1}, []string{"USING INDEX tasks_runnable (runnable_at<?)"}, []string{"tasks_runnable"}},
		"take lease":    one(takeLeaseSQL, "o", 1, 1),
		"next runnable": {nextRunnableSQL, nil, []string{"COVERING INDEX tasks_runnable"}, []string{"tasks_runnable"}},
		"extend":        extended,
		"lease is held": one(leaseIsHeldSQL, 1),
		"release":       {releaseLeaseSQL, []any{1, "t", 1}, []string{"sqlite_autoindex_tasks_1 (id=?)"}, []string{"tasks_pkey"}},
		"release owner": {releaseOwnerSQL, []any{1, "o"}, []string{"tasks_runnable"}, []string{"tasks_runnable"}},
		"find request":  {findRequestSQL, []any{"r"}, []string{"USING INDEX tasks_request (request_id=?)"}, []string{"tasks_request"}},
		"settle":        one(settleKeepSQL, settled...),
		"settle, plain": {settlePlainSQL, append([]any{"t"}, settled...), []string{"sqlite_autoindex_tasks_1 (id=?)"}, nil},
		"settle, free":  one(settleReleaseSQL, append(settled, 1)...),
		"settle, end":   one(settleEndSQL, settled...),
		"settle, take":  one(settleTakeSQL, append(settled, "o", 1, 1)...),
		"lock inbox":    one(lockInboxSQL),
		"update inbox":  one(updateInboxSQL, "running", 1, 1, 1),

		"inbox":       {loadInboxSQL, []any{"t", 1}, []string{"USING INDEX task_events_inbox (task_id=?)"}, []string{"task_events_inbox"}},
		"known event": oneEvent(knownEventSQL),
		"apply event": oneEvent(applyEventSQL, 1),
		// An index for this order would cost every step an entry for each event,
		// and is for those who look at one task's history.
		"events": {listEventsSQL, []any{"t", 1, 1}, []string{"PRIMARY KEY (task_id=?)", "USE TEMP B-TREE FOR ORDER BY"}, []string{"Sort", "task_events_pkey"}},

		"runs":         runs(listRunsSQL, "(task_id=?)"),
		"ended runs":   runs(loadEndedRunsSQL, "(task_id=? AND no>?)", 1),
		"log by task":  runs(runOfTaskSQL, "(task_id=?)", "r"),
		"load run":     oneRun(loadRunSQL),
		"finish run":   oneRun(finishRunSQL, "ok", "", "{}", "", "", "", "", "", "", "", "", 1),
		"run to mark":  oneRun(runStatusSQL, "r"),
		"mark running": oneRun(markRunningSQL, "r", "w"),
		"open log":     oneRun(openRunLogSQL, "r"),
		"update log":   {updateRunLogSQL, []any{"r", 1, 1}, []string{"PRIMARY KEY (run_id=?)"}, []string{"run_logs_pkey"}},
		"known entry":  {knownLogEntrySQL, []any{"r", "s"}, []string{"COVERING INDEX run_log_sources (run_id=? AND source_id=?)"}, []string{"run_log_sources"}},
		"log by run": {
			runOfLogSQL, []any{"r"}, []string{"l USING PRIMARY KEY (run_id=?)", "r USING PRIMARY KEY (task_id=? AND no=?)"},
			[]string{"run_logs_pkey", "node_runs_pkey"},
		},
		"log text": {runLogTextSQL, []any{"r"}, []string{"PRIMARY KEY (run_id=?)"}, []string{"run_log_entries_pkey"}},

		// Messages that were claimed together have one time; only such are sorted.
		"due outbox":    {dueOutboxSQL, []any{100, 10}, []string{"USING INDEX outbox_next (next_at<?)"}, []string{"Incremental Sort", "outbox_next"}},
		"claim outbox":  oneMessage(claimOutboxSQL, 1, 1),
		"ack outbox":    oneMessage(ackOutboxSQL),
		"oldest outbox": {oldestOutboxSQL, nil, []string{"SCAN outbox"}, []string{"outbox_pkey"}}, // the first entry
	}
	for _, status := range storage.TaskStatuses {
		if !status.Terminal() {
			all["count "+string(status)] = planned{
				countStatus(status), nil, []string{"CO-ROUTINE t", "COVERING INDEX tasks_status (status=?)", "SCAN t"}, []string{"tasks_status"},
			}
		}
	}
	return all
}

// Ended tasks and applied events are nearly all there are: what runs for each
// poll and each step must not meet them.
func TestTaskPlans_ReadTheirIndexAlone(t *testing.T) {
	t.Parallel()
	readTheirIndexAloneOnSQLite(t, migrated(t, migrations.Scheduler), taskStatements())
}

// listed is a list, and the index that it and its total are read from.
type listed struct {
	query storage.TaskQuery
	index string
	// first is a column of which the index is asked for one value, before the one
	// that is the last but the id.
	first, last string
	among       bool // there are conditions that the index does not know
}

// lists are those of each filter and of several at once.
func lists() map[string]listed {
	const flow, version = "flow-few", "ver-few"
	return map[string]listed{
		"all":                     {index: "tasks_pkey"},
		"completed":               {query: storage.TaskQuery{Status: storage.TaskCompleted}, index: "tasks_status", last: "status"},
		"failed":                  {query: storage.TaskQuery{Status: storage.TaskFailed}, index: "tasks_status", last: "status"},
		"waiting":                 {query: storage.TaskQuery{Status: storage.TaskWaiting}, index: "tasks_status", last: "status"},
		"flow":                    {query: storage.TaskQuery{FlowID: flow}, index: "tasks_flow", last: "flow_id"},
		"version":                 {query: storage.TaskQuery{FlowVersionID: version}, index: "tasks_flow_version", last: "flow_version_id"},
		"flow, version":           {query: storage.TaskQuery{FlowID: flow, FlowVersionID: version}, index: "tasks_flow_version", last: "flow_version_id", among: true},
		"flow, completed":         {query: storage.TaskQuery{FlowID: flow, Status: storage.TaskCompleted}, index: "tasks_flow_ended", first: "flow_id", last: "status"},
		"flow, failed":            {query: storage.TaskQuery{FlowID: flow, Status: storage.TaskFailed}, index: "tasks_flow_ended", first: "flow_id", last: "status"},
		"flow, waiting":           {query: storage.TaskQuery{FlowID: flow, Status: storage.TaskWaiting}, index: "tasks_status", last: "status", among: true},
		"version, completed":      {query: storage.TaskQuery{FlowVersionID: version, Status: storage.TaskCompleted}, index: "tasks_version_ended", first: "flow_version_id", last: "status"},
		"version, waiting":        {query: storage.TaskQuery{FlowVersionID: version, Status: storage.TaskWaiting}, index: "tasks_status", last: "status", among: true},
		"flow, version, canceled": {query: storage.TaskQuery{FlowID: flow, FlowVersionID: version, Status: storage.TaskCanceled}, index: "tasks_version_ended", first: "flow_version_id", last: "status", among: true},
		"approvals":               {query: storage.TaskQuery{WaitsFor: storage.WaitApproval}, index: "tasks_approvals"},
		"approvals, flow":         {query: storage.TaskQuery{WaitsFor: storage.WaitApproval, FlowID: flow}, index: "tasks_flow_approvals", last: "flow_id"},
	}
}

// listStatements are the lists' first pages, those after a cursor, and totals.
func listStatements() map[string]planned {
	all := map[string]planned{}
	for name, list := range lists() {
		list.query.Limit = 10
		count, first := listTasks(list.query)
		list.query.Cursor = "task-5"
		_, after := listTasks(list.query)
		// The tables of these tests are small, so what is counted of them is less.
		count.SQL = strings.Replace(count.SQL, fmt.Sprint("LIMIT ", storage.MaxTotal), "LIMIT 1000", 1)

		keys, keysAfter := "", " (id<?)"
		if list.last != "" {
			keys, keysAfter = fmt.Sprintf(" (%[1]s>? AND %[1]s<?)", list.last), fmt.Sprintf(" (%[1]s>? AND (%[1]s,id)<(?,?))", list.last)
		}
		if list.first != "" {
			equal := " (" + list.first + "=? AND "
			keys, keysAfter = strings.Replace(keys, " (", equal, 1), strings.Replace(keysAfter, " (", equal, 1)
		}
		alone := "COVERING INDEX "
		if list.among {
			alone = "INDEX "
		}
		index := strings.Replace(list.index, "tasks_pkey", "sqlite_autoindex_tasks_1", 1)
		all["list "+name] = planned{first.SQL, first.Args, []string{"USING INDEX " + index + keys}, []string{list.index}}
		all["list "+name+" after"] = planned{after.SQL, after.Args, []string{"USING INDEX " + index + keysAfter}, []string{list.index}}
		all["total "+name] = planned{count.SQL, count.Args, []string{"CO-ROUTINE t", "USING " + alone + index + keys, "SCAN t"}, []string{list.index}}
	}
	return all
}

func TestTaskPlans_ListsReadTheirIndexAlone(t *testing.T) {
	t.Parallel()
	readTheirIndexAloneOnSQLite(t, migrated(t, migrations.Scheduler), listStatements())
}

// Statistics, where somebody has had them taken, must not lead to another plan.
func TestTaskPlans_AreTheSameWithStatistics(t *testing.T) {
	t.Parallel()
	db := migrated(t, migrations.Scheduler)
	for _, statement := range []string{
		`INSERT INTO tasks (id, flow_id, flow_version_id, flow_name, flow_version, status, current_node, waits_for, lease_owner, lease_epoch,
	runnable_at, seq, inbox_seq, inbox_done, created_at, updated_at, request_id, request_hash, shared, params)
` + numbers + `SELECT printf('task-%06d', n), ` + taskOf + ` FROM numbers`,
		`INSERT INTO node_runs (` + runColumns + `) ` + numbers + `SELECT ` + runOf + ` FROM numbers`,
		`INSERT INTO task_events (` + eventColumns + `, seq) ` + numbers + `SELECT ` + eventOf + ` FROM numbers`,
		`INSERT INTO outbox (` + outboxColumns + `) ` + numbers + `SELECT 'm' || n, 't', '', '{}', n / 10, 0 FROM numbers`,
		`INSERT INTO run_logs ` + numbers + `SELECT 'r' || n, 't', n, 1, 1 FROM numbers`,
		`INSERT INTO run_log_entries ` + numbers + `SELECT 'r' || n, 1, 's' || n, 1, 'x' FROM numbers`,
		`ANALYZE`,
	} {
		_, err := db.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	readTheirIndexAloneOnSQLite(t, db, taskStatements())
	readTheirIndexAloneOnSQLite(t, db, listStatements())
}

// A database as it is after a while: of 20,000 tasks one in a hundred is not
// finished, nearly all are of one flow, and their events are applied.
const (
	numbers = `WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 20000) `

	wide = "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"

	taskOf = `CASE WHEN n % 50 = 0 THEN 'flow-few' ELSE 'flow-0' END, CASE WHEN n % 50 = 0 THEN 'ver-few' ELSE 'ver-0' END, 'f', 1,
	CASE WHEN n % 400 BETWEEN 20 AND 60 THEN 'canceled' ELSE CASE n % 400 WHEN 1 THEN 'running' WHEN 2 THEN 'waiting' WHEN 3 THEN 'waiting' WHEN 4 THEN 'waiting_queue' WHEN 5 THEN 'failed' ELSE 'completed' END END,
	'a', CASE n % 400 WHEN 2 THEN 'approval' WHEN 3 THEN 'timer' WHEN 4 THEN 'queue' ELSE '' END, '', 1,
	CASE WHEN n % 400 IN (1, 3) THEN n END, 9, 1, 1, n, n, CASE WHEN n % 2 = 0 THEN 'r' || n ELSE '' END, '', '{}', '{"wide": "` + wide + wide + wide + wide + `"}'`

	runOf = `'task-' || (n / 4), n, 'r' || n, 'a', 'a', 1, 1, 'ok', '', '', '{}', '{}', '{}', '', '', '', '', '', '', '', '', 1, 1`

	eventOf = `'task-' || (n / 4), 'e' || n, 'signal', '{}', n, n % 2, CASE WHEN n % 400 > 0 THEN n % 4 END`
)
