//go:build unix

package chaos

import (
	"testing"

	"github.com/pocketflowgo/pocketflow/tests/pgtest"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

// driver is a kind of database that tasks may be in.
type driver string

const (
	onSQLite   driver = "SQLite"
	onPostgres driver = "Postgres"
)

var drivers = []driver{onSQLite, onPostgres}

// suite is everything in one process, with the tasks in a database of a kind.
type suite struct {
	*suitetest.Server
	data string // directory of the SQLite databases
	dsn  string // of the tasks, when they are on Postgres
}

// serve starts a suite with fresh databases.
func (d driver) serve(t *testing.T, env ...string) suite {
	t.Helper()
	s := suite{data: t.TempDir()}
	args := []string{"serve", "--data=" + s.data}
	if d == onPostgres {
		s.dsn = pgtest.Migrated(t, "scheduler")
		args = append(args, "--scheduler-db="+s.dsn)
	}
	s.Server = suitetest.Serve(t, suitetest.Addr(t), suitetest.Command{
		Program: suitetest.PocketFlow, Args: args,
		// What a server held that was killed is soon free for the next.
		Env: append(env, "SCHEDULER_LEASE_TTL="+shortLease.String(), "SCHEDULER_SCRIPT_ALLOW=sh"),
	})
	return s
}
