package execute

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/localfunc"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/workers"
	"github.com/pocketflowgo/pocketflow/shared/api/registryapi"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/tracing"
)

// registry is a fixed set of workers, in the order in which turns are taken.
type registry []string

func (r registry) Snapshot(ctx context.Context, version string, _ time.Duration) (registryapi.Snapshot, error) {
	if version != "" {
		<-ctx.Done()
		return registryapi.Snapshot{}, ctx.Err()
	}
	s := registryapi.Snapshot{Version: "1"}
	for i, url := range r {
		s.Workers = append(s.Workers, registryapi.Worker{ID: string(rune('a' + i)), URL: url, Type: "http", Services: []string{"s"}})
	}
	return s, nil
}

func setup(t *testing.T, urls ...string) *Executor {
	t.Helper()
	return setupWaiting(t, 10*time.Millisecond, urls...)
}

func setupWaiting(t *testing.T, noWorkerWait time.Duration, urls ...string) *Executor {
	t.Helper()
	pool := workers.NewPool(workers.Config{MaxPerWorker: 10, NoWorkerWait: noWorkerWait}, registry(urls), zap.NewNop())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		pool.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return New(Deps{Pool: pool, Funcs: localfunc.Builtin(zap.NewNop()), Log: zap.NewNop()})
}

func worker(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func answers(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func execution() engine.Execution {
	return engine.Execution{
		RunID: "run-1", NodeKey: "n", Path: "n", Visit: 1, Attempt: 2, Timeout: 10 * time.Second,
		Exec:  &flow.Exec{Type: flow.ExecHTTP, Service: "s"},
		Input: json.RawMessage(`{"n":12345678901234567890.10}`), Params: json.RawMessage(`{"p":1}`),
	}
}

// taskTrace is the trace of the task that is executed.
const taskTrace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func do(t *testing.T, e *Executor, x engine.Execution) engine.RunResult {
	t.Helper()
	result, err := e.Do(tracing.Join(t.Context(), taskTrace), "task-1", x)
	require.NoError(t, err)
	require.Equal(t, x.RunID, result.RunID)
	return result
}

// closedPort is an address that refuses connections.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return "http://" + l.Addr().String()
}

func TestPush_SendsTheDocumentedRequest(t *testing.T) {
	t.Parallel()
	var got *http.Request
	var body string
	url := worker(t, func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		got, body = r, string(data)
		_, _ = io.WriteString(w, `{"result":{"n":1.50},"error":null}`)
	})
	result := do(t, setup(t, url+"/"), execution())
	require.Nil(t, result.Error)
	require.Equal(t, `{"n":1.50}`, string(result.Result), "byte for byte")
	require.Equal(t, "a", result.WorkerID)
	require.Equal(t, "POST /exec/s", got.Method+" "+got.URL.Path)
	require.Equal(t, `{"input":{"n":12345678901234567890.10},"params":{"p":1}}`, body)
	require.Equal(t, "run-1", got.Header.Get("Idempotency-Key"))
	require.Equal(t, "task-1", got.Header.Get("X-PocketFlow-Task"))
	require.Equal(t, "n", got.Header.Get("X-PocketFlow-Node"))
	require.Equal(t, "2", got.Header.Get("X-PocketFlow-Attempt"))
	require.Equal(t, taskTrace, got.Header.Get("traceparent"))
}

func TestPush_MovesOnWhenAWorkerNeverTookTheWork(t *testing.T) {
	t.Parallel()
	good := worker(t, answers(200, `{"result":1}`))
	for name, bad := range map[string]string{
		"refused": closedPort(t),
		"502":     worker(t, answers(502, "")),
		"503":     worker(t, answers(503, `{"error":"full"}`)),
		"504":     worker(t, answers(504, "")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result := do(t, setup(t, bad, good), execution())
			require.Nil(t, result.Error)
			require.Equal(t, "b", result.WorkerID)
		})
	}
}

func TestPush_WaitsForAWorkerThatIsStartedAgain(t *testing.T) {
	t.Parallel()
	url := closedPort(t)
	ended := make(chan engine.RunResult, 1)
	executor := setupWaiting(t, time.Minute, url)
	go func() {
		result, _ := executor.Do(t.Context(), "task-1", execution())
		ended <- result
	}()
	require.Eventually(t, func() bool { return testutil.ToFloat64(executor.push.metrics.calls[CodeUnreachable]) > 0 }, 10*time.Second, time.Millisecond)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", strings.TrimPrefix(url, "http://"))
	require.NoError(t, err)
	again := &httptest.Server{Listener: listener, Config: &http.Server{Handler: answers(200, `{"result":1}`), ReadHeaderTimeout: time.Second}}
	again.Start()
	t.Cleanup(again.Close)
	require.Nil(t, (<-ended).Error)

	x := execution()
	x.Timeout = 50 * time.Millisecond
	result, err := setupWaiting(t, time.Minute, closedPort(t)).Do(t.Context(), "task-1", x)
	require.NoError(t, err)
	require.Equal(t, CodeUnreachable, result.Error.Code, "and not that it took too long")
}

func TestPush_FailsWhenMaxAttemptsWorkersWereTried(t *testing.T) {
	t.Parallel()
	bad, good := worker(t, answers(503, "")), worker(t, answers(200, `{"result":1}`))
	x := execution()
	x.Exec.Routing.MaxAttempts = 2
	result := do(t, setup(t, bad, bad+"/", good), x)
	require.Equal(t, CodeUnreachable, result.Error.Code)
	require.False(t, result.Error.Final)
}

