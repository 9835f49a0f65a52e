package httpx_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/httpx/inproc"
)

// One op is a call between services, both sides: over loopback, and inside one
// process.
func BenchmarkClient_RoundTrip(b *testing.B) {
	type message struct {
		ID   string         `json:"id"`
		Data map[string]any `json:"data"`
	}
	router, err := httpx.NewRouter(httpx.Deps{Log: zap.NewNop()}, []httpx.Route{{
		Method: http.MethodPost, Path: "/echo",
		Handler: func(w http.ResponseWriter, r *http.Request) error {
			var in message
			if err := httpx.Decode(r, &in); err != nil {
				return err
			}
			return httpx.WriteJSON(w, http.StatusOK, in)
		},
	}})
	require.NoError(b, err)
	server := httptest.NewServer(router)
	defer server.Close()
	inside := inproc.NewTransport(nil)
	inside.Handle("echo", router)
	for name, way := range map[string]struct {
		base   string
		client *http.Client
	}{
		"Loopback":  {server.URL, httpx.NewHTTPClient()},
		"InProcess": {"http://echo", &http.Client{Transport: inside}},
	} {
		b.Run(name, func(b *testing.B) {
			client, err := httpx.NewClient(way.base, way.client)
			require.NoError(b, err)
			in := message{ID: "task-1", Data: map[string]any{"a": 1.0, "b": "text"}}
			b.ReportAllocs()
			for b.Loop() {
				var out message
				_, err := client.Do(b.Context(), httpx.Call{Method: http.MethodPost, Path: "/echo", In: in, Out: &out})
				require.NoError(b, err)
			}
		})
	}
}
