package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/connect"
	"github.com/pocketflowgo/pocketflow/shared/storage/storagetest"
)

// TestConformance runs the suites that every driver must pass.
func TestConformance(t *testing.T) {
	t.Parallel()
	t.Run("Tasks", func(t *testing.T) {
		t.Parallel()
		storagetest.RunTasks(t, func(t *testing.T) storage.Tasks { return openTasks(t) })
	})
}

func source(t testing.TB, name string) string {
	return "sqlite://" + filepath.Join(t.TempDir(), name+".db")
}

func openTasks(t testing.TB) storage.Tasks {
	tasks, err := connect.Tasks(t.Context(), source(t, "scheduler"), connect.Options{Migration: connect.MigrateOnOpen})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tasks.Close()) })
	return tasks
}
