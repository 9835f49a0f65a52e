package gateway_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/services/gateway"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/httpx/inproc"
)

// setup makes a gateway before four services that answer with their host and
// the path that they were asked for.
func setup(t *testing.T, origins ...string) (http.Handler, *gateway.Service) {
	t.Helper()
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Host+r.URL.Path)
	})
	transport := inproc.NewTransport(http.DefaultTransport)
	for _, host := range []string{"registry", "catalog", "scheduler", "queue"} {
		transport.Handle(host, echo)
	}
	service, err := gateway.New(t.Context(), gateway.Config{
		RegistryURL: "http://registry", CatalogURL: "http://catalog",
		SchedulerURL: "http://scheduler", QueueURL: "http://queue",
		AllowedOrigins: origins,
	}, gateway.Deps{Log: zap.NewNop(), HTTP: &http.Client{Transport: transport}})
	require.NoError(t, err)
	return service.Handler(), service
}

func ask(h http.Handler, method, path string, header ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, path, http.NoBody)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w
}

func TestGateway_PassesEveryRouteToItsService(t *testing.T) {
	t.Parallel()
	h, service := setup(t)
	host := map[string]string{
		"workers": "registry", "register": "registry", "heartbeat": "registry", "list": "registry", "allocate": "registry",
		"flows": "catalog", "tasks": "scheduler", "approvals": "scheduler", "queue": "queue",
	}
	for _, route := range service.Routes() {
		if route.Path == "/openapi.yaml" {
			continue
		}
		for _, path := range route.Paths() {
			bare := strings.TrimPrefix(path, "/api")
			first, _, _ := strings.Cut(strings.TrimPrefix(bare, "/"), "/")
			w := ask(h, route.Method, path)
			require.Equal(t, http.StatusOK, w.Code, path)
			require.Equal(t, host[first]+bare, w.Body.String(), path)
		}
	}
}

func TestGateway_HidesWhatItDoesNotName(t *testing.T) {
	t.Parallel()
	h, _ := setup(t)
	for _, path := range []string{
		"/", "/api", "/internal/jobs", "/api/internal/jobs", "/flows/", "/flows/../internal/jobs",
		"/tasks/%2e%2e/internal/jobs", "/api/api/flows", "/metrics",
	} {
		w := ask(h, http.MethodGet, path)
		if w.Code == http.StatusMovedPermanently { // to the path without dots
			w = ask(h, http.MethodGet, w.Header().Get("Location"))
		}
		require.Equal(t, http.StatusNotFound, w.Code, path)
		require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"), path)
		require.Contains(t, w.Body.String(), `"code":"not_found"`, path)
	}
}

func TestGateway_RefusesAWrongMethodWithAllow(t *testing.T) {
	t.Parallel()
	h, _ := setup(t)
	w := ask(h, http.MethodDelete, "/flows")
	require.Equal(t, http.StatusMethodNotAllowed, w.Code)
	require.Equal(t, "GET, HEAD, OPTIONS, POST", w.Header().Get("Allow"))
	require.Contains(t, w.Body.String(), `"code":"method_not_allowed"`)
}

func TestGateway_ServesItsDescription(t *testing.T) {
	t.Parallel()
	h, _ := setup(t)
	w := ask(h, http.MethodGet, "/openapi.yaml")
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, "application/yaml", w.Header().Get("Content-Type"))
	require.True(t, strings.HasPrefix(w.Body.String(), "openapi: 3.1"), "begins with the OpenAPI version")
}

func TestGateway_AnswersPreflightsOfAllowedOriginsOnly(t *testing.T) {
	t.Parallel()
	preflight := []string{"Origin", "https://console.example", "Access-Control-Request-Method", "POST"}

	closed, _ := setup(t)
	w := ask(closed, http.MethodOptions, "/tasks", preflight...)
	require.Equal(t, http.StatusNoContent, w.Code)
	require.Empty(t, w.Header().Get("Access-Control-Allow-Origin"))

	open, _ := setup(t, "https://console.example")
	w = ask(open, http.MethodOptions, "/tasks", preflight...)
	require.Equal(t, http.StatusNoContent, w.Code)
	require.Equal(t, "https://console.example", w.Header().Get("Access-Control-Allow-Origin"))
	require.Contains(t, w.Header().Get("Access-Control-Allow-Headers"), "Idempotency-Key")
	require.Equal(t, "Origin", w.Header().Get("Vary"))

	w = ask(open, http.MethodGet, "/tasks", "Origin", "https://elsewhere.example")
	require.Empty(t, w.Header().Get("Access-Control-Allow-Origin"))
	w = ask(open, http.MethodGet, "/tasks", "Origin", "https://console.example")
	require.Equal(t, httpx.HeaderRequestID, w.Header().Get("Access-Control-Expose-Headers"))
}

func TestConfig_NamesEveryFault(t *testing.T) {
	t.Parallel()
	cfg := gateway.Config{
		RegistryURL: "127.0.0.1:8071", CatalogURL: "http://catalog", SchedulerURL: "", QueueURL: "http://queue",
		AllowedOrigins: []string{"https://console.example/"},
	}
	err := cfg.Validate()
	require.ErrorContains(t, err, `URL of the registry: "127.0.0.1:8071"`)
	require.ErrorContains(t, err, `URL of the scheduler: ""`)
	require.ErrorContains(t, err, `"https://console.example/" has more than scheme, host and port`)
	require.NotContains(t, err.Error(), "catalog")
}
