package conformance

import (
	"database/sql"
	"io/fs"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite" // the database/sql driver "sqlite"

	"github.com/pocketflowgo/pocketflow/migrations"
)

func fileNames(t *testing.T, service, dialect string) []string {
	t.Helper()
	dir, err := migrations.FS(service, dialect)
	require.NoError(t, err)
	names, err := fs.Glob(dir, "*")
	require.NoError(t, err)
	return names
}

// Both readers build a schema of rows of one form.
type (
	columnRow struct {
		Table, Name, Type string
		NotNull           bool
		Key               int // place in the primary key, from 1
	}
	indexRow struct {
		Table, Index string
		Unique       bool
		Predicate    *string
		Column       string
		Descending   bool
	}
	foreignKeyRow struct{ Table, Column, Target, TargetColumn string }
)

// SQLite tells the condition of a partial index only in its text.
const (
	sqliteColumnsSQL = `
SELECT m.name, c.name, c.type, c."notnull", c.pk
FROM sqlite_master m JOIN pragma_table_info(m.name) c
WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' AND m.name <> 'goose_db_version' ORDER BY m.name, c.cid`
	sqliteIndexesSQL = `
SELECT m.name, i.name, i."unique", CASE WHEN i.partial THEN s.sql END, c.name, c."desc"
FROM sqlite_master m JOIN pragma_index_list(m.name) i JOIN sqlite_master s ON s.name = i.name JOIN pragma_index_xinfo(i.name) c
WHERE m.type = 'table' AND m.name <> 'goose_db_version' AND i.origin <> 'pk' AND c.key = 1 ORDER BY i.name, c.seqno`
	sqliteForeignKeysSQL = `
SELECT m.name, f."from", f."table", f."to"
FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) f WHERE m.type = 'table' ORDER BY 1, 2`
	sqliteObjectsSQL = `SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite%' AND tbl_name <> 'goose_db_version'`
)

func readSQLite(t *testing.T, path string) schema {
	t.Helper()
	return build(t,
		querySQLite(t, path, sqliteColumnsSQL, func(rows *sql.Rows) (r columnRow, err error) {
			return r, rows.Scan(&r.Table, &r.Name, &r.Type, &r.NotNull, &r.Key)
		}),
		querySQLite(t, path, sqliteIndexesSQL, func(rows *sql.Rows) (r indexRow, err error) {
			return r, rows.Scan(&r.Table, &r.Index, &r.Unique, &r.Predicate, &r.Column, &r.Descending)
		}),
		querySQLite(t, path, sqliteForeignKeysSQL, func(rows *sql.Rows) (r foreignKeyRow, err error) {
			return r, rows.Scan(&r.Table, &r.Column, &r.Target, &r.TargetColumn)
		}))
}

func sqliteObjects(t *testing.T, path string) []string {
	t.Helper()
	return querySQLite(t, path, sqliteObjectsSQL, func(rows *sql.Rows) (name string, err error) { return name, rows.Scan(&name) })
}

func querySQLite[T any](t *testing.T, path, query string, scan func(*sql.Rows) (T, error)) []T {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	rows, err := db.QueryContext(t.Context(), query)
	require.NoError(t, err)
	defer rows.Close()
	var list []T
	for rows.Next() {
		item, err := scan(rows)
		require.NoError(t, err)
		list = append(list, item)
	}
	require.NoError(t, rows.Err())
	return list
}

