//go:build unix

package chaos

import (
	"context"
	"database/sql" //nolint:depguard // looks at databases from outside, as no role can
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5" //nolint:depguard // as above
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite" //nolint:depguard // as above
)

// query returns the first column of what a statement selects, as texts.
func (p pair) query(t *testing.T, statement string, args ...any) []string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), p.dsn)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	rows, err := conn.Query(t.Context(), statement, args...)
	require.NoError(t, err)
	texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return texts
}

// rows are all rows of the scheduler's tables, each behind the number of the
// transaction that wrote it.
func (p pair) rows(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	tables := p.query(t, `SELECT tablename::text FROM pg_tables WHERE schemaname = 'scheduler'`)
	require.NotEmpty(t, tables)
	for _, table := range tables {
		name := pgx.Identifier{"scheduler", table}.Sanitize()
		all[table] = p.query(t, `SELECT r.xmin::text || ' ' || r::text FROM `+name+` AS r ORDER BY 1`)
	}
	return all
}

// holdsLocks tells whether a replica that is stopped has left a transaction
// open in which it has written. The database first finishes what it was asked
// before.
func (p pair) holdsLocks(t *testing.T, replica string) bool {
	t.Helper()
	for {
		states := p.query(t, `SELECT state || CASE WHEN backend_xid IS NULL THEN '' ELSE ', has written' END
			FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1`, replica)
		if !slices.ContainsFunc(states, func(state string) bool { return strings.HasPrefix(state, "active") }) {
			return slices.Contains(states, "idle in transaction, has written")
		}
	}
}

// named gives the sessions of a URL a name that the database shows.
func named(t *testing.T, dsn, name string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	values := u.Query()
	values.Set("application_name", name)
	u.RawQuery = values.Encode()
	return u.String()
}

// fromTheFuture makes a SQLite database's schema newer than any binary's.
func fromTheFuture(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	_, err = db.ExecContext(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)`)
	require.NoError(t, err)
}
