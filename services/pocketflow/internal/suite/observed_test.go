package suite

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/obs"
)

const patience = 20 * time.Second

// watched is a running suite whose metrics and log a test can read.
type watched struct {
	*testing.T
	url     string
	metrics *prometheus.Registry
	logs    *observer.ObservedLogs
}

func watch(t *testing.T) watched {
	t.Helper()
	telemetry, err := obs.New(obs.Config{LogLevel: "error", LogFormat: obs.LogJSON, Version: "test", Commit: "none"})
	require.NoError(t, err)
	core, logs := observer.New(zap.DebugLevel)
	s, err := New(t.Context(), throwaway(t), Deps{Log: zap.New(core), Metrics: telemetry.Metrics})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	server := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		stop()
		server.Close()
		require.NoError(t, <-done)
		require.NoError(t, s.Close())
	})
	return watched{T: t, url: server.URL, metrics: telemetry.Metrics, logs: logs}
}

type object = map[string]any

// post sends a body and returns the answer, which must be a success.
func (w watched) post(path string, body any, header ...string) object {
	w.Helper()
	sent, err := json.Marshal(body)
	require.NoError(w, err)
	return w.send(http.MethodPost, path, bytes.NewReader(sent), header...)
}

func (w watched) send(method, path string, body io.Reader, header ...string) object {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), method, w.url+path, body)
	require.NoError(w, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(w, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(w, err)
	require.Equal(w, http.StatusOK, resp.StatusCode, "%s %s: %s", method, path, answer)
	out := object{}
	require.NoError(w, json.Unmarshal(answer, &out), string(answer))
	return out
}

// start publishes a flow of one executor and starts a task of it.
func (w watched) start(node object, header ...string) (task string) {
	w.Helper()
	node["kind"] = "executor"
	id := w.post("/flows", object{"name": w.Name()})["id"]
	w.post("/flows/version", object{"flow_id": id, "definition": object{"start": "only", "nodes": object{"only": node}}})
	return w.post("/tasks", object{"flow_id": id}, header...)["id"].(string)
}

func (w watched) awaitEnd(task, status string) {
	w.Helper()
	require.Eventually(w, func() bool {
		return w.send(http.MethodGet, "/tasks/get?id="+task, http.NoBody)["status"] == status
	}, patience, 5*time.Millisecond)
}

// worker is a push worker that answers every second call with an error.
func (w watched) worker() {
	w.Helper()
	failing := true
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		if failing = !failing; failing {
			_, _ = io.WriteString(rw, `{"result": 1}`)
			return
		}
		_, _ = io.WriteString(rw, `{"error": "not yet"}`)
	}))
	w.Cleanup(server.Close)
	w.post("/workers/register", object{"id": "w1", "type": "http", "url": server.URL, "services": []string{"greet"}})
}

func TestMetrics_TellWhatATaskDid(t *testing.T) {
	t.Parallel()
	w := watch(t)
	w.worker()
	w.awaitEnd(w.start(object{"service": "greet", "max_retries": 1}), "completed")

	require.NoError(t, testutil.GatherAndCompare(w.metrics, strings.NewReader(`
# HELP pocketflow_scheduler_tasks_created_total Tasks created.
# TYPE pocketflow_scheduler_tasks_created_total counter
pocketflow_scheduler_tasks_created_total 1
# HELP pocketflow_scheduler_tasks_finished_total Tasks that ended, by how.
# TYPE pocketflow_scheduler_tasks_finished_total counter
pocketflow_scheduler_tasks_finished_total{outcome="canceled"} 0
pocketflow_scheduler_tasks_finished_total{outcome="completed"} 1
pocketflow_scheduler_tasks_finished_total{outcome="failed"} 0
# HELP pocketflow_scheduler_retries_total Attempts after a node's first.
# TYPE pocketflow_scheduler_retries_total counter
pocketflow_scheduler_retries_total 1
# HELP pocketflow_scheduler_runs_finished_total Node runs that ended, by how; each attempt is one.
# TYPE pocketflow_scheduler_runs_finished_total counter
pocketflow_scheduler_runs_finished_total{status="canceled"} 0
pocketflow_scheduler_runs_finished_total{status="error"} 1
pocketflow_scheduler_runs_finished_total{status="ok"} 1
pocketflow_scheduler_runs_finished_total{status="timeout"} 0
# HELP pocketflow_scheduler_tasks Unfinished tasks in the database, by status.
# TYPE pocketflow_scheduler_tasks gauge
pocketflow_scheduler_tasks{status="canceling"} 0
pocketflow_scheduler_tasks{status="pending"} 0
pocketflow_scheduler_tasks{status="running"} 0
pocketflow_scheduler_tasks{status="waiting"} 0
pocketflow_scheduler_tasks{status="waiting_queue"} 0
# HELP pocketflow_registry_workers Workers by type and by whether they are heard of; all replicas of one database tell nearly the same.
# TYPE pocketflow_registry_workers gauge
pocketflow_registry_workers{status="offline",type="async"} 0
pocketflow_registry_workers{status="offline",type="http"} 0
pocketflow_registry_workers{status="offline",type="local"} 0
pocketflow_registry_workers{status="online",type="async"} 0
pocketflow_registry_workers{status="online",type="http"} 1
pocketflow_registry_workers{status="online",type="local"} 0
`), "pocketflow_scheduler_tasks_created_total", "pocketflow_scheduler_tasks_finished_total", "pocketflow_scheduler_retries_total",
		"pocketflow_scheduler_runs_finished_total", "pocketflow_scheduler_tasks", "pocketflow_registry_workers"))

	for series, want := range map[string]float64{
		`pocketflow_scheduler_worker_calls_total{result="ok"}`:                                                          1,
		`pocketflow_scheduler_worker_calls_total{result="worker_error"}`:                                                1,
		`pocketflow_scheduler_run_duration_seconds_count{exec_type="http",result="ok"}`:                                 1,
		`pocketflow_scheduler_run_duration_seconds_count{exec_type="http",result="error"}`:                              1,
		`pocketflow_scheduler_task_duration_seconds_count{outcome="completed"}`:                                         1,
		`pocketflow_http_requests_total{component="gateway",method="POST",route="/tasks",status="2xx"}`:                 1,
		`pocketflow_http_requests_total{component="scheduler",method="POST",route="/tasks",status="2xx"}`:               1,
		`pocketflow_http_request_duration_seconds_count{component="flow-catalog",method="POST",route="/flows/version"}`: 1,
	} {
		require.InDelta(t, want, w.scrape()[series], 0, series)
	}
	require.Positive(t, w.scrape()[`pocketflow_storage_commit_writes_count{database="scheduler"}`])
}

