package sqlite

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/internal/sqlstore"
)

// setup opens a database with a table of names and one of references that are
// checked at the commit.
func setup(t *testing.T) *Driver {
	driver, err := Open(t.Context(), Config{Path: filepath.Join(t.TempDir(), "some dir", "100%?#.db")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, driver.Close()) })
	require.NoError(t, driver.Write(t.Context(), statementsOf(
		`CREATE TABLE names (name TEXT PRIMARY KEY)`,
		`CREATE TABLE refs (name TEXT REFERENCES names (name) DEFERRABLE INITIALLY DEFERRED)`,
	)))
	return driver
}

type closure = func(context.Context, sqlstore.Tx) error

func statementsOf(texts ...string) closure {
	return func(ctx context.Context, tx sqlstore.Tx) error {
		var batch sqlstore.Batch
		for _, text := range texts {
			batch.Exec(text)
		}
		return tx.Run(ctx, &batch)
	}
}

func insert(name string) closure {
	return func(ctx context.Context, tx sqlstore.Tx) error {
		var batch sqlstore.Batch
		batch.Exec(`INSERT INTO names (name) VALUES ($1)`, name)
		return tx.Run(ctx, &batch)
	}
}

func names(t *testing.T, conn sqlstore.Conn) []string {
	found := []string{}
	var batch sqlstore.Batch
	batch.Query(func(row sqlstore.Row) error {
		var name string
		err := row.Scan(&name)
		found = append(found, name)
		return err
	}, `SELECT name FROM names ORDER BY name`)
	require.NoError(t, conn.Run(t.Context(), &batch))
	return found
}

// occupy holds the writer inside a write until release is called; what is
// written meanwhile shares its commit.
func occupy(driver *Driver) (release func()) {
	inside, proceed, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- driver.Write(context.Background(), func(context.Context, sqlstore.Tx) error {
			close(inside)
			<-proceed
			return nil
		})
	}()
	<-inside
	return func() {
		close(proceed)
		<-ended
	}
}

// queued waits until that many writes wait for the writer.
func queued(t *testing.T, driver *Driver, count int) {
	require.Eventually(t, func() bool { return len(driver.writer.queue) == count }, eventually, pollEvery)
}

func TestOpen_SetsWhatDurabilityNeeds(t *testing.T) {
	t.Parallel()
	driver := setup(t)
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1"} {
		var got string
		batch := query(func(row sqlstore.Row) error { return row.Scan(&got) },
			"SELECT CAST("+pragma+" AS TEXT) FROM pragma_"+pragma)
		require.NoError(t, driver.Write(t.Context(), func(ctx context.Context, tx sqlstore.Tx) error {
			return tx.Run(ctx, batch)
		}))
		require.Equal(t, want, got, pragma)
	}
}

func TestOpen_RefusesASecondTime(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	first, err := Open(t.Context(), Config{Path: path})
	require.NoError(t, err)
	_, err = Open(t.Context(), Config{Path: path})
	require.ErrorIs(t, err, storage.ErrLocked)
	require.Contains(t, err.Error(), path)
	_, _, err = OpenToMigrate(t.Context(), path)
	require.ErrorIs(t, err, storage.ErrLocked)
	require.NoError(t, first.Close())
	second, err := Open(t.Context(), Config{Path: path})
	require.NoError(t, err, "closing gives the lock back")
	require.NoError(t, second.Close())
}

func TestOpen_SaysInOneLineThatTheDirectoryCannotBeUsed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := Open(t.Context(), Config{Path: filepath.Join(file, "a.db")})
	require.Error(t, err)
	require.NotContains(t, err.Error(), "\n")
}

func TestOpen_RefusesAFileThatIsNoDatabase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("no database ", 1000)), 0o600))
	_, err := Open(t.Context(), Config{Path: path})
	require.ErrorContains(t, err, path)
}

func TestRead_CannotWrite(t *testing.T) {
	t.Parallel()
	driver := setup(t)
	var batch sqlstore.Batch
	batch.Exec(`INSERT INTO names (name) VALUES ('x')`)
	require.Error(t, driver.Run(t.Context(), &batch))
}

