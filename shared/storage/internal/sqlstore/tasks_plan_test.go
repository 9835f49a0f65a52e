package sqlstore

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Ended tasks and applied events are nearly all there are: what runs for each
// poll and each step must not meet them.
func TestTaskPlans_ReadTheirIndexAlone(t *testing.T) {
	t.Parallel()
	db := migrated(t, migrations.Scheduler)
	for name, test := range map[string]struct {
		sql   string
		index string
		args  []any
	}{
		"claim":         {claimableSQL, "tasks_runnable (runnable_at<?)", []any{1, 1}},
		"next runnable": {nextRunnableSQL, "COVERING INDEX tasks_runnable", nil},
		"extend":        {extendLeaseSQL + extendedSQL, "(id=?)", []any{"t", 1, 1}},
		"release owner": {releaseOwnerSQL, "tasks_runnable", []any{1, "o"}},
		"find request":  {findRequestSQL, "tasks_request (request_id=?)", []any{"r"}},
		"inbox":         {loadInboxSQL, "task_events_inbox (task_id=?)", []any{"t", 1}},
		"known event":   {knownEventSQL, "PRIMARY KEY (task_id=? AND source_id=?)", []any{"t", "s"}},
		"runs":          {listRunsSQL, "PRIMARY KEY (task_id=?)", []any{"t"}},
		"ended runs":    {loadEndedRunsSQL, "PRIMARY KEY (task_id=? AND no>?)", []any{"t", 1}},
		"settle":        {settleKeepSQL, "(id=?)", []any{"t", 1, "", "", "", "", 1, 1, 1, 1, "", "s"}},
		"run to mark":   {runStatusSQL, "PRIMARY KEY (task_id=? AND no=?)", []any{"t", 1, "r"}},
		"mark running":  {markRunningSQL, "PRIMARY KEY (task_id=? AND no=?)", []any{"t", 1, "r", "w"}},
		"open log":      {openRunLogSQL, "PRIMARY KEY (task_id=? AND no=?)", []any{"t", 1, "r"}},
		"known entry":   {knownLogEntrySQL, "run_log_sources (run_id=? AND source_id=?)", []any{"r", "s"}},
		"log by run":    {runOfLogSQL, "l USING PRIMARY KEY (run_id=?)", []any{"r"}},
		"run of log":    {runOfLogSQL, "r USING PRIMARY KEY (task_id=? AND no=?)", []any{"r"}},
		"log by task":   {runOfTaskSQL, "PRIMARY KEY (task_id=?)", []any{"t", "r"}},
		"log text":      {runLogTextSQL, "PRIMARY KEY (run_id=?)", []any{"r"}},
		"count status":  {countStatus(storage.TaskRunning), "COVERING INDEX tasks_status (status=?)", nil},
		"oldest outbox": {oldestOutboxSQL, "outbox", nil},
		"due outbox":    {dueOutboxSQL, "outbox_next (next_at<?)", []any{1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan := strings.Join(explain(t, db, test.sql, test.args...), "\n")
			require.Contains(t, plan, test.index)
			require.NotContains(t, plan, "TEMP B-TREE")
			require.NotContains(t, plan, "SCAN node_runs")
		})
	}
}

// Of a million tasks a few wait for somebody's decision.
func TestTaskPlans_ApprovalsAreListedFromTheirIndexes(t *testing.T) {
	t.Parallel()
	db := migrated(t, migrations.Scheduler)
	for _, query := range []storage.TaskQuery{
		{}, {FlowID: "f"}, {ListOptions: storage.ListOptions{Cursor: "t"}}, {FlowID: "f", ListOptions: storage.ListOptions{Cursor: "t"}},
	} {
		query.WaitsFor, query.Limit = storage.WaitApproval, 10
		count, page := listTasks(query)
		for _, statement := range []Statement{count, page} {
			plan := strings.Join(explain(t, db, statement.SQL, statement.Args...), "\n")
			require.Contains(t, plan, "approvals", statement.SQL)
			require.NotContains(t, plan, "TEMP B-TREE")
		}
	}
}
