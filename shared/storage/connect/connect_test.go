package connect_test

import (
	"database/sql"
	"errors"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/connect"
	"github.com/pocketflowgo/pocketflow/shared/storage/migrate"
)

func TestTasks_WithoutMigrationIsOpenButNotReady(t *testing.T) {
	t.Parallel()
	source := "sqlite://" + filepath.Join(t.TempDir(), "new", "scheduler.db")
	tasks, err := connect.Tasks(t.Context(), source, connect.Options{Migration: connect.MigrateByHand})
	require.NoError(t, err)
	err = tasks.Ready(t.Context())
	require.ErrorIs(t, err, storage.ErrSchemaOlder)
	require.ErrorContains(t, err, "at version 0")
	require.NoError(t, tasks.Close())

	tasks, err = connect.Tasks(t.Context(), source, connect.Options{Migration: connect.MigrateOnOpen})
	require.NoError(t, err)
	require.NoError(t, tasks.Ready(t.Context()))
	require.NoError(t, tasks.Close())
}

func TestTasks_RefusesANewerSchema(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "scheduler.db")
	source := "sqlite://" + path
	_, err := migrate.Up(t.Context(), migrate.Target{Service: migrations.Scheduler, DSN: source})
	require.NoError(t, err)
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)`)
	require.NoError(t, errors.Join(err, db.Close()))

	for _, migration := range connect.Migrations {
		_, err = connect.Tasks(t.Context(), source, connect.Options{Migration: migration})
		require.ErrorIs(t, err, storage.ErrSchemaNewer, migration)
		require.ErrorContains(t, err, "999")
	}
}

// A newer binary may have applied what this one does not know, and merged what
// this one has.
func TestTasks_RefusesANewerSchemaWithOtherMigrations(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "scheduler.db")
	source := "sqlite://" + path
	target := migrate.Target{Service: migrations.Scheduler, DSN: source}
	_, err := migrate.Up(t.Context(), target)
	require.NoError(t, err)
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), `UPDATE goose_db_version SET version_id = 999 WHERE version_id = 1`)
	require.NoError(t, errors.Join(err, db.Close()))

	for _, migration := range connect.Migrations {
		_, err = connect.Tasks(t.Context(), source, connect.Options{Migration: migration})
		require.ErrorIs(t, err, storage.ErrSchemaNewer, migration)
		require.NotContains(t, err.Error(), "missing")
	}
	_, err = migrate.Down(t.Context(), target)
	require.ErrorIs(t, err, storage.ErrSchemaNewer)
	status, err := migrate.Read(t.Context(), target)
	require.NoError(t, err)
	require.Equal(t, int64(999), status.Database, "untouched")
}

func TestTasks_RefusesAFileInUse(t *testing.T) {
	t.Parallel()
	source := "sqlite://" + filepath.Join(t.TempDir(), "scheduler.db")
	tasks, err := connect.Tasks(t.Context(), source, connect.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, tasks.Close()) }()
	for _, migration := range connect.Migrations {
		_, err = connect.Tasks(t.Context(), source, connect.Options{Migration: migration})
		require.ErrorIs(t, err, storage.ErrLocked)
	}
}

func TestTasks_SaysWhyADataSourceIsWrong(t *testing.T) {
	t.Parallel()
	for _, source := range []string{
		"mysql://u:secret@db/pf", "scheduler", "postgres://u:secret@db/pf?sslmode=secret", "postgres://u:secret@127.0.0.1:1/pf",
	} {
		_, err := connect.Tasks(t.Context(), source, connect.Options{})
		require.ErrorContains(t, err, "open the scheduler database")
		require.NotContains(t, err.Error(), "secret@")
	}
}