const (
	postgresColumnsSQL = `
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
    COALESCE(array_position(i.indkey::int[], a.attnum::int) + 1 - array_lower(i.indkey::int[], 1), 0)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
WHERE c.relnamespace = $1::regnamespace AND c.relkind = 'r' AND c.relname <> 'goose_db_version' AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY c.relname, a.attnum`
	postgresIndexesSQL = `
SELECT c.relname, x.relname, i.indisunique, pg_get_expr(i.indpred, i.indrelid),
    pg_get_indexdef(i.indexrelid, k.no::int, true), i.indoption[k.no - 1] & 1 = 1
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid, generate_series(1, i.indnkeyatts) AS k(no)
WHERE c.relnamespace = $1::regnamespace AND c.relname <> 'goose_db_version' AND NOT i.indisprimary ORDER BY x.relname, k.no`
	postgresForeignKeysSQL = `
SELECT c.conrelid::regclass::name, a.attname, t.relname, b.attname
FROM pg_constraint c JOIN pg_class t ON t.oid = c.confrelid
JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
JOIN pg_attribute b ON b.attrelid = c.confrelid AND b.attnum = c.confkey[1]
WHERE c.connamespace = $1::regnamespace AND c.contype = 'f' ORDER BY 1, 2`
	postgresObjectsSQL = `
SELECT relname FROM pg_class WHERE relnamespace = $1::regnamespace AND relname NOT LIKE 'goose_db_version%'
UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = $1::regnamespace`
)

func readPostgres(t *testing.T, dsn, service string) schema {
	t.Helper()
	return build(t,
		queryPostgres(t, dsn, service, postgresColumnsSQL, pgx.RowToStructByPos[columnRow]),
		queryPostgres(t, dsn, service, postgresIndexesSQL, pgx.RowToStructByPos[indexRow]),
		queryPostgres(t, dsn, service, postgresForeignKeysSQL, pgx.RowToStructByPos[foreignKeyRow]))
}

func postgresObjects(t *testing.T, dsn, service string) []string {
	t.Helper()
	return queryPostgres(t, dsn, service, postgresObjectsSQL, pgx.RowTo[string])
}

func queryPostgres[T any](t *testing.T, dsn, service, query string, scan pgx.RowToFunc[T]) []T {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(t.Context())) }()
	_, err = conn.Exec(t.Context(), "SET search_path TO "+pgx.Identifier{service}.Sanitize())
	require.NoError(t, err)
	rows, err := conn.Query(t.Context(), query, service)
	require.NoError(t, err)
	list, err := pgx.CollectRows(rows, scan)
	require.NoError(t, err)
	return list
}

func build(t *testing.T, columns []columnRow, indexes []indexRow, foreignKeys []foreignKeyRow) schema {
	t.Helper()
	s := schema{}
	for _, row := range columns {
		if s[row.Table] == nil {
			s[row.Table] = &table{Indexes: map[string]index{}}
		}
		into := s[row.Table]
		into.Columns = append(into.Columns, column{Name: row.Name, Class: classOf(t, row), NotNull: row.NotNull})
		if row.Key > 0 {
			into.PrimaryKey = append(into.PrimaryKey, "")
		}
	}
	for _, row := range columns {
		if row.Key > 0 {
			s[row.Table].PrimaryKey[row.Key-1] = row.Name
		}
	}
	for _, row := range indexes {
		into := s[row.Table].Indexes[row.Index]
		if row.Descending {
			row.Column += " DESC"
		}
		into.Columns = append(into.Columns, row.Column)
		into.Unique, into.Predicate = row.Unique, predicate(row.Predicate)
		s[row.Table].Indexes[row.Index] = into
	}
	for _, row := range foreignKeys {
		into := s[row.Table]
		into.ForeignKeys = append(into.ForeignKeys, foreignKey{Column: row.Column, Table: row.Target, Target: row.TargetColumn})
	}
	return s
}

func classOf(t *testing.T, row columnRow) typeClass {
	t.Helper()
	switch strings.ToLower(row.Type) {
	case "text":
		return classText
	case "integer", "bigint":
		// Postgres' integer has 32 bits; its columns must say bigint.
		return classInteger
	case "real":
		// Postgres' own real has 32 bits.
		if row.Type == "REAL" {
			return classReal
		}
	case "double precision":
		return classReal
	}
	require.Fail(t, "a type that has no class", "%s.%s is %s", row.Table, row.Name, row.Type)
	return ""
}

// predicate takes an index' condition out of what a database says of it, and
// what each adds to it out of that.
func predicate(said *string) string {
	if said == nil {
		return ""
	}
	condition := *said
	if _, after, found := strings.Cut(condition, " WHERE "); found {
		condition = after
	}
	return strings.NewReplacer("(", "", ")", "", "::text", "").Replace(condition)
}
