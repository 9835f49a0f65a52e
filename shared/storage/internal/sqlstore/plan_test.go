package sqlstore

import (
	"database/sql"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite" // the database/sql driver "sqlite"

	"github.com/pocketflowgo/pocketflow/migrations"
)

// planned is a statement that runs often or over much, and what each step of it
// that reads may read.
type planned struct {
	sql    string
	args   []any
	sqlite []string
	// Indexes, those of service_limits left out, and sorts for an ORDER BY; nil
	// for what is said to SQLite alone.
	postgres []string
}

func readTheirIndexAloneOnSQLite(t *testing.T, db *sql.DB, statements map[string]planned) {
	t.Helper()
	for name, test := range statements {
		t.Run(name, func(t *testing.T) {
			plan := slices.DeleteFunc(explain(t, db, test.sql, test.args...), func(step string) bool {
				return strings.HasPrefix(step, "SCALAR SUBQUERY") || strings.HasPrefix(step, "CORRELATED SCALAR SUBQUERY") // its own steps follow
			})
			require.Len(t, plan, len(test.sqlite), "a step for each, so no sort either: %v", plan)
			for i, step := range test.sqlite {
				require.Contains(t, plan[i], step)
			}
		})
	}
}

func migrated(t *testing.T, service string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "plan.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	files, err := migrations.FS(service, migrations.SQLite)
	require.NoError(t, err)
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, files)
	require.NoError(t, err)
	_, err = provider.Up(t.Context())
	require.NoError(t, err)
	return db
}

func explain(t *testing.T, db *sql.DB, query string, args ...any) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, args...)
	require.NoError(t, err)
	defer rows.Close()
	var plan []string
	for rows.Next() {
		var id, parent, unused int
		var step string
		require.NoError(t, rows.Scan(&id, &parent, &unused, &step))
		plan = append(plan, step)
	}
	require.NoError(t, rows.Err())
	return plan
}
