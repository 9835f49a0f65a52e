package migrate_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/storage/migrate"
)

func TestMigrate_GoesUpAndDownAgain(t *testing.T) {
	t.Parallel()
	for _, service := range migrations.Services {
		t.Run(service, func(t *testing.T) {
			t.Parallel()
			target := migrate.Target{Service: service, DSN: "sqlite://" + filepath.Join(t.TempDir(), service+".db")}
			binary, err := migrations.Version(service, migrations.SQLite)
			require.NoError(t, err)

			status, err := migrate.Read(t.Context(), target)
			require.NoError(t, err)
			require.Equal(t, []int64{0, binary}, []int64{status.Database, status.Binary})
			require.Len(t, status.Pending, int(binary))
			require.Equal(t, migrate.StateOlder, status.State())
			for range 2 { // the second time there is nothing to do
				status, err = migrate.Up(t.Context(), target)
				require.NoError(t, err)
				require.Equal(t, migrate.Status{Database: binary, Binary: binary}, status)
			}
			status, err = migrate.Down(t.Context(), target)
			require.NoError(t, err)
			require.Equal(t, binary-1, status.Database)
			require.Len(t, status.Pending, 1)
			require.Equal(t, binary, status.Pending[0].Version)
			status, err = migrate.DownTo(t.Context(), target, 0)
			require.NoError(t, err)
			require.Zero(t, status.Database)
			status, err = migrate.Up(t.Context(), target)
			require.NoError(t, err)
			require.Equal(t, binary, status.Database)
		})
	}
}

func TestMigrate_NamesTheServiceItDoesNotKnow(t *testing.T) {
	t.Parallel()
	_, err := migrate.Up(t.Context(), migrate.Target{Service: "nobody", DSN: "sqlite://" + filepath.Join(t.TempDir(), "a.db")})
	require.ErrorContains(t, err, "nobody")
}

func TestRead_MakesNoFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "none", "scheduler.db")
	status, err := migrate.Read(t.Context(), migrate.Target{Service: migrations.Scheduler, DSN: "sqlite://" + path})
	require.NoError(t, err)
	require.Zero(t, status.Database)
	require.Positive(t, status.Binary)
	require.NoDirExists(t, filepath.Dir(path))
}
