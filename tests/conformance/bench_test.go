package conformance

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/connect"
	"github.com/pocketflowgo/pocketflow/shared/storage/storagetest"
	"github.com/pocketflowgo/pocketflow/tests/pgtest"
)

// On a server that pgtest started nothing waits for the disk: for durable
// figures set POCKETFLOW_TEST_POSTGRES_URL.
func BenchmarkPostgres_Queue(b *testing.B) {
	storagetest.BenchmarkQueue(b, func(b *testing.B) storage.Queue {
		queue, err := connect.Queue(b.Context(), pgtest.Migrated(b, migrations.Queue), connect.Options{})
		require.NoError(b, err)
		b.Cleanup(func() { require.NoError(b, queue.Close()) })
		return queue
	})
}
