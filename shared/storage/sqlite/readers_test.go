package sqlite

import (
	"context"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage/internal/sqlstore"
)

// openOneReader opens a database whose reads come one after the other.
func openOneReader(t *testing.T) *Driver {
	driver, err := Open(t.Context(), Config{Path: filepath.Join(t.TempDir(), "a.db"), Readers: 1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, driver.Close()) })
	require.NoError(t, driver.Write(t.Context(), statementsOf(`CREATE TABLE names (name TEXT PRIMARY KEY)`)))
	return driver
}

// query is a batch of one question.
func query(row func(sqlstore.Row) error, sql string, args ...any) *sqlstore.Batch {
	var batch sqlstore.Batch
	batch.Query(row, sql, args...)
	return &batch
}

// endless has one row, and then counts without end.
const endless = `
WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers)
SELECT 1 UNION ALL SELECT COUNT(*) FROM numbers`

func TestRun_AReadEndsWithItsContext(t *testing.T) {
	t.Parallel()
	driver := openOneReader(t)
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		err := driver.Run(ctx, query(func(sqlstore.Row) error {
			cancel()
			return nil
		}, endless))
		require.ErrorIs(t, err, context.Canceled)
		require.Empty(t, names(t, driver), "who has the session next is not disturbed")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := driver.Run(ctx, query(func(sqlstore.Row) error { return nil }, endless))
	require.ErrorIs(t, err, context.Canceled, "it does not begin")
}

// A connection that was interrupted last cannot put the log back into the file.
func TestClose_LeavesOneWholeFileThoughAReadWasInterrupted(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	driver, err := Open(t.Context(), Config{Path: path, Readers: 1})
	require.NoError(t, err)
	require.NoError(t, driver.Write(t.Context(), statementsOf(`CREATE TABLE names (name TEXT PRIMARY KEY)`)))
	require.FileExists(t, path+"-wal")
	ctx, cancel := context.WithCancel(t.Context())
	err = driver.Run(ctx, query(func(sqlstore.Row) error {
		cancel()
		return nil
	}, endless))
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, driver.Close())
	require.NoFileExists(t, path+"-wal")
}

// endsWhenAsked is a context that ends just after it was looked at.
type endsWhenAsked struct {
	context.Context
	end context.CancelFunc
}

func (c endsWhenAsked) Err() error {
	err := c.Context.Err()
	c.end()
	for range 100 {
		runtime.Gosched() // whoever waits for the end comes first, most times
	}
	return err
}

// An interrupt that comes before the first step is forgotten by SQLite.
func TestRun_AReadEndsThoughItsContextEndedAsItBegan(t *testing.T) {
	t.Parallel()
	driver := openOneReader(t)
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		err := driver.Run(endsWhenAsked{ctx, cancel}, query(func(sqlstore.Row) error { return nil }, endless))
		require.ErrorIs(t, err, context.Canceled)
		require.Empty(t, names(t, driver))
	}
}

func TestRun_AWriteThatBeganIsNotInterrupted(t *testing.T) {
	t.Parallel()
	driver := openOneReader(t)
	ctx, cancel := context.WithCancel(t.Context())
	require.NoError(t, driver.Write(ctx, func(ctx context.Context, tx sqlstore.Tx) error {
		cancel()
		return insert("a")(ctx, tx)
	}))
	require.Equal(t, []string{"a"}, names(t, driver))
}

func TestRun_AReadThatFailsLeavesItsSessionFit(t *testing.T) {
	t.Parallel()
	driver := openOneReader(t)
	require.NoError(t, driver.Write(t.Context(), insert("a")))
	require.NoError(t, driver.Write(t.Context(), insert("b")))
	const text = `SELECT name FROM names ORDER BY name`

	require.ErrorIs(t, driver.Run(t.Context(), query(func(sqlstore.Row) error { return assert.AnError }, text)), assert.AnError)
	require.Panics(t, func() {
		_ = driver.Run(t.Context(), query(func(sqlstore.Row) error { panic("a bug in a row") }, text))
	})
	require.Error(t, driver.Run(t.Context(), query(nil, `not SQL`)))
	require.ErrorContains(t, driver.Run(t.Context(), query(nil, `DELETE FROM names`)), "readonly")
	require.Equal(t, []string{"a", "b"}, names(t, driver))
	require.NoError(t, driver.Write(t.Context(), insert("c")))
	require.Equal(t, []string{"a", "b", "c"}, names(t, driver), "no read of before goes on")
}

func TestRun_WaitsForASessionWhileItsContextLasts(t *testing.T) {
	t.Parallel()
	driver := openOneReader(t)
	require.NoError(t, driver.Run(t.Context(), query(func(sqlstore.Row) error {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := driver.Run(ctx, query(nil, `SELECT 1`))
		assert.ErrorIs(t, err, context.Canceled)
		return nil
	}, `SELECT 1`)))
}

func TestRun_ManyReadWhileOthersWrite(t *testing.T) {
	t.Parallel()
	driver := setup(t)
	var group sync.WaitGroup
	for i := range 8 {
		name := string(rune('a' + i))
		group.Go(func() { assert.NoError(t, driver.Write(t.Context(), insert(name))) })
		group.Go(func() {
			for range 50 {
				var got string
				assert.NoError(t, driver.Run(t.Context(), query(func(row sqlstore.Row) error { return row.Scan(&got) },
					`SELECT $2 || COUNT(*) || $1 FROM names WHERE name = $1 || '!'`, name, name)))
				assert.Equal(t, name+"0"+name, got)
			}
		})
	}
	group.Wait()
	require.Len(t, names(t, driver), 8)
}

// Memory is given back beside reads that run, and no session is lost or made.
func TestShrink_LeavesTheSessionsFit(t *testing.T) {
	t.Parallel()
	driver := setup(t)
	require.NoError(t, driver.Write(t.Context(), insert("a")))
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 50 {
				var got []string
				assert.NoError(t, driver.Run(t.Context(), query(func(row sqlstore.Row) error {
					got = append(got, "")
					return row.Scan(&got[len(got)-1])
				}, `SELECT name FROM names`)))
				assert.Equal(t, []string{"a"}, got)
			}
		})
	}
	for range 50 {
		driver.readers.shrink()
	}
	group.Wait()
	driver.readers.shrink()
	require.LessOrEqual(t, len(driver.readers.idle), cap(driver.readers.taken))
	require.Empty(t, driver.readers.taken)
}

func TestClose_WaitsForReadsAndRefusesOthers(t *testing.T) {
	t.Parallel()
	driver, err := Open(t.Context(), Config{Path: filepath.Join(t.TempDir(), "a.db")})
	require.NoError(t, err)
	inside, proceed, read := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		read <- driver.Run(context.Background(), query(func(sqlstore.Row) error {
			close(inside)
			<-proceed
			return nil
		}, `SELECT 1`))
	}()
	<-inside
	closed := make(chan error, 1)
	go func() { closed <- driver.Close() }()
	<-driver.readers.closed
	require.Empty(t, closed)
	close(proceed)
	require.NoError(t, <-read)
	require.NoError(t, <-closed)
	require.ErrorIs(t, driver.Run(t.Context(), query(nil, `SELECT 1`)), sqlstore.ErrClosed)
	require.ErrorIs(t, driver.Write(t.Context(), insert("a")), sqlstore.ErrClosed)
	require.NoError(t, driver.Close(), "again")
}
