package sqlite_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/connect"
	"github.com/pocketflowgo/pocketflow/shared/storage/migrate"
)

// endedTasks fills a new scheduler's database with completed tasks, one in a
// thousand failed, and returns its path.
func endedTasks(tb testing.TB, count int) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "ended.db")
	_, err := migrate.Up(tb.Context(), migrate.Target{Service: migrations.Scheduler, DSN: "sqlite://" + path})
	require.NoError(tb, err)
	db, err := sql.Open("sqlite", path)
	require.NoError(tb, err)
	_, err = db.ExecContext(tb.Context(), `
WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < $1)
INSERT INTO tasks (id, flow_id, flow_version_id, flow_name, flow_version, status, current_node, lease_owner, lease_epoch,
    seq, inbox_seq, inbox_done, created_at, updated_at, finished_at, request_id, request_hash, state, shared, params)
SELECT printf('task-%09d', n), 'flow-' || (n % 10), 'ver-' || (n % 10), 'f', 1, CASE WHEN n % 1000 = 0 THEN 'failed' ELSE 'completed' END, '', '', 1,
    9, 0, 0, n, n, n, '', '', '{"steps":3}', '{"result":{"ok":true,"value":42}}', '{"a":1}' FROM numbers`, count)
	require.NoError(tb, err)
	require.NoError(tb, db.Close())
	return path
}

func openTasks(tb testing.TB, path string) storage.Tasks {
	tb.Helper()
	tasks, err := connect.Tasks(tb.Context(), "sqlite://"+path, connect.Options{})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, tasks.Close()) })
	return tasks
}

// Who pages by number stops at the total: past MaxTotal it is always more than
// what they have seen, until the last page.
func TestListTasks_TotalIsNeverReachedBeforeTheLastPage(t *testing.T) {
	t.Parallel()
	const count = storage.MaxTotal + 5
	tasks := openTasks(t, endedTasks(t, count))
	for _, test := range []struct {
		query storage.TaskQuery
		total int
	}{
		{storage.TaskQuery{}, storage.MaxTotal},
		{storage.TaskQuery{Status: storage.TaskFailed}, count / 1000},
		{storage.TaskQuery{FlowID: "flow-1"}, count/10 + 1},
		{storage.TaskQuery{ListOptions: storage.ListOptions{Offset: storage.MaxTotal - 10}}, storage.MaxTotal + 1},
		{storage.TaskQuery{ListOptions: storage.ListOptions{Offset: storage.MaxTotal - 9}}, storage.MaxTotal + 2},
		{storage.TaskQuery{ListOptions: storage.ListOptions{Offset: storage.MaxTotal}}, count},
		{storage.TaskQuery{ListOptions: storage.ListOptions{Offset: storage.MaxTotal * 2}}, storage.MaxTotal},
		{storage.TaskQuery{ListOptions: storage.ListOptions{Cursor: fmt.Sprintf("task-%09d", 50)}}, storage.MaxTotal},
	} {
		test.query.Limit = 10
		page, err := tasks.ListTasks(t.Context(), test.query)
		require.NoError(t, err)
		require.Equal(t, test.total, page.Total, test.query)
	}
}