func TestPush_EndsTheAttemptOnAnyOtherAnswer(t *testing.T) {
	t.Parallel()
	never := worker(t, func(http.ResponseWriter, *http.Request) { t.Error("the second worker must not be called") })
	cases := []struct {
		name    string
		handler http.HandlerFunc
		code    string
		message string
		final   bool
	}{
		{name: "an error", handler: answers(200, `{"result":null,"error":"boom"}`), code: CodeWorkerError, message: "boom"},
		{name: "an error that is final", handler: answers(200, `{"error":"bad input","retryable":false}`), code: CodeWorkerError, message: "bad input", final: true},
		{name: "an error object", handler: answers(200, `{"error":{"why":"x"}}`), code: CodeWorkerError, message: `{"why":"x"}`},
		{name: "500", handler: answers(500, "oops"), code: CodeStatus, message: "500"},
		{name: "400 with the documented body", handler: answers(400, `{"error":"no such thing","retryable":false}`), code: CodeStatus, message: "no such thing", final: true},
		{name: "a redirect", handler: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		}, code: CodeStatus, message: "302"},
		{name: "not JSON", handler: answers(200, "<html>"), code: CodeBadAnswer},
		{name: "another JSON", handler: answers(200, `[1]`), code: CodeBadAnswer},
		{name: "an object without result or error", handler: answers(200, `{"ok":true}`), code: CodeBadAnswer},
		{name: "nothing", handler: answers(200, ""), code: CodeBadAnswer},
		{name: "not UTF-8", handler: answers(200, "{\"result\":\"\xff\"}"), code: CodeBadAnswer, message: "UTF-8"},
		{name: "too much", handler: answers(200, `{"result":"`+strings.Repeat("x", maxAnswer)+`"}`), code: CodeTooLarge},
		{name: "a broken connection", handler: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, code: CodeLost},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			result := do(t, setup(t, worker(t, c.handler), never), execution())
			require.NotNil(t, result.Error)
			require.Equal(t, c.code, result.Error.Code)
			require.Contains(t, result.Error.Message, c.message)
			require.Equal(t, c.final, result.Error.Final)
		})
	}
}

func TestPush_TimesOut(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	url := worker(t, func(_ http.ResponseWriter, r *http.Request) {
		// The server notices a caller that hangs up only once the body is read.
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-r.Context().Done():
		case <-release:
		}
	})
	t.Cleanup(func() { close(release) })
	x := execution()
	x.Timeout = 20 * time.Millisecond
	require.Equal(t, engine.CodeTimeout, do(t, setup(t, url), x).Error.Code)
}

func TestPush_BoundsTheWholeAttempt(t *testing.T) {
	t.Parallel()
	busy := worker(t, answers(503, ""))
	x := execution()
	x.Timeout, x.Exec.Routing.Delay = 20*time.Millisecond, time.Hour
	require.Equal(t, engine.CodeTimeout, do(t, setup(t, busy, busy+"/"), x).Error.Code, "pauses count")
}

func TestPush_DoesNotPauseAfterTheLastWorker(t *testing.T) {
	t.Parallel()
	x := execution()
	x.Exec.Routing.Delay = time.Hour
	require.Equal(t, CodeUnreachable, do(t, setup(t, worker(t, answers(503, ""))), x).Error.Code)
}

// The transport repeats a request by itself when a connection that it had kept
// breaks and it takes the request for idempotent.
func TestPush_IsNotRepeatedWhenAKeptConnectionBreaks(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	url := worker(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if calls.Add(1) > 1 {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, `{"result":1}`)
	})
	e := setup(t, url)
	require.Nil(t, do(t, e, execution()).Error)
	require.Equal(t, CodeLost, do(t, e, execution()).Error.Code)
	require.Equal(t, int64(2), calls.Load())
}

func TestPush_NeverDialsAMetadataAddress(t *testing.T) {
	t.Parallel()
	result := do(t, setup(t, "http://169.254.169.254"), execution())
	require.Equal(t, CodeUnreachable, result.Error.Code)
}

func TestPush_WithoutAWorkerFails(t *testing.T) {
	t.Parallel()
	require.Equal(t, CodeNoWorker, do(t, setup(t), execution()).Error.Code)
}

func TestDo_HasNoResultWhenItIsAborted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	url := worker(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		cancel()
		<-r.Context().Done()
	})
	_, err := setup(t, url).Do(ctx, "task-1", execution())
	require.ErrorIs(t, err, context.Canceled)
}

func TestLocal(t *testing.T) {
	t.Parallel()
	funcs := localfunc.Registry{
		"ok":    func(context.Context, localfunc.Call) (json.RawMessage, error) { return json.RawMessage(`1`), nil },
		"bad":   func(context.Context, localfunc.Call) (json.RawMessage, error) { return nil, errors.New("bad") },
		"panic": func(context.Context, localfunc.Call) (json.RawMessage, error) { panic("oh") },
		"slow": func(ctx context.Context, _ localfunc.Call) (json.RawMessage, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		},
	}
	e := New(Deps{Funcs: funcs, Log: zap.NewNop()})
	for name, code := range map[string]string{"ok": "", "bad": CodeFuncError, "panic": CodeFuncError, "slow": engine.CodeTimeout, "none": CodeUnknownFunc} {
		x := execution()
		x.Exec.Type, x.Exec.Func, x.Timeout = flow.ExecLocalFunc, name, 10*time.Millisecond
		result := do(t, e, x)
		if code == "" {
			require.Nil(t, result.Error, name)
			continue
		}
		require.Equal(t, code, result.Error.Code, name)
		require.Equal(t, name == "none", result.Error.Final, name)
	}
}
