package sqlite_test

import (
	"testing"

	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/connect"
	"github.com/pocketflowgo/pocketflow/shared/storage/storagetest"
)

func TestTasks(t *testing.T) {
	t.Parallel()
	storagetest.RunTasks(t, func(t *testing.T) storage.Tasks { return openRole(t, connect.Tasks) })
}
