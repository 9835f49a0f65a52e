package proxy_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/services/gateway/internal/proxy"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/httpx/inproc"
)

// BenchmarkForward is what the gateway adds to a call when the service is in
// the same process: B/op shows the buffers that are pooled.
func BenchmarkForward(b *testing.B) {
	transport := inproc.NewTransport(http.DefaultTransport)
	transport.Handle("catalog", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"id":"flow-1"}`)
	}))
	backend := proxy.NewBackend(proxy.Catalog, &url.URL{Scheme: "http", Host: "catalog"}, transport)
	router, err := httpx.NewRouter(httpx.Deps{Log: zap.NewNop()}, []httpx.Route{
		{Method: http.MethodGet, Path: "/flows", Handler: backend.Forward},
	})
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		router.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/flows", http.NoBody))
		if w.Code != http.StatusOK {
			b.Fatal(w.Code)
		}
	}
}
