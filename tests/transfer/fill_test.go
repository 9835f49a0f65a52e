//go:build unix

package transfer

import (
	"database/sql"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/storage/migrate"
	"github.com/pocketflowgo/pocketflow/shared/storage/transfer"
)

// values make what stands in a column of row n of a table.
type values struct {
	text func(n int) string
	int  func(n int) int64
	real func(n int) float64
}

// huge is the size of the largest text: that of the largest payload by far.
const huge = 5 << 20

// odd are the values that a database, a driver or a way between them might not
// bring back.
var odd = values{
	text: pick("", " ", "plain", `\N`, `\.`, "NULL", `'"$1 ?`, `\x00\\`, "tab\tnew\nline\r\n", "é e\u0301 ß ſ İ ı", "日本語 \U0001F469\u200d\U0001F680",
		"\u202eright\u202c\u200f", "\x01\x1f\x7f\u0080\u009f", "\ufeff\ufffd\uffff\U0010ffff", `{"b": 1.0, "a":9007199254740993, "a": 1e400, "c":"\u0000"}`, "trailing  ", "0x10", "1e3", "007"),
	int:  pick[int64](0, 1, -1, math.MaxInt64, math.MinInt64, 1<<53+1, 1764000000123456),
	real: pick(0, 0.1, -1.5, 1e308, 5e-324, 1<<53+2, math.MaxFloat64, 3),
}

// plain are values as they mostly are.
var plain = values{
	text: func(n int) string {
		return fmt.Sprintf(`{"text": %q, "n": %d}`, strings.Repeat("word ", n%20), n)
	},
	int:  func(n int) int64 { return 1764000000000000 + int64(n) },
	real: func(n int) float64 { return float64(n) / 10 },
}

func pick[T any](all ...T) func(int) T { return func(n int) T { return all[n%len(all)] } }

// suiteOf makes the databases of a suite in a directory.
func suiteOf(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for _, service := range migrations.Services {
		_, err := migrate.Up(t.Context(), migrate.Target{Service: service, DSN: file(dir, service)})
		require.NoError(t, err)
	}
	return dir
}

func file(dir, service string) string { return filepath.Join(dir, service+".db") }

// pairsOf are all services' databases at two places, each a directory or a URL.
func pairsOf(from, to string) []transfer.Pair {
	at := func(place, service string) string {
		if strings.Contains(place, "://") {
			return place
		}
		return file(place, service)
	}
	var pairs []transfer.Pair
	for _, service := range migrations.Services {
		pairs = append(pairs, transfer.Pair{Service: service, From: at(from, service), To: at(to, service)})
	}
	return pairs
}

const (
	tablesSQL  = `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name <> 'goose_db_version'`
	columnsSQL = `
SELECT c.name, lower(c.type), c."notnull", c.pk > 0 OR EXISTS (
    SELECT 1 FROM pragma_index_list($1) i JOIN pragma_index_info(i.name) k WHERE i."unique" = 1 AND k.name = c.name),
    EXISTS (SELECT 1 FROM pragma_foreign_key_list($1) f WHERE f."from" = c.name)
FROM pragma_table_info($1) c ORDER BY c.cid`
)

type column struct {
	name, kind            string
	notNull, unique, refs bool
}

// fill puts so many rows into every table of every service, or into those named.
func fill(t testing.TB, dir string, v values, rows int, only ...string) {
	t.Helper()
	for _, service := range migrations.Services {
		db := openSQLite(t, file(dir, service))
		names := only
		if len(only) == 0 {
			names = list(t, db, tablesSQL)
		}
		for _, name := range names {
			if columns := columnsOf(t, db, name); len(columns) > 0 {
				fillTable(t, db, fillParams{table: name, columns: columns, values: v, rows: rows})
			}
		}
		require.NoError(t, db.Close())
	}
}

// openSQLite opens a file from outside, where rows may come before those that
// they refer to.
func openSQLite(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	return db
}

func list(t testing.TB, db *sql.DB, query string) (names []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var name string
		require.NoError(t, rows.Scan(&name))
		names = append(names, name)
	}
	require.NoError(t, rows.Err())
	return names
}

func columnsOf(t testing.TB, db *sql.DB, table string) (columns []column) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), columnsSQL, table)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var c column
		require.NoError(t, rows.Scan(&c.name, &c.kind, &c.notNull, &c.unique, &c.refs))
		columns = append(columns, c)
	}
	require.NoError(t, rows.Err())
	return columns
}

type fillParams struct {
	table   string
	columns []column
	values  values
	rows    int
}

func fillTable(t testing.TB, db *sql.DB, p fillParams) {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer tx.Rollback()
	statement, err := tx.PrepareContext(t.Context(), "INSERT INTO "+p.table+" VALUES (?"+strings.Repeat(", ?", len(p.columns)-1)+")")
	require.NoError(t, err)
	defer statement.Close()
	for n := range p.rows {
		row := make([]any, len(p.columns))
		for i, c := range p.columns {
			row[i] = p.value(c, n, i)
		}
		_, err := statement.ExecContext(t.Context(), row...)
		require.NoError(t, err, "%s row %d", p.table, n)
	}
	require.NoError(t, tx.Commit())
}

// value is what row n has in column i. Rows of one number refer to each other.
func (p fillParams) value(c column, n, i int) any {
	switch {
	case c.refs:
		return fmt.Sprintf("%s%06d", p.values.text(n), n)
	case c.unique && c.kind == "text":
		return fmt.Sprintf("%s%06d", p.values.text(n+i), n)
	case c.unique:
		return int64(n)
	case !c.notNull && n%3 == 0:
		return nil
	case c.kind == "text" && n == 1 && i == len(p.columns)-1 && p.values.text(0) == "":
		return strings.Repeat("large ", huge/6)
	case c.kind == "text":
		return p.values.text(n + i)
	case c.kind == "real":
		return p.values.real(n + i)
	default:
		return p.values.int(n + i)
	}
}
