package catalog_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	catalog "github.com/pocketflowgo/pocketflow/services/flow-catalog"
	"github.com/pocketflowgo/pocketflow/shared/api/catalogapi"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/httpx/inproc"
)

// instance is a catalog under test, called through its handler.
type instance struct {
	t       *testing.T
	service *catalog.Service
	client  *catalogapi.Client
}

func config(t *testing.T) catalog.Config {
	t.Helper()
	return catalog.Config{
		DB:                 "sqlite://" + filepath.Join(t.TempDir(), "catalog.db"),
		AutoMigrate:        true,
		MaxDefinitionBytes: 1 << 20,
		MaxNodes:           2000,
		MaxNesting:         16,
	}
}

func setup(t *testing.T) *instance {
	t.Helper()
	c := open(t, config(t))
	t.Cleanup(func() { require.NoError(t, c.service.Close()) })
	return c
}

func open(t *testing.T, cfg catalog.Config) *instance {
	t.Helper()
	service, err := catalog.New(t.Context(), cfg, catalog.Deps{Log: zaptest.NewLogger(t), HTTP: http.DefaultClient})
	require.NoError(t, err)
	transport := inproc.NewTransport(http.DefaultTransport)
	transport.Handle("catalog.test", service.Handler())
	client, err := catalogapi.NewClient("http://catalog.test", &http.Client{Transport: transport})
	require.NoError(t, err)
	return &instance{t: t, service: service, client: client}
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

func (i *instance) flow(name string) string {
	i.t.Helper()
	id, err := i.client.CreateFlow(i.t.Context(), catalogapi.CreateFlowRequest{Name: name})
	require.NoError(i.t, err)
	return id
}

// minimal is the smallest definition, with white space that is not kept.
const minimal = `{ "start": "A", "nodes": { "A": {"kind": "executor", "service": "sum"} } }`

const minimalCanonical = `{"start":"A","nodes":{"A":{"kind":"executor","service":"sum"}}}`

func body(t *testing.T, fields map[string]any) string {
	t.Helper()
	data, err := json.Marshal(fields)
	require.NoError(t, err)
	return string(data)
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
