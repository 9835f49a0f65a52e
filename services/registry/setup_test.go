package registry_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"github.com/pocketflowgo/pocketflow/services/registry"
	"github.com/pocketflowgo/pocketflow/shared/api/registryapi"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/httpx/inproc"
)

// instance is a registry under test, called through its handler.
type instance struct {
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
	service, err := registry.New(t.Context(), cfg, registry.Deps{Log: zaptest.NewLogger(t), HTTP: http.DefaultClient})
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
	return &instance{t: t, service: service, client: client, stop: stop}
}

func (i *instance) do(r *http.Request) *httptest.ResponseRecorder {
	i.t.Helper()
	w := httptest.NewRecorder()
	i.service.Handler().ServeHTTP(w, r)
	return w
}

func (i *instance) post(path, body string) *httptest.ResponseRecorder {
	i.t.Helper()
	return i.do(httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)))
}

func (i *instance) get(path string) *httptest.ResponseRecorder {
	i.t.Helper()
	return i.do(httptest.NewRequest(http.MethodGet, path, http.NoBody))
}

// register registers a worker of the service "sum".
func (i *instance) register(id string, load int) {
	i.t.Helper()
	require.NoError(i.t, i.client.Register(i.t.Context(), registryapi.RegisterRequest{
		ID: id, URL: "http://10.0.0.1:9000", Services: []string{"sum"}, Load: load,
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

func decode[T any](t *testing.T, w *httptest.ResponseRecorder) T {
	t.Helper()
	var out T
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &out), w.Body.String())
	return out
}

// requireProblem holds an answer to the shape of all errors and returns it.
func requireProblem(t *testing.T, w *httptest.ResponseRecorder, status int, code string) httpx.Problem {
	t.Helper()
	require.Equal(t, status, w.Code, w.Body.String())
	require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
	p := decode[httpx.Problem](t, w)
	require.Equal(t, code, string(p.Code))
	require.Equal(t, status, p.Status)
	require.NotEmpty(t, p.Detail)
	require.Equal(t, p.Detail, p.Error)
	return p
}

func faultPaths(p httpx.Problem) []string {
	var paths []string
	for _, f := range p.Faults {
		paths = append(paths, f.Path)
	}
	return paths
}
