//go:build unix

package suitetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/catalogapi"
	"github.com/pocketflowgo/pocketflow/shared/api/registryapi"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
)

// Client calls a suite through the typed clients of its services.
type Client struct {
	Workers *registryapi.Client
	Flows   *catalogapi.Client
	Tasks   *schedulerapi.Client
}

// Bases are where a suite's services are.
type Bases struct {
	Registry, Catalog, Scheduler string
	// Impatience is when a call to a server that says nothing is given up, as
	// errs.Unavailable; 0 for never.
	Impatience time.Duration
}

// Connect makes the clients of a suite behind one URL: a gateway's, or the
// all-in-one server's.
func Connect(t testing.TB, url string) *Client {
	t.Helper()
	return ConnectEach(t, Bases{Registry: url, Catalog: url, Scheduler: url})
}

// ConnectEach makes the clients of services that are reached directly.
func ConnectEach(t testing.TB, at Bases) *Client {
	t.Helper()
	hc := httpx.NewHTTPClient()
	hc.Timeout = at.Impatience
	t.Cleanup(hc.CloseIdleConnections)
	workers, err1 := registryapi.NewClient(at.Registry, hc)
	flows, err2 := catalogapi.NewClient(at.Catalog, hc)
	tasks, err3 := schedulerapi.NewClient(at.Scheduler, hc)
	require.NoError(t, errors.Join(err1, err2, err3))
	return &Client{Workers: workers, Flows: flows, Tasks: tasks}
}

// Publish makes a flow with one version and returns the version's id.
func (c *Client) Publish(t testing.TB, name, definition string) string {
	t.Helper()
	flow, err := c.Flows.CreateFlow(t.Context(), catalogapi.CreateFlowRequest{Name: name})
	require.NoError(t, err)
	version, err := c.Flows.CreateVersion(t.Context(), catalogapi.CreateVersionRequest{FlowID: flow, DefinitionJSON: definition})
	require.NoError(t, err)
	return version.ID
}

// AwaitWorker waits until an online worker offers the service.
func (c *Client) AwaitWorker(t testing.TB, service string) {
	t.Helper()
	Await(t, readyTimeout, func() error {
		workers, err := c.Workers.List(t.Context(), service)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(workers, func(w registryapi.Worker) bool { return w.Status == "online" }) {
			return fmt.Errorf("no worker offers %s", service)
		}
		return nil
	})
}
