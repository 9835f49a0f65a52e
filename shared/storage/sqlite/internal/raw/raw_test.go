package raw

import (
	"database/sql"
	"errors"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sqlite3 "modernc.org/sqlite/lib"
)

func open(t *testing.T) *Conn {
	conn, err := Open("file:" + filepath.Join(t.TempDir(), "a.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return conn
}

func prepare(t *testing.T, conn *Conn, text string) *Stmt {
	stmt, err := conn.Prepare(text)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, stmt.Close()) })
	return stmt
}

// one scans the only row of a result.
func one(t *testing.T, stmt *Stmt, args []any, dest ...any) {
	t.Helper()
	rows := 0
	require.NoError(t, stmt.Run(args, func(row *Stmt) error {
		rows++
		return row.Scan(dest...)
	}))
	require.Equal(t, 1, rows)
}

func execute(t *testing.T, conn *Conn, text string) {
	t.Helper()
	require.NoError(t, prepare(t, conn, text).Run(nil, nil))
}

func TestRun_BindsByNumber(t *testing.T) {
	t.Parallel()
	var got [4]string
	one(t, prepare(t, open(t), `SELECT $3, $1, $2, $3`), []any{"a", "b", "c"}, &got[0], &got[1], &got[2], &got[3])
	require.Equal(t, [4]string{"c", "a", "b", "c"}, got)
}

func TestRun_GivesBackWhatItWasGiven(t *testing.T) {
	t.Parallel()
	stmt := prepare(t, open(t), `SELECT $1, typeof($1)`)
	for want, kind := range map[any]string{
		"": "text", "a": "text", "nul \x00 and \u00fc": "text", strings.Repeat("x", 3*keptTexts): "text",
		int64(math.MinInt64): "integer", int64(math.MaxInt64): "integer", int64(0): "integer",
		0.5: "real", math.Inf(1): "real", nil: "null",
	} {
		var got value
		var gotKind string
		one(t, stmt, []any{want}, &got, &gotKind)
		require.Equal(t, kind, gotKind)
		require.Equal(t, want, got.any)
	}
	var got int
	one(t, prepare(t, open(t), `SELECT $1`), []any{7}, &got)
	require.Equal(t, 7, got)
}

// value scans whatever there is.
type value struct{ any }

func (v *value) Scan(src any) error {
	v.any = src
	return nil
}

var _ sql.Scanner = (*value)(nil)

func TestRun_ManyTextsGrowTheRoom(t *testing.T) {
	t.Parallel()
	conn := open(t)
	stmt := prepare(t, conn, `SELECT $1, $2, $3, $4`)
	for _, size := range []int{1, 100, 5000, 0, keptTexts, 10} {
		want := [4]string{strings.Repeat("a", size), "", strings.Repeat("c", size), strings.Repeat("d", size)}
		var got [4]string
		one(t, stmt, []any{want[0], want[1], want[2], want[3]}, &got[0], &got[1], &got[2], &got[3])
		require.Equal(t, want, got)
		require.LessOrEqual(t, conn.textsSize, keptTexts, "little is kept")
	}
}

func TestScan_HandsOutCopies(t *testing.T) {
	t.Parallel()
	stmt := prepare(t, open(t), `SELECT $1, $1, CAST($1 AS BLOB)`)
	var text string
	var raw, blob []byte
	one(t, stmt, []any{"first"}, &text, &raw, &blob)
	for range 10 {
		var s string
		var b []byte
		one(t, stmt, []any{"other"}, &s, &b, &b)
	}
	require.Equal(t, "first", text)
	require.Equal(t, "first", string(raw))
	require.Equal(t, "first", string(blob))
}

func TestScan_NullsHavePlaces(t *testing.T) {
	t.Parallel()
	stmt := prepare(t, open(t), `SELECT $1, $1`)
	number, raw := new(int64(7)), []byte("x")
	one(t, stmt, []any{nil}, &number, &raw)
	require.Nil(t, number)
	require.Nil(t, raw)
	one(t, stmt, []any{int64(9)}, &number, &value{})
	require.Equal(t, int64(9), *number)
	one(t, stmt, []any{""}, &value{}, &raw)
	require.Equal(t, []byte{}, raw, "an empty text is not NULL")
}

func TestScan_RefusesWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	stmt := prepare(t, open(t), `SELECT $1 AS a`)
	scan := func(arg any, dest ...any) error {
		return stmt.Run([]any{arg}, func(row *Stmt) error { return row.Scan(dest...) })
	}
	require.ErrorContains(t, scan(nil, new("")), `scan column 1, "a": a <nil> does not fit into a *string`)
	require.ErrorContains(t, scan("7", new(int64)), "a string does not fit into a *int64")
	require.ErrorContains(t, scan(int64(7), new("")), "a int64 does not fit into a *string")
	require.ErrorContains(t, scan(int64(7), new(uint8)), "does not fit into a *uint8")
	require.ErrorContains(t, scan("a"), "scan 1 columns into 0 places")
	require.NoError(t, scan("a", new("")))
}

