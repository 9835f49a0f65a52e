package registry_test

import (
	"context"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"github.com/pocketflowgo/pocketflow/services/registry"
	"github.com/pocketflowgo/pocketflow/shared/api/registryapi"
	"github.com/pocketflowgo/pocketflow/shared/httpx/httpxtest"
	"github.com/pocketflowgo/pocketflow/shared/httpx/inproc"
)

// instance is a registry under test, called through its handler.
type instance struct {
	httpxtest.Caller
	t       *testing.T
	service *registry.Service
	client  *registryapi.Client
	stop    func() // ends Run and closes; may be called twice
}

func config(t *testing.T) registry.Config {
	t.Helper()
	return registry.Config{
		DB:          "sqlite://" + filepath.Join(t.TempDir(), "registry.db"),
		AutoMigrate: true,
		TTL:         15 * time.Second,
		Keep:        24 * time.Hour,
	}
}

func setup(t *testing.T) *instance {
	t.Helper()
	return open(t, config(t))
}

// open makes a registry and runs it until the test ends.
func open(t *testing.T, cfg registry.Config) *instance {
	t.Helper()
	service, err := registry.New(t.Context(), cfg, registry.Deps{Log: zaptest.NewLogger(t)})
	require.NoError(t, err)
	transport := inproc.NewTransport(http.DefaultTransport)
	transport.Handle("registry.test", service.Handler())
	client, err := registryapi.NewClient("http://registry.test", &http.Client{Transport: transport})
	require.NoError(t, err)

	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- service.Run(ctx) }()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		require.NoError(t, <-ended)
		require.NoError(t, service.Close())
	}
	t.Cleanup(stop)
	return &instance{Caller: httpxtest.Caller{Handler: service.Handler()}, t: t, service: service, client: client, stop: stop}
}

// register registers a worker of the service "sum".
func (i *instance) register(id string, load int) {
	i.t.Helper()
	require.NoError(i.t, i.client.Register(i.t.Context(), registryapi.RegisterRequest{
		ID: id, URL: "http://10.0.0.1:9000", Services: []string{"sum"}, Load: registryapi.Load(load),
	}))
}

// statuses are the listed workers, id: status.
func (i *instance) statuses() map[string]string {
	i.t.Helper()
	workers, err := i.client.List(i.t.Context(), "")
	require.NoError(i.t, err)
	out := map[string]string{}
	for _, w := range workers {
		out[w.ID] = w.Status
	}
	return out
}
