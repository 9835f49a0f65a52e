package demoworker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/registryapi"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/worker"
)

// registry answers every call with yes and hands on what registers.
func registry(t *testing.T) (base string, registered <-chan registryapi.RegisterRequest) {
	t.Helper()
	seen := make(chan registryapi.RegisterRequest, 16)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/workers/register" {
			var req registryapi.RegisterRequest
			if json.NewDecoder(r.Body).Decode(&req) == nil {
				seen <- req
			}
		}
		_ = httpx.WriteJSON(w, http.StatusOK, registryapi.OK{OK: "1"})
	}))
	t.Cleanup(server.Close)
	return server.URL, seen
}

func start(t *testing.T, cfg Config) {
	t.Helper()
	service, err := New(cfg, Deps{})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- service.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
	})
}

func call(t *testing.T, url, runID, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewBufferString(body))
	require.NoError(t, err)
	req.Header.Set(httpx.HeaderIdempotencyKey, runID)
	req.Header.Set(httpx.HeaderTask, "task-1")
	req.Header.Set(httpx.HeaderNode, "B")
	req.Header.Set(httpx.HeaderAttempt, "2")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, string(data))
	return string(data)
}

func TestService_RegistersAnswersAndKeepsAJournal(t *testing.T) {
	t.Parallel()
	base, registered := registry(t)
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	start(t, Config{Addr: "127.0.0.1:0", Base: base, Journal: path, Delay: time.Millisecond})

	reg := <-registered
	require.Equal(t, []string{"flaky", "nap", "route", "sum", "transform"}, reg.Services)
	require.Equal(t, "http", reg.Type)

	require.JSONEq(t, `{"result":"ABC","error":""}`, call(t, reg.URL+"/exec/transform", "run-1", `{"input":"abc"}`))
	require.JSONEq(t, `{"result":"ABC","error":""}`, call(t, reg.URL+"/exec/transform", "run-1", `{"input":"abc"}`))
	require.JSONEq(t, `{"result":null,"error":"sum: there is neither an input nor params.values","retryable":false}`,
		call(t, reg.URL+"/exec/sum", "run-2", `{}`))

	lines := journalLines(t, path)
	require.Len(t, lines, 2, "the second delivery of run-1 is no second execution")
	require.Equal(t, Execution{Service: "transform", IdempotencyKey: "run-1", Attempt: 2, Task: "task-1", Node: "B", At: lines[0].At}, lines[0])
	require.Equal(t, "run-2", lines[1].IdempotencyKey)
}

func journalLines(t *testing.T, path string) []Execution {
	t.Helper()
	file, err := os.Open(path)
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	var lines []Execution
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		var line Execution
		require.NoError(t, json.Unmarshal(scanner.Bytes(), &line))
		lines = append(lines, line)
	}
	return lines
}

func TestConfig_ListensWhereTheURLPoints(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{}, "127.0.0.1:8081"},
		{Config{URL: "http://localhost:9100"}, "127.0.0.1:9100"},
		{Config{URL: "http://127.0.0.1:9100"}, "127.0.0.1:9100"},
		{Config{URL: "http://worker.example:9100"}, "127.0.0.1:8081"},
		{Config{URL: "http://localhost:9100", Addr: "0.0.0.0:80"}, "0.0.0.0:80"},
		{Config{Mode: worker.Pull}, ""},
	} {
		require.Equal(t, c.want, c.cfg.ListenAddr(), "%+v", c.cfg)
	}
}

func TestNew_NamesEveryFault(t *testing.T) {
	t.Parallel()
	_, err := New(Config{Mode: worker.Pull, Delay: -1}, Deps{})
	require.ErrorContains(t, err, "delay must not be negative")
	require.ErrorContains(t, err, "a base URL or a registry URL is required")
	require.ErrorContains(t, err, "a base URL or a queue URL is required to pull")
}