func TestRun_RefusesOtherArguments(t *testing.T) {
	t.Parallel()
	stmt := prepare(t, open(t), `SELECT $1, $2`)
	require.ErrorContains(t, stmt.Run([]any{"a"}, nil), "1 arguments for a statement of 2")
	require.ErrorContains(t, stmt.Run([]any{"a", "b", "c"}, nil), "3 arguments")
	require.ErrorContains(t, stmt.Run([]any{"a", uint8(1)}, nil), "argument $2 is a uint8")
	require.NoError(t, stmt.Run([]any{"a", "b"}, nil))
}

func TestRun_BeginsAnewAfterAFailure(t *testing.T) {
	t.Parallel()
	conn := open(t)
	execute(t, conn, `CREATE TABLE t (a TEXT PRIMARY KEY)`)
	insert := prepare(t, conn, `INSERT INTO t (a) VALUES ($1)`)
	read := prepare(t, conn, `SELECT a FROM t ORDER BY a`)
	require.NoError(t, insert.Run([]any{"a"}, nil))
	require.Equal(t, int64(1), conn.Changes())

	var refused *Error
	require.ErrorAs(t, insert.Run([]any{"a"}, nil), &refused)
	require.Equal(t, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, refused.Code)
	require.Equal(t, "constraint failed: UNIQUE constraint failed: t.a (1555)", refused.Error())
	require.NoError(t, insert.Run([]any{"b"}, nil))

	require.ErrorIs(t, read.Run(nil, func(*Stmt) error { return assert.AnError }), assert.AnError)
	require.Panics(t, func() { _ = read.Run(nil, func(*Stmt) error { panic("a bug") }) })
	var got []string
	require.NoError(t, read.Run(nil, func(row *Stmt) error {
		var name string
		err := row.Scan(&name)
		got = append(got, name)
		return err
	}))
	require.Equal(t, []string{"a", "b"}, got)
}

func TestRun_WritesAllThoughRowsAreNotRead(t *testing.T) {
	t.Parallel()
	conn := open(t)
	execute(t, conn, `CREATE TABLE t (a INTEGER)`)
	insert := prepare(t, conn, `INSERT INTO t (a) VALUES (1), (2), (3) RETURNING a`)
	require.NoError(t, insert.Run(nil, nil))
	require.Equal(t, int64(3), conn.Changes())
}

func TestRun_NoticesANewSchema(t *testing.T) {
	t.Parallel()
	conn := open(t)
	execute(t, conn, `CREATE TABLE t (a TEXT)`)
	execute(t, conn, `INSERT INTO t (a) VALUES ('x')`)
	read := prepare(t, conn, `SELECT * FROM t WHERE a = $1`)
	var a, b string
	one(t, read, []any{"x"}, &a)
	execute(t, conn, `ALTER TABLE t ADD COLUMN b TEXT DEFAULT 'y'`)
	one(t, read, []any{"x"}, &a, &b)
	require.Equal(t, "xy", a+b)
}

func TestPrepare_TakesOneStatement(t *testing.T) {
	t.Parallel()
	conn := open(t)
	for _, text := range []string{``, `-- nothing`, `SELECT 1; SELECT 2`, `SELECT :name`, `SELECT ?`, `SELECT $0`, `not SQL`} {
		_, err := conn.Prepare(text)
		require.Error(t, err, text)
	}
	prepare(t, conn, "SELECT 1;\n")
}

func TestInterrupt_EndsTheStatementThatRuns(t *testing.T) {
	t.Parallel()
	conn := open(t)
	endless := prepare(t, conn, `
WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers) SELECT n FROM numbers`)
	done := make(chan struct{})
	err := endless.Run(nil, func(row *Stmt) error {
		var n int64
		err := row.Scan(&n)
		if n == 1 {
			go func() {
				defer close(done)
				conn.Interrupt()
			}()
		}
		return err
	})
	require.True(t, Interrupted(err), err)
	require.False(t, Interrupted(errors.New("other")))
	<-done
	var n int64
	one(t, prepare(t, conn, `SELECT 1`), nil, &n)
}

func TestOpen_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	_, err := Open("file:" + filepath.Join(t.TempDir(), "nowhere", "a.db"))
	require.ErrorContains(t, err, "unable to open database file (14)")
}
