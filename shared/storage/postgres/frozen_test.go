package postgres

import (
	"context"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage/internal/dsn"
	"github.com/pocketflowgo/pocketflow/shared/storage/internal/sqlstore"
)

// A client that is frozen in a transaction must not keep its locks for ever.
func TestOpen_LetsTheServerEndTransactionsOfAFrozenClient(t *testing.T) {
	t.Parallel()
	driver := setup(t, "frozen")
	require.Equal(t, "5s", limitOf(t, driver, idleLimit))
	require.Equal(t, "2s", limitOf(t, driver, lockLimit))

	name, err := dsn.Parse(os.Getenv(urlVariable))
	require.NoError(t, err)
	name.URL = withSetting(t, withSetting(t, name.URL, idleLimit, "100ms"), lockLimit, "50ms")
	driver, err = Open(t.Context(), Config{DSN: name, Schema: "frozen"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, driver.Close()) })
	require.Equal(t, "100ms", limitOf(t, driver, idleLimit), "the operator's own choice")
	require.Equal(t, "50ms", limitOf(t, driver, lockLimit))
}

// Rows that another transaction holds locked are asked for again, for as long as
// the caller likes.
func TestWrite_GivesUpWaitingForLockedRows(t *testing.T) {
	t.Parallel()
	holder := setup(t, "locked")
	name, err := dsn.Parse(os.Getenv(urlVariable))
	require.NoError(t, err)
	name.URL = withSetting(t, name.URL, lockLimit, "50ms")
	driver, err := Open(t.Context(), Config{DSN: name, Schema: "locked"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, driver.Close()) })
	require.NoError(t, run1(t.Context(), holder, `INSERT INTO rows (id, n) VALUES (1, 0)`))

	update := func(ctx context.Context, tx sqlstore.Tx) error {
		return run1(ctx, tx, `UPDATE rows SET n = n + 1 WHERE id = 1`)
	}
	require.NoError(t, holder.Write(t.Context(), func(ctx context.Context, tx sqlstore.Tx) error {
		if err := update(ctx, tx); err != nil {
			return err
		}
		require.ErrorIs(t, driver.Write(ctx, update), sqlstore.ErrRowsLocked)
		return nil
	}))
	require.NoError(t, driver.Write(t.Context(), update))
}

// Nothing says that the server is gone: the connection is there, and silent.
func TestRun_EndsWithItsContextWhenTheConnectionIsDead(t *testing.T) {
	t.Parallel()
	setup(t, "silent")
	name, err := dsn.Parse(os.Getenv(urlVariable))
	require.NoError(t, err)
	line := newLine(t, name.URL)
	name.URL = line.url
	driver, err := Open(t.Context(), Config{DSN: name, Schema: "silent"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, driver.Close()) })

	line.silent.Store(true)
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, run1(short, driver, `SELECT 1`), context.DeadlineExceeded)
	require.ErrorIs(t, driver.Write(short, func(ctx context.Context, tx sqlstore.Tx) error {
		return run1(ctx, tx, `SELECT 1`)
	}), context.DeadlineExceeded)
}

func limitOf(t *testing.T, driver *Driver, name string) (limit string) {
	t.Helper()
	rows, err := driver.pool.Query(t.Context(), "SHOW "+name)
	require.NoError(t, err)
	limit, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return limit
}

func withSetting(t *testing.T, text, name, limit string) string {
	t.Helper()
	u, err := url.Parse(text)
	require.NoError(t, err)
	values := u.Query()
	values.Set(name, limit)
	u.RawQuery = values.Encode()
	return u.String()
}
