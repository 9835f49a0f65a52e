//go:build unix

package transfer

import (
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/connect"
	"github.com/pocketflowgo/pocketflow/shared/storage/transfer"
	"github.com/pocketflowgo/pocketflow/tests/pgtest"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

const (
	// killedRows in each table take long enough to copy for kills to fall in the
	// middle.
	killedRows = 6000
	kills      = 8
	// halfRows are some batches of each table.
	halfRows = 5000
)

// rowsOr is how many rows a test takes; a fifth when it is to be short.
func rowsOr(all int) int {
	if testing.Short() {
		return all / 5
	}
	return all
}

func TestCopy_ComesToItsEndHoweverOftenItIsKilled(t *testing.T) {
	t.Parallel()
	dir, rows := suiteOf(t), rowsOr(killedRows)
	fill(t, dir, plain, rows)
	for name, to := range map[string]string{"Postgres": pgtest.DSN(t), "SQLite": filepath.Join(t.TempDir(), "data")} {
		t.Run(name, func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			random := rand.New(rand.NewPCG(seed, 0))
			unfinished := 0
			for range kills {
				command := storeCommand(t, "copy", dir, to)
				if endsWithin(command, time.Duration(random.Int64N(int64(time.Second)))) {
					break // it is done, or was refused: the last one tells
				}
				command.Kill(t)
				if refusesServices(t, to) {
					unfinished++
				}
			}
			t.Logf("killed %d times in the middle", unfinished)
			command := storeCommand(t, "copy", dir, to)
			if code := command.Wait(t, copyTimeout); code != 0 {
				require.Contains(t, command.Stderr(), transfer.ErrNotEmpty.Error(), "the one before was done")
			}
			report, err := transfer.Compare(t.Context(), transfer.Params{Pairs: pairsOf(dir, to)})
			require.NoError(t, err)
			for _, one := range report.Tables {
				require.Equal(t, int64(rows), one.To.Rows)
			}
			require.False(t, refusesServices(t, to))
		})
	}
}

func endsWithin(p *suitetest.Process, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-p.Ended():
		return true
	case <-timer.C:
		return false
	}
}

// refusesServices reports whether a service says that the copy is unfinished.
// There may be nothing to open yet.
func refusesServices(t *testing.T, place string) bool {
	t.Helper()
	tasks, err := connect.Tasks(t.Context(), pairsOf(place, place)[2].From, connect.Options{})
	if err == nil {
		require.NoError(t, tasks.Close())
		return false
	}
	require.ErrorIs(t, err, storage.ErrUnfinishedCopy)
	return true
}

// halfway copies until some rows are over.
func halfway(t *testing.T, from, to string) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	_, err := transfer.Copy(ctx, transfer.Params{Pairs: pairsOf(from, to), Tell: func(p transfer.Progress) {
		if p.Phase == transfer.Copying && p.Table == "jobs" && p.Rows > 0 {
			stop()
		}
	}})
	require.Error(t, err)
}

func TestCopy_FindsThatItsSourceHasChangedBetweenTwoTries(t *testing.T) {
	t.Parallel()
	dir, postgres := suiteOf(t), pgtest.DSN(t)
	fill(t, dir, plain, rowsOr(halfRows))
	halfway(t, dir, postgres)
	alter(t, filepath.Join(dir, "catalog.db"), "UPDATE flows SET name = 'other' WHERE created_at % 1000 = 17")
	report, err := transfer.Copy(t.Context(), transfer.Params{Pairs: pairsOf(dir, postgres)})
	require.ErrorIs(t, err, transfer.ErrDiffers)
	require.ErrorContains(t, err, "in catalog.flows")
	require.NotEmpty(t, report.Tables)
	require.True(t, refusesServices(t, postgres), "what differs is not served from")
}

func TestCopy_IsNotGoneOnWithFromAnotherSource(t *testing.T) {
	t.Parallel()
	dir, postgres := suiteOf(t), pgtest.DSN(t)
	fill(t, dir, plain, rowsOr(halfRows))
	halfway(t, dir, postgres)
	_, err := transfer.Copy(t.Context(), transfer.Params{Pairs: pairsOf(suiteOf(t), postgres)})
	require.ErrorIs(t, err, transfer.ErrUnfinished)
	require.ErrorContains(t, err, dir)
	_, err = transfer.Copy(t.Context(), transfer.Params{Pairs: pairsOf(postgres, t.TempDir())})
	require.ErrorIs(t, err, transfer.ErrUnfinished, "nor is a part taken for the whole")
	report := move(t, dir, postgres)
	require.Less(t, report.Copied, int64(rowsOr(halfRows)*len(report.Tables)), "it went on")
}

// A copy that was killed while it took the marks away has some databases
// without one and with rows, which are its own all the same.
func TestCopy_GoesOnAmongDatabasesThatAreReleased(t *testing.T) {
	t.Parallel()
	dir, postgres := suiteOf(t), pgtest.DSN(t)
	fill(t, dir, plain, 20)
	first := move(t, dir, postgres)
	alterPostgres(t, postgres, "CREATE TABLE queue.unfinished_copy AS SELECT 'sqlite://"+file(dir, "queue")+"' AS source, 'compared' AS stage")
	require.Equal(t, first.Tables, move(t, dir, postgres).Tables)
	_, err := transfer.Copy(t.Context(), transfer.Params{Pairs: pairsOf(dir, postgres)})
	require.ErrorIs(t, err, transfer.ErrNotEmpty, "it was finished")
}

func TestCommand_StopsOnCtrlC(t *testing.T) {
	t.Parallel()
	dir, to := suiteOf(t), filepath.Join(t.TempDir(), "data")
	fill(t, dir, plain, halfRows, "tasks", "node_runs", "jobs")
	command := storeCommand(t, "copy", dir, to)
	suitetest.Await(t, taskTimeout, func() error {
		if !strings.Contains(command.Stderr(), "copying registry.workers") {
			return errors.New("it has not begun")
		}
		return nil
	})
	command.Signal(t, syscall.SIGINT)
	require.Equal(t, 130, command.Wait(t, copyTimeout))
	require.Contains(t, command.Stderr(), "the same command goes on")
	require.Empty(t, command.Stdout())
	again := storeCommand(t, "copy", dir, to)
	require.Zero(t, again.Wait(t, copyTimeout), again.Stderr())
}