// scrape reads the values as a scraper does.
func (w watched) scrape() map[string]float64 {
	w.Helper()
	rec := httptest.NewRecorder()
	obs.MetricsHandler(w.metrics, zap.NewNop()).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	require.Equal(w, http.StatusOK, rec.Code)
	all := map[string]float64{}
	for line := range strings.Lines(rec.Body.String()) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		var value float64
		if json.Unmarshal([]byte(strings.TrimSpace(line[at:])), &value) == nil {
			all[line[:at]] = value
		}
	}
	return all
}

func TestRequests_AreOneLineWithOneIDInAllServices(t *testing.T) {
	t.Parallel()
	w := watch(t)
	task := w.start(object{"exec_type": "local_func", "func": "echo"}, httpx.HeaderRequestID, "abc")
	mine := func() *observer.ObservedLogs {
		return w.logs.FilterMessage("request").FilterField(zap.String("request_id", "abc"))
	}
	// The scheduler's line comes after its answer, the gateway's after that has gone on.
	require.Eventually(t, func() bool {
		return mine().FilterField(zap.String("service", "scheduler")).Len() == 1 &&
			mine().FilterField(zap.String("service", "gateway")).Len() == 1
	}, patience, time.Millisecond)
	require.Positive(t, mine().FilterField(zap.String("service", "flow-catalog")).Len(), "the scheduler asked for the flow")
	for _, line := range mine().All() {
		fields := line.ContextMap()
		want := zap.DebugLevel
		if fields["service"] == "gateway" {
			want = zap.InfoLevel
		}
		require.Equal(t, want, line.Level, fields)
		if fields["service"] != "flow-catalog" {
			require.Equal(t, task, fields["task_id"])
		}
	}
}

// described is a metric as the page or a suite tells it.
type described struct {
	kind   string
	labels string
}

var (
	tableRow  = regexp.MustCompile("(?m)^\\| `(pocketflow_[a-z_]+)` \\| ([a-z]+) \\|([^|]*)\\|")
	labelName = regexp.MustCompile("`([a-z_]+)`")
)

// documented are the metrics of docs/metrics.md.
func documented(t *testing.T) map[string]described {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "docs", "metrics.md"))
	require.NoError(t, err)
	all := map[string]described{}
	for _, row := range tableRow.FindAllStringSubmatch(string(page), -1) {
		require.NotContains(t, all, row[1], "listed twice")
		var labels []string
		for _, label := range labelName.FindAllStringSubmatch(row[3], -1) {
			labels = append(labels, label[1])
		}
		slices.Sort(labels)
		all[row[1]] = described{kind: row[2], labels: strings.Join(labels, ",")}
	}
	return all
}

func TestMetrics_AreThoseOfThePage(t *testing.T) {
	t.Parallel()
	w := watch(t)
	w.worker()
	w.awaitEnd(w.start(object{"service": "greet", "max_retries": 1}), "completed")
	w.start(object{"exec_type": "queue", "service": "pulled"})
	job := w.post("/queue/poll", object{"worker_id": "p1", "services": []string{"pulled"}, "wait_ms": 10_000})
	w.post("/queue/complete", object{"queue_id": job["id"], "result": 1, "token": job["token"]})
	w.start(object{"exec_type": "queue", "service": "another"})
	w.post("/queue/poll", object{"worker_id": "p1", "services": []string{"another"}, "wait_ms": 10_000})

	families, err := w.metrics.Gather()
	require.NoError(t, err)
	exposed := map[string]described{}
	for _, family := range families {
		if !strings.HasPrefix(family.GetName(), obs.Namespace+"_") {
			continue
		}
		var labels []string
		for _, label := range family.GetMetric()[0].GetLabel() {
			labels = append(labels, label.GetName())
		}
		slices.Sort(labels)
		exposed[family.GetName()] = described{kind: strings.ToLower(family.GetType().String()), labels: strings.Join(labels, ",")}
	}
	require.Equal(t, documented(t), exposed)

	problems, err := testutil.GatherAndLint(w.metrics)
	require.NoError(t, err)
	require.Empty(t, problems)
}
