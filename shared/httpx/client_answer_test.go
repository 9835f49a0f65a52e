package httpx_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/httpx"
)

func TestClient_SaysThatAnAnswerIsTooLarge(t *testing.T) {
	t.Parallel()
	const most = 64 << 20
	chunk := bytes.Repeat([]byte(" "), 1<<20)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for range most / len(chunk) {
			_, _ = w.Write(chunk)
		}
		if r.URL.Path == "/over" {
			_, _ = w.Write([]byte("1"))
		}
	}))
	defer server.Close()
	client, err := httpx.NewClient(server.URL, httpx.NewHTTPClient())
	require.NoError(t, err)
	var out int
	_, err = client.Do(t.Context(), httpx.Call{Method: http.MethodGet, Path: "/over", Out: &out})
	require.ErrorContains(t, err, "GET /over: the answer is over 67108864 bytes")
	_, err = client.Do(t.Context(), httpx.Call{Method: http.MethodGet, Path: "/full", Out: &out})
	require.ErrorContains(t, err, "decode the answer", "as many bytes as that are read")
}
