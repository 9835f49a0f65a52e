package repo

import (
	"fmt"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each database is migrated alone and in step on both sides: the versions are
// what readiness compares, so they must mean the same in either dialect.
func TestMigrations_ComeInPairsAndGoBothWays(t *testing.T) {
	t.Parallel()

	names := map[string][]string{} // migrations/<service>/<dialect>: its files in order
	for _, name := range files(t) {
		if path.Ext(name) == ".sql" && strings.HasPrefix(name, "migrations/") {
			names[path.Dir(name)] = append(names[path.Dir(name)], path.Base(name))
		}
	}
	require.Len(t, names, 8, "four services, two dialects, and no other directory")

	for _, service := range []string{"registry", "catalog", "scheduler", "queue"} {
		sqlite, postgres := "migrations/"+service+"/sqlite", "migrations/"+service+"/postgres"
		require.NotEmpty(t, names[sqlite], sqlite)
		require.Equal(t, names[sqlite], names[postgres], "files of %s in both dialects", service)

		for i, base := range names[sqlite] {
			require.True(t, strings.HasPrefix(base, fmt.Sprintf("%05d_", i+1)),
				"%s/%s: want number %05d", sqlite, base, i+1)
			requireUpAndDown(t, sqlite+"/"+base)
			requireUpAndDown(t, postgres+"/"+base)
		}
	}
}

// requireUpAndDown checks that the file has a way up and a way down, each with
// a statement in it.
func requireUpAndDown(t *testing.T, name string) {
	t.Helper()
	before, after, found := strings.Cut(read(t, name), "-- +goose Down\n")
	require.True(t, found, "%s has no Down", name)
	_, up, found := strings.Cut(before, "-- +goose Up\n")
	require.True(t, found, "%s has no Up before its Down", name)
	require.Contains(t, up, ";", "%s: Up is empty", name)
	require.Contains(t, after, ";", "%s: Down is empty", name)
}
