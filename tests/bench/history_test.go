//go:build linux

package bench

import (
	"database/sql" //nolint:depguard // makes in a minute what would take the suite an hour
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	_ "modernc.org/sqlite" //nolint:depguard // the database/sql driver "sqlite", as before

	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

const (
	withHistory setup = "all-in-one, SQLite, after finished tasks"
	withWaiting setup = "all-in-one, SQLite, beside 50,000"

	// seeds are the tasks that the suite itself executes, to be multiplied.
	seeds = 2000
	// company is how many tasks wait in W6.
	company = 50_000
	// quietFor is how long a server is watched that has nothing to do.
	quietFor = 5 * time.Second
)

// afterHistory is W4.
func afterHistory(b *testing.B, r *report) {
	empty, full := startAllInOne(b), startAllInOne(b).named(withHistory, allInOne)
	full.seed(b, []workload{steps}, seeds)
	r.about = fmt.Sprintf("history: W1 and W2 after %d finished tasks", full.multiply(b, *history))
	systems := []*system{empty, full}
	for _, s := range systems {
		s.flood(b, steps, inFlight, warmUp)
	}
	floods(b, r, systems, 3*time.Second)
	latencies(b, r, systems)
}

// timed is a flow whose tasks sleep for a day.
var timed = workload{floor: "timed", end: "waiting", definition: `{"start": "only", "nodes": {"only": {"kind": "timer", "delay_ms": 86400000}}}`}

// besideWaiting is W6.
func besideWaiting(b *testing.B, r *report) {
	alone, beside := startAllInOne(b), startAllInOne(b).named(withWaiting, allInOne)
	beside.seed(b, []workload{asleep, timed}, seeds/2)
	beside.multiply(b, company)
	systems := []*system{alone, beside}
	for _, s := range systems {
		s.flood(b, steps, inFlight, warmUp)
	}
	floods(b, r, systems, 3*time.Second)

	// Its heartbeats are written now and then.
	for _, s := range systems {
		s.dismiss(b)
	}
	<-time.After(quietFor)
	// A commit of a transaction that changes nothing writes nothing.
	before := []usage{alone.usage(b), beside.usage(b)}
	<-time.After(quietFor)
	for i, s := range systems {
		used := s.usage(b).since(before[i])
		r.add(figure{setup: s.setup, against: s.against, unit: idleCommits, value: used.commits})
		r.add(figure{setup: s.setup, against: s.against, unit: idleKiB, value: float64(used.written) / 1024})
	}
}

// seed has the suite execute so many tasks, as many of each workload.
func (s *system) seed(b *testing.B, workloads []workload, n int) {
	b.Helper()
	for _, w := range workloads {
		version := s.version(b, w)
		tasks := make([]made, n/len(workloads))
		var group errgroup.Group
		group.SetLimit(inFlight)
		for i := range tasks {
			group.Go(func() (err error) {
				tasks[i].n = int64(i)
				tasks[i].id, err = s.client.Tasks.CreateTask(b.Context(), schedulerapi.CreateTaskRequest{FlowVersionID: version, Params: paramsOf(int64(i))})
				s.account.await(tasks[i].id, w.effects)
				return err
			})
		}
		require.NoError(b, group.Wait())
		s.awaitCount(b, version, w.end, len(tasks))
		s.verify(b, version, w, tasks)
	}
}

// multiply stops the server, copies its tasks with all that belongs to them
// until there are as many as wanted, and starts it again. It returns how many
// there are by the server's account.
func (s *system) multiply(b *testing.B, want int) int {
	b.Helper()
	server := s.servers[0]
	require.Zero(b, server.Stop(b))
	have := copyTasks(b, filepath.Join(s.data, "scheduler.db"), want)
	server.Restart(b)
	s.client.AwaitWorker(b, service)
	page, err := s.client.Tasks.ListTasks(b.Context(), schedulerapi.TasksQuery{PageSize: 1})
	require.NoError(b, err)
	require.GreaterOrEqual(b, page.Total, min(have, storage.MaxTotal), "tasks that the server has")
	return have
}

// copiesAtOnce are those of each task in one transaction.
const copiesAtOnce = 10

// copyTasks copies the finished and waiting tasks of a database under ids that
// differ in their first eight digits, which makes the copies older than what
// they are made of.
func copyTasks(b *testing.B, path string, want int) (have int) {
	b.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=cache_size(-262144)&_pragma=synchronous(OFF)&_pragma=temp_store(MEMORY)")
	require.NoError(b, err)
	db.SetMaxOpenConns(1) // whose temporary tables these are
	do := func(statement string, args ...any) {
		_, err := db.ExecContext(b.Context(), statement, args...)
		require.NoError(b, err, statement)
	}
	require.NoError(b, db.QueryRowContext(b.Context(), "SELECT COUNT(*) FROM tasks").Scan(&have))
	require.NotZero(b, have)
	tables := []struct{ name, ids string }{{"tasks", "id"}, {"node_runs", "id task_id"}, {"task_events", "task_id"}}
	for _, t := range tables {
		do("CREATE TEMP TABLE seed_" + t.name + " AS SELECT * FROM " + t.name)
	}
	defer func() { // what is still to be written would be written while it is measured
		require.NoError(b, db.Close())
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		require.NoError(b, err)
		require.NoError(b, errors.Join(file.Sync(), file.Close()))
	}()
	each := have
	for first := 0; have < want; first += copiesAtOnce {
		copies := min(copiesAtOnce, (want-have+each-1)/each)
		do("BEGIN")
		for _, t := range tables {
			do(copyStatement(b, db, t.name, strings.Fields(t.ids)), first, first+copies)
		}
		do("COMMIT")
		have += copies * each
	}
	return have
}

// copyStatement is the INSERT that copies the rows of a table's seed once for
// each number from $1 to before $2.
func copyStatement(b *testing.B, db *sql.DB, table string, ids []string) string {
	b.Helper()
	rows, err := db.QueryContext(b.Context(), "SELECT name FROM pragma_table_info($1)", table)
	require.NoError(b, err)
	defer rows.Close()
	var columns, values []string
	for rows.Next() {
		var column string
		require.NoError(b, rows.Scan(&column))
		value := column
		for _, id := range ids {
			if column == id { // task-01234567-89ab-…
				dash := "instr(" + id + ", '-')"
				value = "substr(" + id + ", 1, " + dash + ") || printf('%08x', k) || substr(" + id + ", " + dash + " + 9)"
			}
		}
		columns, values = append(columns, column), append(values, value)
	}
	require.NoError(b, rows.Err())
	return "WITH RECURSIVE copies(k) AS (SELECT $1 UNION ALL SELECT k + 1 FROM copies WHERE k + 1 < $2) " +
		"INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") " +
		"SELECT " + strings.Join(values, ", ") + " FROM copies CROSS JOIN seed_" + table
}
