// Package conformance holds Postgres to the suite of shared/storage/storagetest,
// and the two dialects' schemas to each other. SQLite's run of the suite is
// beside its driver, which needs no server.
package conformance

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/connect"
	"github.com/pocketflowgo/pocketflow/shared/storage/storagetest"
	"github.com/pocketflowgo/pocketflow/tests/pgtest"
)

func TestPostgres_Workers(t *testing.T) {
	t.Parallel()
	storagetest.RunWorkers(t, func(t *testing.T) storage.Workers { return openRole(t, migrations.Registry, connect.Workers) })
}

func TestPostgres_Flows(t *testing.T) {
	t.Parallel()
	storagetest.RunFlows(t, func(t *testing.T) storage.Flows { return openRole(t, migrations.Catalog, connect.Flows) })
}

func TestPostgres_Queue(t *testing.T) {
	t.Parallel()
	storagetest.RunQueue(t, func(t *testing.T) storage.Queue { return openRole(t, migrations.Queue, connect.Queue) })
}

func TestPostgres_Tasks(t *testing.T) {
	t.Parallel()
	storagetest.RunTasks(t, func(t *testing.T) storage.Tasks { return openRole(t, migrations.Scheduler, connect.Tasks) })
}

// openRole opens a role on a database of its own, and closes it when the test
// ends.
func openRole[Role storage.Base](t *testing.T, service string, open func(context.Context, string, connect.Options) (Role, error)) Role {
	t.Helper()
	role, err := open(t.Context(), pgtest.Migrated(t, service), connect.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, role.Close()) })
	return role
}
