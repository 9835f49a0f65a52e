package sqlite_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/connect"
	"github.com/pocketflowgo/pocketflow/shared/storage/storagetest"
)

func TestWorkers(t *testing.T) {
	t.Parallel()
	storagetest.RunWorkers(t, func(t *testing.T) storage.Workers { return openRole(t, connect.Workers) })
}

func TestFlows(t *testing.T) {
	t.Parallel()
	storagetest.RunFlows(t, func(t *testing.T) storage.Flows { return openRole(t, connect.Flows) })
}

func TestQueue(t *testing.T) {
	t.Parallel()
	storagetest.RunQueue(t, func(t *testing.T) storage.Queue { return openRole(t, connect.Queue) })
}

// openRole opens a role on a new file, and closes it when the test ends.
func openRole[Role storage.Base](t *testing.T, open func(context.Context, string, connect.Options) (Role, error)) Role {
	t.Helper()
	dsn := "sqlite://" + filepath.Join(t.TempDir(), "role.db")
	role, err := open(t.Context(), dsn, connect.Options{Migration: connect.MigrateOnOpen})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, role.Close()) })
	return role
}
