//go:build unix

package operations

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/pocketflowgo/pocketflow/tests/pgtest"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

// serveURL serves the suite on one Postgres database.
func serveURL(t *testing.T, addr, url string) *suitetest.Server {
	t.Helper()
	return suitetest.Serve(t, addr, suitetest.Command{Program: suitetest.PocketFlow, Args: []string{"serve"}, Env: []string{
		"REGISTRY_DB=" + url, "CATALOG_DB=" + url, "SCHEDULER_DB=" + url, "QUEUE_DB=" + url, "SCHEDULER_LEASE_TTL=2s",
	}})
}

// requireClients skips a test where Postgres' programs are not installed, or are
// older than the server.
func requireClients(t *testing.T, url string) {
	t.Helper()
	for _, program := range []string{"bash", "pg_dump", "pg_restore", "psql"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed", program)
		}
	}
	output, err := exec.CommandContext(t.Context(), "pg_dump", "--schema-only", "--dbname="+url).CombinedOutput()
	if err != nil && strings.Contains(string(output), "server version mismatch") {
		t.Skipf("pg_dump is older than the server: %s", output)
	}
	require.NoError(t, err, "%s", output)
}

// The page's own commands dump a suite under load, and restore it into another
// database.
func TestPage_DumpOfPostgresRestoresToRightEnds(t *testing.T) {
	t.Parallel()
	url := pgtest.DSN(t)
	requireClients(t, url)
	addr := suitetest.Addr(t)
	server := serveURL(t, addr, url)
	journals := startWorkers(t, server.URL)
	client := suitetest.Connect(t, server.URL)
	version := client.Publish(t, "errand", errand)
	const tasks = 300
	var load errgroup.Group
	load.Go(func() error { return create(t.Context(), client, version, tasks) })
	suitetest.Await(t, taskTimeout, func() error {
		if completed, err := count(t.Context(), client, version, "completed"); err != nil || completed == 0 {
			return errors.Join(errors.New("no task is completed"), err)
		}
		return nil
	})

	dir := t.TempDir()
	runBlocks(t, shell{dir: dir, env: []string{"DATABASE_URL=" + url}}, blocks(t, "Postgres: back up"))
	dump := filepath.Join(dir, "pocketflow.dump")
	require.FileExists(t, dump)
	require.NoError(t, load.Wait())
	require.Equal(t, tasks, awaitAll(t, client, version))
	require.Zero(t, server.Stop(t))
	known := keys(t, journals)

	restored := pgtest.DSN(t)
	runBlocks(t, shell{dir: dir, env: []string{"DATABASE_URL=" + restored}}, blocks(t, "Postgres: restore"))
	server = serveURL(t, addr, restored)
	client.AwaitWorker(t, "transform")
	unfinished, err := count(t.Context(), client, version, "waiting_queue")
	require.NoError(t, err)
	all := awaitAll(t, client, version)
	t.Logf("%d tasks were in the dump, some %d of them waited for the queue", all, unfinished)
	require.Positive(t, all)
	requireRight(t, client, version)
	requireKnown(t, client, version, known)
	require.Zero(t, server.Stop(t))
}
