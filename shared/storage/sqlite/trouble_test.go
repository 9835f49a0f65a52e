package sqlite

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/internal/sqlstore"
)

// setPages limits the size of the file, as a full disk does.
func setPages(t *testing.T, driver *Driver, pragma string) {
	t.Helper()
	require.NoError(t, driver.Write(t.Context(), func(ctx context.Context, tx sqlstore.Tx) error {
		var batch sqlstore.Batch
		batch.Query(func(sqlstore.Row) error { return nil }, pragma)
		return tx.Run(ctx, &batch)
	}))
}

// SQLite takes the whole transaction back when it cannot grow the file; that it
// then knows no savepoint any more is not what the caller needs to hear.
func TestWrite_SaysThatTheDiskIsFull(t *testing.T) {
	t.Parallel()
	driver := setup(t)
	setPages(t, driver, "PRAGMA max_page_count = 1") // it stays at the present size
	release := occupy(driver)
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			err := driver.Write(context.Background(), insert(strings.Repeat("x", 1<<20)))
			assert.ErrorContains(t, err, "database or disk is full")
			assert.NotContains(t, err.Error(), "savepoint")
			assert.NotErrorIs(t, err, storage.ErrInvalidData, "another try may find room")
		})
	}
	queued(t, driver, 3)
	release()
	group.Wait()
	require.Empty(t, names(t, driver))

	setPages(t, driver, "PRAGMA max_page_count = 1000000")
	require.NoError(t, driver.Write(t.Context(), insert("a")), "the writer goes on")
	require.Equal(t, []string{"a"}, names(t, driver))
}

func TestWrite_APanicFailsItsOwnWriteOnly(t *testing.T) {
	t.Parallel()
	driver := setup(t)
	release := occupy(driver)
	var group sync.WaitGroup
	group.Go(func() { assert.NoError(t, driver.Write(t.Context(), insert("a"))) })
	group.Go(func() {
		err := driver.Write(t.Context(), func(ctx context.Context, tx sqlstore.Tx) error {
			tx.Hint("never")
			if err := insert("b")(ctx, tx); err != nil {
				return err
			}
			panic("a bug")
		})
		assert.ErrorContains(t, err, "a bug")
		assert.ErrorContains(t, err, "trouble_test.go", "it says where")
	})
	group.Go(func() {
		err := driver.Write(t.Context(), func(ctx context.Context, tx sqlstore.Tx) error {
			var batch sqlstore.Batch
			batch.Query(func(sqlstore.Row) error { panic("a bug in a row") }, `SELECT 1`)
			return tx.Run(ctx, &batch)
		})
		assert.ErrorContains(t, err, "a bug in a row")
	})
	group.Go(func() { assert.NoError(t, driver.Write(t.Context(), insert("c"))) })
	queued(t, driver, 4)
	release()
	group.Wait()
	require.Equal(t, []string{"a", "c"}, names(t, driver))
}

func TestErrors_TellWhatRepeatingCannotMend(t *testing.T) {
	t.Parallel()
	driver := setup(t)
	require.NoError(t, driver.Write(t.Context(), insert("a")))
	require.ErrorIs(t, driver.Write(t.Context(), insert("a")), storage.ErrInvalidData)
	require.ErrorIs(t, driver.Write(t.Context(), statementsOf(`INSERT INTO names (name) VALUES (NULL), (zeroblob(2000000000))`)),
		storage.ErrInvalidData)
	require.ErrorIs(t, driver.Write(t.Context(), statementsOf(`INSERT INTO refs (name) VALUES ('nobody')`)), storage.ErrInvalidData)
	require.NotErrorIs(t, driver.Write(t.Context(), statementsOf(`not SQL`)), storage.ErrInvalidData)
}
