//go:build unix

package operations

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

// apart is a suite whose services are processes with a SQLite file each.
type apart struct {
	dir      string // of the files, by service
	services map[string]*suitetest.Server
	gateway  *suitetest.Server
}

func serveApart(t *testing.T) *apart {
	t.Helper()
	a := &apart{dir: t.TempDir(), services: map[string]*suitetest.Server{}}
	addrs := map[string]string{}
	var urls []string
	for _, service := range migrations.Services {
		addrs[service] = suitetest.Addr(t)
		urls = append(urls, urlVariables[service]+"=http://"+addrs[service])
	}
	for _, service := range migrations.Services {
		a.services[service] = suitetest.Serve(t, addrs[service], suitetest.Command{
			Program: programs[service], Args: []string{"--db=" + a.file(service)}, Env: urls,
		})
	}
	a.gateway = suitetest.Serve(t, suitetest.Addr(t), suitetest.Command{Program: suitetest.Gateway, Env: urls})
	return a
}

var (
	urlVariables = map[string]string{
		migrations.Registry: "REGISTRY_URL", migrations.Catalog: "CATALOG_URL", migrations.Scheduler: "SCHEDULER_URL", migrations.Queue: "QUEUE_URL",
	}
	programs = map[string]suitetest.Program{
		migrations.Registry: suitetest.Registry, migrations.Catalog: suitetest.Catalog,
		migrations.Scheduler: suitetest.Scheduler, migrations.Queue: suitetest.Queue,
	}
)

func (a *apart) file(service string) string { return filepath.Join(a.dir, service+".db") }

// stopAndCopy is a copy by hand: of a file whose service has ended by itself.
func (a *apart) stopAndCopy(t *testing.T, service, dir string) {
	t.Helper()
	require.Zero(t, a.services[service].Stop(t))
	require.NoFileExists(t, a.file(service)+"-wal", "the file is whole by itself")
	data, err := os.ReadFile(a.file(service))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, service+".db"), data, 0o600))
}

func queueOf(t *testing.T, url string) *queueapi.Client {
	t.Helper()
	hc := httpx.NewHTTPClient()
	t.Cleanup(hc.CloseIdleConnections)
	client, err := queueapi.NewClient(url, hc)
	require.NoError(t, err)
	return client
}

// While the scheduler is away nothing is handed over, so the files of the others
// may be copied one after another, though workers go on.
func TestBackup_FilesOneByOneFitWithoutTheScheduler(t *testing.T) {
	t.Parallel()
	a, dir := serveApart(t), t.TempDir()
	startWorkers(t, a.gateway.URL)
	client := suitetest.Connect(t, a.gateway.URL)
	version := client.Publish(t, "errand", errand)
	const tasks = 300
	require.NoError(t, create(t.Context(), client, version, tasks))
	suitetest.Await(t, taskTimeout, func() error {
		if completed, err := count(t.Context(), client, version, "completed"); err != nil || completed == 0 {
			return errors.Join(errors.New("no task is completed"), err)
		}
		return nil
	})
	a.stopAndCopy(t, migrations.Scheduler, dir)
	a.stopAndCopy(t, migrations.Registry, dir)
	// Pull workers go on; their results wait.
	jobs := queueOf(t, a.gateway.URL)
	suitetest.Await(t, taskTimeout, func() error {
		stats, err := jobs.Stats(t.Context())
		for _, one := range stats {
			if one.Ready+one.Claimed > 0 {
				return fmt.Errorf("%d jobs are ready", one.Ready)
			}
		}
		return err
	})
	a.stopAndCopy(t, migrations.Queue, dir)
	a.stopAndCopy(t, migrations.Catalog, dir)
	require.Zero(t, a.gateway.Stop(t))

	restored := serveData(t, a.gateway.Addr, dir)
	client.AwaitWorker(t, "transform")
	require.Equal(t, tasks, awaitAll(t, client, version))
	requireRight(t, client, version)
	require.Zero(t, restored.Stop(t))
}