func TestWrite_GroupsWaitingWritesAndRollsBackOnlyTheFailed(t *testing.T) {
	t.Parallel()
	driver := setup(t)
	failure := errors.New("closure failed")
	release := occupy(driver)
	var group sync.WaitGroup
	group.Go(func() { assert.NoError(t, driver.Write(t.Context(), insert("a"))) })
	group.Go(func() {
		assert.ErrorIs(t, driver.Write(t.Context(), func(ctx context.Context, tx sqlstore.Tx) error {
			return errors.Join(insert("b")(ctx, tx), failure)
		}), failure)
	})
	group.Go(func() {
		assert.Error(t, driver.Write(t.Context(), statementsOf(`INSERT INTO names (name) VALUES ('c')`, `not SQL`)))
	})
	group.Go(func() { assert.NoError(t, driver.Write(t.Context(), insert("d"))) })
	queued(t, driver, 4)
	release()
	group.Wait()
	require.Equal(t, []string{"a", "d"}, names(t, driver))
}

func TestWrite_ACommitThatFailsFailsOnlyThoseToBlame(t *testing.T) {
	t.Parallel()
	driver := setup(t)
	release := occupy(driver)
	var group sync.WaitGroup
	group.Go(func() { assert.NoError(t, driver.Write(t.Context(), insert("a"))) })
	group.Go(func() {
		assert.ErrorContains(t, driver.Write(t.Context(), statementsOf(`INSERT INTO refs (name) VALUES ('nobody')`)), "commit")
	})
	queued(t, driver, 2)
	release()
	group.Wait()
	require.Equal(t, []string{"a"}, names(t, driver))
	require.NoError(t, driver.Write(t.Context(), insert("b")), "the writer goes on")
	require.Equal(t, []string{"a", "b"}, names(t, driver))
}

func TestWrite_WithdrawsWhenTheCallerGivesUpWaiting(t *testing.T) {
	t.Parallel()
	driver := setup(t)
	release := occupy(driver)
	ctx, cancel := context.WithCancel(t.Context())
	gaveUp := make(chan error)
	go func() { gaveUp <- driver.Write(ctx, insert("never")) }()
	queued(t, driver, 1)
	cancel()
	require.ErrorIs(t, <-gaveUp, context.Canceled)
	release()
	require.NoError(t, driver.Write(t.Context(), insert("a")))
	require.Equal(t, []string{"a"}, names(t, driver))
}

func TestClose_FinishesWhatIsQueuedAndRefusesTheRest(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	driver, err := Open(t.Context(), Config{Path: path})
	require.NoError(t, err)
	require.NoError(t, driver.Write(t.Context(), statementsOf(`CREATE TABLE names (name TEXT PRIMARY KEY)`)))
	release := occupy(driver)
	written, closed := make(chan error), make(chan error)
	go func() { written <- driver.Write(context.Background(), insert("a")) }()
	queued(t, driver, 1)
	go func() { closed <- driver.Close() }()
	release()
	require.NoError(t, <-written)
	require.NoError(t, <-closed)
	require.ErrorIs(t, driver.Write(t.Context(), insert("b")), sqlstore.ErrClosed)

	again, err := Open(t.Context(), Config{Path: path})
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, names(t, again))
	require.NoError(t, again.Close())
}

func TestHint_IsHeardOnlyAfterTheCommit(t *testing.T) {
	t.Parallel()
	driver := setup(t)
	heard, ended := make(chan sqlstore.Hint, 1024), make(chan error)
	go func() { ended <- driver.Listen(context.Background(), func(hint sqlstore.Hint) { heard <- hint }) }()
	hint := func(payload string, err error) closure {
		return func(_ context.Context, tx sqlstore.Tx) error {
			tx.Hint(payload)
			return err
		}
	}
	require.Eventually(t, func() bool { // it listens
		require.NoError(t, driver.Write(t.Context(), hint("knock", nil)))
		return len(heard) > 0
	}, eventually, pollEvery)
	require.Error(t, driver.Write(t.Context(), hint("rolled back", errors.New("no"))))
	require.NoError(t, driver.Write(t.Context(), hint("committed", nil)))
	next := <-heard
	for next.Payload == "knock" {
		next = <-heard
	}
	require.Equal(t, sqlstore.Hint{Payload: "committed", Own: true}, next)
	require.NoError(t, driver.Close())
	require.NoError(t, <-ended)
}
