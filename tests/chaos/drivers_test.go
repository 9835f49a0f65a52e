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

// serve starts everything in one process, with the tasks in a fresh database
// of the kind.
func (d driver) serve(t *testing.T) *suitetest.Server {
	t.Helper()
	args := []string{"serve", "--data=" + t.TempDir()}
	if d == onPostgres {
		args = append(args, "--scheduler-db="+pgtest.Migrated(t, "scheduler"))
	}
	return suitetest.Serve(t, suitetest.Addr(t), suitetest.Command{
		Program: suitetest.PocketFlow, Args: args,
		// What a server held that was killed is soon free for the next.
		Env: []string{"SCHEDULER_LEASE_TTL=" + shortLease.String(), "SCHEDULER_SCRIPT_ALLOW=sh"},
	})
}
