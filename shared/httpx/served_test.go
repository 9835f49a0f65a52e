package httpx_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/httpx/inproc"
	"github.com/pocketflowgo/pocketflow/shared/ids"
)

// watched is a router whose log and metrics a test can read.
type watched struct {
	http.Handler
	logs    *observer.ObservedLogs
	metrics *prometheus.Registry
}

func watch(t *testing.T) watched {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	registry := prometheus.NewRegistry()
	metrics, err := httpx.NewMetrics(registry, "test")
	require.NoError(t, err)
	answer := func(w http.ResponseWriter, r *http.Request) error {
		httpx.NameTask(w, r.URL.Query().Get("task_id"))
		if r.URL.Query().Has("fail") {
			return errs.New(errs.Unavailable, "away")
		}
		return httpx.WriteJSON(w, http.StatusOK, "answer")
	}
	handler, err := httpx.NewRouter(httpx.Deps{Log: zap.New(core), Metrics: metrics}, []httpx.Route{
		{Method: http.MethodGet, Path: "/flows", Aliases: []string{"/list"}, Handler: answer},
		{Method: http.MethodPost, Path: "/flows", Handler: answer},
		{Method: http.MethodGet, Path: "/internal/flows", Handler: answer, Internal: true},
	})
	require.NoError(t, err)
	return watched{Handler: handler, logs: logs, metrics: registry}
}

func (w watched) ask(method, target, body string, header ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	w.ServeHTTP(rec, req)
	return rec
}

func TestRequestLine_TellsTheTemplateAndNothingOfTheCallers(t *testing.T) {
	t.Parallel()
	w := watch(t)
	task := ids.New(ids.Task)
	w.ask(http.MethodPost, "/api/flows?task_id="+task+"&token=secret", `{"password":"secret"}`, "X-Request-Id", "abc", "Authorization", "secret")

	lines := w.logs.TakeAll()
	require.Len(t, lines, 1)
	require.Equal(t, "request", lines[0].Message)
	require.Equal(t, zap.InfoLevel, lines[0].Level)
	fields := lines[0].ContextMap()
	require.Positive(t, fields["took"])
	delete(fields, "took")
	require.Equal(t, map[string]any{
		"request_id": "abc", "method": "POST", "route": "/api/flows", "status": int64(200), "bytes": int64(9), "task_id": task,
	}, fields)
}

func TestRequestLine_IsAsLoudAsTheRequestMatters(t *testing.T) {
	t.Parallel()
	w := watch(t)
	for _, test := range []struct {
		target string
		want   zapcore.Level
	}{
		{"/flows", zap.InfoLevel},
		{"/nowhere", zap.InfoLevel},
		{"/flows?fail", zap.WarnLevel},
		{"/internal/flows", zap.DebugLevel},
		{"/internal/flows?fail", zap.WarnLevel},
	} {
		w.ask(http.MethodGet, test.target, "")
		lines := w.logs.FilterMessage("request").TakeAll()
		w.logs.TakeAll()
		require.Len(t, lines, 1, test.target)
		require.Equal(t, test.want, lines[0].Level, test.target)
	}

	transport := inproc.NewTransport(http.DefaultTransport)
	transport.Handle("flows.inproc", w)
	client, err := httpx.NewClient("http://flows.inproc", &http.Client{Transport: transport})
	require.NoError(t, err)
	_, err = client.Do(t.Context(), httpx.Call{Method: http.MethodGet, Path: "/flows"})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return w.logs.Len() == 1 }, 10*time.Second, time.Millisecond, "the line comes after the answer")
	require.Equal(t, zap.DebugLevel, w.logs.All()[0].Level, "the caller is in the same process")
}

func TestRequestID_IsTheCallersWhenItIsSane(t *testing.T) {
	t.Parallel()
	w := watch(t)
	require.Equal(t, "abc-1", w.ask(http.MethodGet, "/flows", "", "X-Request-Id", "abc-1").Header().Get("X-Request-Id"))
	for _, insane := range []string{"", "a b", "a\nb", "ü", strings.Repeat("x", 129)} {
		got := w.ask(http.MethodGet, "/flows", "", "X-Request-Id", insane).Header().Get("X-Request-Id")
		require.True(t, ids.Valid(ids.Request, got), "%q gave %q", insane, got)
	}
}

func TestNameTask_TellsNothingButIds(t *testing.T) {
	t.Parallel()
	w := watch(t)
	for _, text := range []string{"", "secret", "task-1", "task-%0d%0aX-Evil:1"} {
		require.Empty(t, w.ask(http.MethodGet, "/flows?task_id="+text, "").Header().Values(httpx.HeaderTask), text)
	}
}

func TestMetrics_HaveFewSeriesWhateverCallersSend(t *testing.T) {
	t.Parallel()
	w := watch(t)
	for _, target := range []string{"/flows", "/api/flows", "/list", "/api/list?page=2", "/wp-admin", "/a/b/c", "/flows/", "/internal/flows?fail"} {
		w.ask(http.MethodGet, target, "")
	}
	for _, method := range []string{"BREW", "WHEN", http.MethodDelete} {
		w.ask(method, "/flows", "")
	}
	require.NoError(t, testutil.GatherAndCompare(w.metrics, strings.NewReader(`
# HELP pocketflow_http_requests_in_flight Requests that are being answered, long polls that wait included.
# TYPE pocketflow_http_requests_in_flight gauge
pocketflow_http_requests_in_flight{component="test"} 0
# HELP pocketflow_http_requests_total Requests answered, by route template, method and status class.
# TYPE pocketflow_http_requests_total counter
pocketflow_http_requests_total{component="test",method="GET",route="/flows",status="2xx"} 4
pocketflow_http_requests_total{component="test",method="GET",route="/internal/flows",status="5xx"} 1
pocketflow_http_requests_total{component="test",method="GET",route="unmatched",status="4xx"} 3
pocketflow_http_requests_total{component="test",method="DELETE",route="/flows",status="4xx"} 1
pocketflow_http_requests_total{component="test",method="other",route="/flows",status="4xx"} 2
`), "pocketflow_http_requests_total", "pocketflow_http_requests_in_flight"))
	series, err := testutil.GatherAndCount(w.metrics, "pocketflow_http_request_duration_seconds")
	require.NoError(t, err)
	require.Equal(t, 5, series)
}

// BenchmarkRouter is what a router adds to each request; the log goes nowhere,
// as far as the writing of it.
func BenchmarkRouter(b *testing.B) {
	quiet := zap.NewNop()
	encoder := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	loud := zap.New(zapcore.NewCore(encoder, zapcore.AddSync(io.Discard), zap.InfoLevel))
	metrics, err := httpx.NewMetrics(prometheus.NewRegistry(), "bench")
	require.NoError(b, err)
	for name, deps := range map[string]httpx.Deps{
		"bare": {Log: quiet}, "counted": {Log: quiet, Metrics: metrics}, "logged": {Log: loud}, "both": {Log: loud, Metrics: metrics},
	} {
		b.Run(name, func(b *testing.B) {
			router, err := httpx.NewRouter(deps, []httpx.Route{{
				Method: http.MethodGet, Path: "/flows",
				Handler: func(w http.ResponseWriter, _ *http.Request) error {
					w.WriteHeader(http.StatusNoContent)
					return nil
				},
			}})
			require.NoError(b, err)
			req := httptest.NewRequest(http.MethodGet, "/flows", http.NoBody)
			b.ReportAllocs()
			for b.Loop() {
				router.ServeHTTP(httptest.NewRecorder(), req)
			}
		})
	}
}
