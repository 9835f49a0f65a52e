package postgres

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage/internal/dsn"
)

func TestOpen_SaysInOneLineWhyThereIsNoConnection(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"postgres://u:secret@127.0.0.1:1/x":     "connection refused",
		"postgres://u:secret@nowhere.invalid/x": "nowhere.invalid",
	} {
		name, err := dsn.Parse(url)
		require.NoError(t, err)
		_, err = Open(t.Context(), Config{DSN: name, Schema: "scheduler"})
		require.ErrorContains(t, err, want)
		_, _, err2 := OpenForMigration(t.Context(), name, "scheduler")
		require.ErrorContains(t, err2, want)
		for _, text := range []string{err.Error(), err2.Error()} {
			require.NotContains(t, text, "\n")
			require.NotContains(t, text, "secret")
		}
	}
}
