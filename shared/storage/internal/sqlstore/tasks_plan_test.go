package sqlstore

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/migrations"
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
		"settle":        {settleKeepSQL, "(id=?)", []any{"t", 1, "", "", "", "", 1, 1, 1, 1, "s"}},
		"due outbox":    {dueOutboxSQL, "outbox_next (next_at<?)", []any{1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan := strings.Join(explain(t, db, test.sql, test.args...), "\n")
			require.Contains(t, plan, test.index)
			require.NotContains(t, plan, "TEMP B-TREE")
		})
	}
}
