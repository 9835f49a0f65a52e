package postgres_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/connect"
	"github.com/pocketflowgo/pocketflow/shared/storage/migrate"
	"github.com/pocketflowgo/pocketflow/shared/storage/storagetest"
)

func BenchmarkTasks(b *testing.B) {
	url := os.Getenv("POCKETFLOW_TEST_POSTGRES_URL")
	if url == "" {
		b.Skip("POCKETFLOW_TEST_POSTGRES_URL is not set; it names a server whose database this may empty")
	}
	storagetest.BenchmarkTasks(b, func(b *testing.B) storage.Tasks {
		_, err := migrate.DownTo(b.Context(), migrate.Target{Service: migrations.Scheduler, DSN: url}, 0)
		require.NoError(b, err)
		tasks, err := connect.Tasks(b.Context(), url, connect.Options{Migration: connect.MigrateOnOpen})
		require.NoError(b, err)
		b.Cleanup(func() { require.NoError(b, tasks.Close()) })
		return tasks
	})
}
