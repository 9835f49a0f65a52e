package conformance

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/storage/migrate"
)

// said is a statement that a version of a service sends to its database. They
// are recorded from that version itself: see TestRecordStatements.
type said struct {
	SQL  string `json:"sql"`
	Args []any  `json:"args"`
	Rows bool   `json:"rows"`
}

// older reads what the version before a migration says: conversations, each
// with a database of its own.
func older(t *testing.T, service, dialect string, version int64) [][]said {
	t.Helper()
	path := filepath.Join("testdata", "older", service, dialect, fmt.Sprintf("%05d.json", version))
	text, err := os.ReadFile(path)
	require.NoError(t, err, "what version %d of %s says is not recorded: make record-statements in the commit before the next migration",
		version, service)
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var all [][]said
	require.NoError(t, decoder.Decode(&all))
	var worthwhile [][]said
	for _, conversation := range all {
		// The question for the version alone may be answered otherwise.
		conversation = slices.DeleteFunc(conversation, asksForVersion)
		if len(conversation) < shortest {
			continue
		}
		worthwhile = append(worthwhile, conversation)
		for i := range conversation {
			for n, arg := range conversation[i].Args {
				conversation[i].Args[n] = native(t, arg)
			}
		}
	}
	require.NotEmpty(t, worthwhile)
	return worthwhile
}

// shortest is how many statements it takes for the migration to come between.
const shortest = 4

func asksForVersion(s said) bool {
	return strings.Contains(s.SQL, "goose_db_version") || slices.Contains(s.Args, any("goose_db_version"))
}

func native(t *testing.T, arg any) any {
	t.Helper()
	number, ok := arg.(json.Number)
	if !ok {
		return arg
	}
	if n, err := number.Int64(); err == nil {
		return n
	}
	f, err := number.Float64()
	require.NoError(t, err)
	return f
}

// The version before a migration says all that it ever says to a database of
// its own, and the same to one that is migrated while it speaks. It must get
// the same answers from both, and both must hold the same rows in the end.
func TestMigrations_TheVersionBeforeNoticesNothing(t *testing.T) {
	t.Parallel()
	for _, dialect := range migrations.Dialects {
		for _, service := range migrations.Services {
			list, err := migrations.List(service, dialect)
			require.NoError(t, err)
			for _, next := range list[1:] {
				if next.Contract == next.Version-1 {
					continue // it says that the version before must be gone
				}
				t.Run(fmt.Sprintf("%s/%s/%05d_%s", dialect, service, next.Version, next.Name), func(t *testing.T) {
					t.Parallel()
					all := older(t, service, dialect, next.Version-1)
					if testing.Short() { // the first say most
						all = all[:min(len(all), 2)]
					}
					for n, conversation := range all {
						t.Run(fmt.Sprint(n), func(t *testing.T) {
							t.Parallel()
							requireUnnoticed(t, migrate.Target{Service: service, DSN: dialect}, next.Version, conversation)
						})
					}
				})
			}
		}
	}
}

func requireUnnoticed(t *testing.T, of migrate.Target, version int64, conversation []said) {
	t.Helper()
	own := newDatabase(t, of.Service, of.DSN)
	other := newDatabase(t, of.Service, of.DSN)
	for _, db := range []database{own, other} {
		_, err := migrate.UpTo(t.Context(), db.target, version-1)
		require.NoError(t, err)
	}
	schema := own.read(t)
	want := talk(t, own, conversation, func(int) {})

	half := len(conversation) / 2
	migrated := make(chan error, 1)
	var before map[string][]string
	got := talk(t, other, conversation, func(said int) {
		switch said {
		case half:
			before = contents(t, other, schema)
			if of.DSN == migrations.SQLite { // its one process migrates before it serves
				_, err := migrate.UpTo(t.Context(), other.target, version)
				migrated <- err
				require.Equal(t, before, contents(t, other, schema), "the migration keeps every row")
				return
			}
			go func() { // ends before the test, which hears of it
				_, err := migrate.UpTo(context.WithoutCancel(t.Context()), other.target, version)
				migrated <- err
			}()
		case len(conversation) - 1: // whatever is said last is said to the new schema
			require.NoError(t, <-migrated)
		}
	})
	require.Equal(t, want, got)
	require.Equal(t, contents(t, own, schema), contents(t, other, schema))
	status, err := migrate.Read(t.Context(), other.target)
	require.NoError(t, err)
	require.Equal(t, version, status.Database)
}

// talk sends the statements in order over one connection, as a pool's that was
// open before the migration, and returns each answer: the rows or the error.
func talk(t *testing.T, db database, conversation []said, before func(said int)) []string {
	t.Helper()
	pool := db.open(t)
	conn, err := pool.Conn(t.Context())
	require.NoError(t, err)
	answers := make([]string, len(conversation))
	for i, s := range conversation {
		before(i)
		if s.Rows {
			rows, err := conn.QueryContext(t.Context(), s.SQL, s.Args...)
			answers[i] = answer(t, rows, err)
			continue
		}
		result, err := conn.ExecContext(t.Context(), s.SQL, s.Args...)
		if err != nil {
			answers[i] = err.Error()
			continue
		}
		affected, err := result.RowsAffected()
		require.NoError(t, err)
		answers[i] = fmt.Sprint(affected)
	}
	require.NoError(t, conn.Close())
	require.NoError(t, pool.Close())
	return answers
}

// answer is a result as text; rows are sorted, since not every statement asks
// for an order.
func answer(t *testing.T, rows *sql.Rows, err error) string {
	t.Helper()
	if err != nil {
		return err.Error()
	}
	defer rows.Close()
	columns, err := rows.Columns()
	require.NoError(t, err)
	lines := []string{}
	for rows.Next() {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		require.NoError(t, rows.Scan(into...))
		lines = append(lines, fmt.Sprint(values...))
	}
	if err := rows.Err(); err != nil {
		return err.Error()
	}
	sort.Strings(lines)
	return strings.Join(columns, " ") + "\n" + strings.Join(lines, "\n")
}

// contents is every row of the schema's tables and columns.
func contents(t *testing.T, db database, of schema) map[string][]string {
	t.Helper()
	pool := db.open(t)
	defer func() { require.NoError(t, pool.Close()) }()
	all := map[string][]string{}
	for name, table := range of {
		var columns []string
		for _, column := range table.Columns {
			columns = append(columns, `"`+column.Name+`"`)
		}
		rows, err := pool.QueryContext(t.Context(), fmt.Sprintf(`SELECT %s FROM %s`, strings.Join(columns, ", "), name))
		all[name] = slices.Sorted(strings.SplitSeq(answer(t, rows, err), "\n"))
	}
	return all
}

func openSQLite(t *testing.T, path string) *sql.DB {
	t.Helper()
	pool, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)&_pragma=foreign_keys(1)&_pragma=busy_timeout(5000)")
	require.NoError(t, err)
	return pool
}

func openPostgres(t *testing.T, dsn, service string) *sql.DB {
	t.Helper()
	config, err := pgx.ParseConfig(dsn)
	require.NoError(t, err)
	config.RuntimeParams["search_path"] = service
	return stdlib.OpenDB(*config)
}
