//go:build unix

package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/tests/pgtest"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

// parts are the services that have a part in queued work, each a process of its
// own, so that one can be away while the others go on.
type parts struct {
	scheduler, queue *suitetest.Server
	registry         string // URL
	client           *suitetest.Client
	jobs             *queueapi.Client
}

// startParts starts them with fresh databases: those of the scheduler and of
// the queue-gateway are of the kind.
func (d driver) startParts(t *testing.T, env ...string) parts {
	t.Helper()
	registry := suitetest.Serve(t, suitetest.Addr(t), suitetest.Command{
		Program: suitetest.Registry, Args: []string{"--db=" + t.TempDir() + "/registry.db"},
	})
	catalog := suitetest.Serve(t, suitetest.Addr(t), suitetest.Command{
		Program: suitetest.Catalog, Args: []string{"--db=" + t.TempDir() + "/catalog.db"},
	})
	queueAddr, schedulerAddr := suitetest.Addr(t), suitetest.Addr(t)
	p := parts{registry: registry.URL}
	p.queue = suitetest.Serve(t, queueAddr, suitetest.Command{
		Program: suitetest.Queue, Env: env,
		Args: []string{"--db=" + d.fresh(t, "queue"), "--scheduler-url=http://" + schedulerAddr},
	})
	p.scheduler = suitetest.Serve(t, schedulerAddr, suitetest.Command{
		Program: suitetest.Scheduler, Env: append(env, "SCHEDULER_LEASE_TTL="+shortLease.String()),
		Args: []string{
			"--db=" + d.fresh(t, "scheduler"), "--registry-url=" + registry.URL, "--catalog-url=" + catalog.URL, "--queue-url=http://" + queueAddr,
		},
	})
	p.client = suitetest.ConnectEach(t, suitetest.Bases{Registry: registry.URL, Catalog: catalog.URL, Scheduler: p.scheduler.URL})
	p.jobs = connectQueue(t, p.queue.URL)
	return p
}

// fresh is the data source name of a new database of a service.
func (d driver) fresh(t *testing.T, service string) string {
	t.Helper()
	if d == onPostgres {
		return pgtest.Migrated(t, service)
	}
	return t.TempDir() + "/" + service + ".db"
}

func connectQueue(t *testing.T, url string) *queueapi.Client {
	t.Helper()
	hc := httpx.NewHTTPClient()
	t.Cleanup(hc.CloseIdleConnections)
	client, err := queueapi.NewClient(url, hc)
	require.NoError(t, err)
	return client
}

// claimTimeVariable sets a demo worker's claimTime: so soon are jobs ready again
// that a killed worker had.
const claimTimeVariable = "WORKER_VISIBILITY"

// pullWorker starts a demo worker that pulls, with so many slots.
func (p parts) pullWorker(t *testing.T, journal *suitetest.Journal, args ...string) *suitetest.Server {
	t.Helper()
	return suitetest.Serve(t, suitetest.Addr(t), suitetest.Command{
		Program: suitetest.DemoWorker, Env: []string{claimTimeVariable + "=" + claimTime.String()},
		Args: append([]string{
			"--mode=pull", "--registry-url=" + p.registry, "--queue-url=" + p.queue.URL, "--journal=" + journal.Path,
		}, args...),
	})
}

// queuedTripling multiplies n by three in place, by one queued job.
const queuedTripling = `{"start": "only", "nodes": {"only": {
  "kind": "executor", "exec_type": "queue", "service": "transform", "params": {"op": "mul"},
  "prep": {"input_map": {"a": "$params.n", "b": 3}}, "post": {"output_key": "n"}}}}`

// await waits for what is only a matter of one task.
func await(t *testing.T, look func() error) {
	t.Helper()
	suitetest.Await(t, taskTimeout, look)
}

// postStatus is the status of an answer.
func postStatus(t *testing.T, url string, body any) int {
	t.Helper()
	data, err := json.Marshal(body)
	require.NoError(t, err)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(data))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response.StatusCode
}

// unlessOver is the error of a request, but that of being cut off.
func unlessOver(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the caller has ended it
	}
	return err
}
