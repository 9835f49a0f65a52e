//go:build unix

package operations

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

// backups is how many are taken while there is work.
const backups = 5

func serveData(t *testing.T, addr, data string) *suitetest.Server {
	t.Helper()
	return suitetest.Serve(t, addr, suitetest.Command{Program: suitetest.PocketFlow, Args: []string{"serve", "--data=" + data}})
}

// Each backup is of a moment at which tasks were everywhere. Restored, each
// brings every task that it knows to its right end.
func TestBackup_UnderLoadRestoresToRightEnds(t *testing.T) {
	t.Parallel()
	addr, data, dir := suitetest.Addr(t), t.TempDir(), t.TempDir()
	server := serveData(t, addr, data)
	journals := startWorkers(t, server.URL)
	client := suitetest.Connect(t, server.URL)
	version := client.Publish(t, "errand", errand)

	tasks := 600
	if testing.Short() {
		tasks = 150
	}
	var load errgroup.Group
	load.Go(func() error { return create(t.Context(), client, version, tasks) })
	place := func(n int) string { return filepath.Join(dir, fmt.Sprint(n)) }
	for n := range backups {
		suitetest.Await(t, taskTimeout, func() error {
			if completed, err := count(t.Context(), client, version, "completed"); err != nil || completed < tasks*n/backups {
				return errors.Join(fmt.Errorf("%d tasks are completed", completed), err)
			}
			return nil
		})
		backup := suitetest.Start(t, suitetest.Command{
			Program: suitetest.PocketFlow, Args: []string{"store", "backup", "--from=" + data, "--to=" + place(n)},
		})
		require.Zero(t, backup.Wait(t, commandTimeout), backup.Stderr())
		t.Log(backup.Stderr())
	}
	require.NoError(t, load.Wait())
	require.Equal(t, tasks, awaitAll(t, client, version), "a backup loses nothing where it is taken")
	requireRight(t, client, version)
	require.Zero(t, server.Stop(t))
	known := keys(t, journals)

	for n := range backups {
		restored := serveData(t, addr, place(n))
		client.AwaitWorker(t, "transform")
		unfinished, err := count(t.Context(), client, version, "waiting_queue")
		require.NoError(t, err)
		t.Logf("backup %d: %d tasks, some %d of them wait for the queue", n, awaitAll(t, client, version), unfinished)
		requireRight(t, client, version)
		requireKnown(t, client, version, known)
		require.Zero(t, restored.Stop(t))
	}
}
