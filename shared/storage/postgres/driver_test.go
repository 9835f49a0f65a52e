package postgres

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage/internal/dsn"
	"github.com/pocketflowgo/pocketflow/shared/storage/internal/sqlstore"
)

// urlVariable names a server for the tests of this package; without it those
// that need one are skipped. The roles' suite runs in the tests module, which
// brings its own.
const urlVariable = "POCKETFLOW_TEST_POSTGRES_URL"

// setup opens a schema of the test's own.
func setup(t *testing.T, schema string) *Driver {
	url := os.Getenv(urlVariable)
	if url == "" {
		t.Skip(urlVariable + " is not set")
	}
	name, err := dsn.Parse(url)
	require.NoError(t, err)
	db, release, err := OpenForMigration(t.Context(), name, schema)
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), `DROP TABLE IF EXISTS rows; CREATE TABLE rows (id BIGINT PRIMARY KEY, n BIGINT)`)
	require.NoError(t, errors.Join(err, release()))
	return open(t, schema)
}

// open is another process on a schema that is set up.
func open(t *testing.T, schema string) *Driver {
	name, err := dsn.Parse(os.Getenv(urlVariable))
	require.NoError(t, err)
	driver, err := Open(t.Context(), Config{DSN: name, Schema: schema})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, driver.Close()) })
	return driver
}

func run1(ctx context.Context, conn sqlstore.Conn, sql string, args ...any) error {
	var batch sqlstore.Batch
	batch.Exec(sql, args...)
	return conn.Run(ctx, &batch)
}

func TestWrite_RunsAgainAfterADeadlock(t *testing.T) {
	t.Parallel()
	driver := setup(t, "deadlock")
	require.NoError(t, run1(t.Context(), driver, `INSERT INTO rows (id, n) VALUES (1, 0), (2, 0)`))
	const update = `UPDATE rows SET n = n + 1 WHERE id = $1`
	// Each takes its first row, and only then both ask for the other's.
	firstTaken := [2]chan struct{}{make(chan struct{}), make(chan struct{})}
	ended := make(chan error, 2)
	for i := range 2 {
		go func() {
			tries := 0
			ended <- driver.Write(context.Background(), func(ctx context.Context, tx sqlstore.Tx) error {
				if err := run1(ctx, tx, update, i+1); err != nil {
					return err
				}
				if tries++; tries == 1 {
					close(firstTaken[i])
				}
				<-firstTaken[1-i]
				return run1(ctx, tx, update, 2-i)
			})
		}()
	}
	require.NoError(t, <-ended)
	require.NoError(t, <-ended)
	var sum int64
	var batch sqlstore.Batch
	batch.Query(func(row sqlstore.Row) error { return row.Scan(&sum) }, `SELECT SUM(n)::BIGINT FROM rows`)
	require.NoError(t, driver.Run(t.Context(), &batch))
	require.Equal(t, int64(4), sum)
}

func TestWrite_RollsBackOnTheClosuresError(t *testing.T) {
	t.Parallel()
	driver := setup(t, "rollback")
	failure := errors.New("closure failed")
	require.ErrorIs(t, driver.Write(t.Context(), func(ctx context.Context, tx sqlstore.Tx) error {
		tx.Hint("never")
		return errors.Join(run1(ctx, tx, `INSERT INTO rows (id, n) VALUES (1, 0)`), failure)
	}), failure)
	require.NoError(t, run1(t.Context(), driver, `INSERT INTO rows (id, n) VALUES (1, 0)`), "the row is not there")
}

func TestListen_ComesBackAfterALostConnection(t *testing.T) {
	t.Parallel()
	driver := setup(t, "listening")
	other := open(t, "listening")
	heard, ended := make(chan sqlstore.Hint, 1024), make(chan error, 1)
	go func() {
		ended <- driver.Listen(context.Background(), func(hint sqlstore.Hint) {
			select {
			case heard <- hint:
			default:
			}
		})
	}()
	hear := func(from *Driver, want sqlstore.Hint) {
		require.Eventually(t, func() bool {
			require.NoError(t, from.Write(t.Context(), func(_ context.Context, tx sqlstore.Tx) error {
				tx.Hint(want.Payload)
				return nil
			}))
			for {
				select {
				case got := <-heard:
					require.NotEqual(t, sqlstore.Hint{Payload: "own"}, got, "it came back from the server")
					if got == want {
						return true
					}
				default:
					return false
				}
			}
		}, 20*time.Second, 20*time.Millisecond)
	}
	hear(other, sqlstore.Hint{Payload: "before"})
	require.NoError(t, run1(t.Context(), driver,
		`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN "listening"'`))
	hear(driver, sqlstore.Hint{Payload: "own", Own: true})
	hear(other, sqlstore.Hint{Payload: "after"})
	require.NoError(t, driver.Close())
	require.NoError(t, <-ended)
}
