//go:build unix

package integration

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5" //nolint:depguard // asks the server what it is, as no role does
	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/connect"
	"github.com/pocketflowgo/pocketflow/shared/storage/storagetest"
	"github.com/pocketflowgo/pocketflow/tests/pgtest"
)

// postgresMajor is the version that production is told to use; 170000 is 17.0.
const postgresMajor = 17

func TestConformance_Workers(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	storagetest.RunWorkers(t, func(t *testing.T) storage.Workers { return openRole(t, migrations.Registry, connect.Workers) })
}

func TestConformance_Flows(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	storagetest.RunFlows(t, func(t *testing.T) storage.Flows { return openRole(t, migrations.Catalog, connect.Flows) })
}

func TestConformance_Queue(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	storagetest.RunQueue(t, func(t *testing.T) storage.Queue { return openRole(t, migrations.Queue, connect.Queue) })
}

func TestConformance_Tasks(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	storagetest.RunTasks(t, func(t *testing.T) storage.Tasks { return openRole(t, migrations.Scheduler, connect.Tasks) })
}

func openRole[Role storage.Base](t *testing.T, service string, open func(context.Context, string, connect.Options) (Role, error)) Role {
	t.Helper()
	role, err := open(t.Context(), pgtest.Migrated(t, service), connect.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, role.Close()) })
	return role
}

// needPostgres makes sure that the databases of pgtest are in the container: it
// falls back to the machine's own programs, of whatever version they are.
func needPostgres(t *testing.T) {
	t.Helper()
	needEngine(t)
	conn, err := pgx.Connect(t.Context(), pgtest.DSN(t))
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(context.WithoutCancel(t.Context()))) }()
	var version int
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT current_setting('server_version_num')::int`).Scan(&version))
	require.Equal(t, postgresMajor, version/10000, "the container did not start, and another server was found")
}
