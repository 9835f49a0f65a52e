package migrate_test

import (
	"database/sql"
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/connect"
	"github.com/pocketflowgo/pocketflow/shared/storage/migrate"
)

func TestUp_ManyAtOnceWaitForEachOther(t *testing.T) {
	t.Parallel()
	target := migrate.Target{Service: migrations.Scheduler, DSN: "sqlite://" + filepath.Join(t.TempDir(), "a.db")}
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			status, err := migrate.Up(t.Context(), target)
			if assert.NoError(t, err) {
				assert.Equal(t, migrate.StateCurrent, status.State())
			}
		})
	}
	all.Wait()
}

func TestUp_RefusesAFileThatIsServedFrom(t *testing.T) {
	t.Parallel()
	target := migrate.Target{Service: migrations.Queue, DSN: "sqlite://" + filepath.Join(t.TempDir(), "a.db")}
	store, err := connect.Queue(t.Context(), target.DSN, connect.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	_, err = migrate.Up(t.Context(), target)
	require.ErrorIs(t, err, storage.ErrLocked)
}

func TestRead_TellsOfADatabaseThatIsServedFrom(t *testing.T) {
	t.Parallel()
	target := migrate.Target{Service: migrations.Queue, DSN: "sqlite://" + filepath.Join(t.TempDir(), "a b.db")}
	store, err := connect.Queue(t.Context(), target.DSN, connect.Options{Migration: connect.MigrateOnOpen})
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	status, err := migrate.Read(t.Context(), target)
	require.NoError(t, err)
	require.Equal(t, migrate.StateCurrent, status.State())
	require.Empty(t, status.Pending)
}

// A newer version has migrated: those that serve go on, who starts is refused.
func TestRead_TellsOfANewerSchemaWhileTheOlderVersionServesOn(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	target := migrate.Target{Service: migrations.Catalog, DSN: "sqlite://" + path}
	store, err := connect.Flows(t.Context(), target.DSN, connect.Options{Migration: connect.MigrateOnOpen})
	require.NoError(t, err)
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)`)
	require.NoError(t, errors.Join(err, db.Close()))

	require.NoError(t, store.Ready(t.Context()))
	require.NoError(t, store.CreateFlow(t.Context(), storage.Flow{ID: "flow-1", Name: "f", CreatedAt: storage.Now()}))
	status, err := migrate.Read(t.Context(), target)
	require.NoError(t, err)
	require.Equal(t, int64(99), status.Database)
	require.Equal(t, migrate.StateNewer, status.State())
	require.NoError(t, store.Close())

	_, err = connect.Flows(t.Context(), target.DSN, connect.Options{Migration: connect.MigrateOnOpen})
	require.ErrorIs(t, err, storage.ErrSchemaNewer)
	require.ErrorContains(t, err, "at version 99, this binary knows 1")
}
