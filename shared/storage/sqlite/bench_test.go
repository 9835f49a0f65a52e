package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/connect"
	"github.com/pocketflowgo/pocketflow/shared/storage/storagetest"
)

func newTasks(b *testing.B) storage.Tasks { return openTasks(b, endedTasks(b, 0)) }

func BenchmarkTasks_MillionFinished(b *testing.B) {
	storagetest.CompareTasks(b, newTasks(b), openTasks(b, endedTasks(b, storagetest.BenchFinished)))
}

func BenchmarkTasks(b *testing.B) {
	storagetest.BenchmarkTasks(b, func(b *testing.B) storage.Tasks {
		source := "sqlite://" + filepath.Join(b.TempDir(), "scheduler.db")
		tasks, err := connect.Tasks(b.Context(), source, connect.Options{Migration: connect.MigrateOnOpen})
		require.NoError(b, err)
		b.Cleanup(func() { require.NoError(b, tasks.Close()) })
		return tasks
	})
}
