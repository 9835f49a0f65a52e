package contract

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/httpx"
)

// probes are served by shared/app for every process and are no routes of a
// service.
var probes = map[string]bool{"GET /healthz": true, "GET /readyz": true, "GET /metrics": true}

func TestRoutes_AreTheSameInDocumentTableAndServices(t *testing.T) {
	t.Parallel()
	var documented []string
	for path, item := range document(t).Paths.Map() {
		for method := range item.Operations() {
			if route := method + " " + path; !probes[route] {
				documented = append(documented, route)
			}
		}
	}
	all := services(t)
	table := public(all["gateway"].Routes())
	served := []string{"GET /openapi.yaml"} // the gateway's own
	for name, s := range all {
		if name != "gateway" {
			served = append(served, public(s.Routes())...)
		}
	}
	require.ElementsMatch(t, documented, table, "openapi.yaml and the gateway's table")
	require.ElementsMatch(t, documented, served, "openapi.yaml and the services' routes")
}

func public(routes []httpx.Route) []string {
	var out []string
	for _, r := range routes {
		if r.Internal {
			continue
		}
		for _, path := range append([]string{r.Path}, r.Aliases...) {
			out = append(out, r.Method+" "+path)
		}
	}
	return out
}

func TestRoutes_InternalOnesAreNotPassedOn(t *testing.T) {
	t.Parallel()
	all := services(t)
	internal := 0
	for _, s := range all {
		for _, r := range s.Routes() {
			require.Equal(t, r.Internal, strings.HasPrefix(r.Path, "/internal/"), "%s: the path says who a route is for", r.Path)
			if !r.Internal {
				continue
			}
			internal++
			for _, path := range []string{r.Path, "/api" + r.Path} {
				w := httptest.NewRecorder()
				all["gateway"].Handler().ServeHTTP(w, httptest.NewRequest(r.Method, path, http.NoBody))
				require.Equal(t, http.StatusNotFound, w.Code, path)
			}
		}
	}
	require.Positive(t, internal)
}
