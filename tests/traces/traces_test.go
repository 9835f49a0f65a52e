//go:build unix

package traces

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/tracing"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

func TestMain(m *testing.M) { os.Exit(suitetest.Main(m)) }

// backend is an OpenTelemetry collector that keeps what it is sent.
type backend struct {
	*httptest.Server
	mu    sync.Mutex
	spans []span
}

// span is one span as a person would look for it.
type span struct {
	Trace, Name string
	Service     string // service.name of the process
	Attributes  map[string]string
	Took        time.Duration
	Failed      bool
}

func newBackend(t *testing.T) *backend {
	t.Helper()
	b := &backend{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var export collector.ExportTraceServiceRequest
		if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &export) != nil {
			t.Errorf("not an export of traces: %s %s", r.Method, r.URL.Path)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		b.keep(&export)
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *backend) keep(export *collector.ExportTraceServiceRequest) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, of := range export.ResourceSpans {
		service := ""
		for _, a := range of.Resource.Attributes {
			if a.Key == "service.name" {
				service = a.Value.GetStringValue()
			}
		}
		for _, scope := range of.ScopeSpans {
			for _, s := range scope.Spans {
				one := span{
					Trace: hex.EncodeToString(s.TraceId), Name: s.Name, Service: service, Attributes: map[string]string{},
					Took:   time.Duration(s.EndTimeUnixNano - s.StartTimeUnixNano),
					Failed: s.Status.GetCode() == tracepb.Status_STATUS_CODE_ERROR,
				}
				for _, a := range s.Attributes {
					one.Attributes[a.Key] = a.Value.GetStringValue()
				}
				b.spans = append(b.spans, one)
			}
		}
	}
}

// of are the spans of a trace, by the process and their name.
func (b *backend) of(trace string) map[string][]span {
	b.mu.Lock()
	defer b.mu.Unlock()
	found := map[string][]span{}
	for _, s := range b.spans {
		if s.Trace == trace {
			key := s.Service + ": " + s.Name
			found[key] = append(found[key], s)
		}
	}
	return found
}

const (
	definition = `{"start": "called", "nodes": {
  "called": {"kind": "executor", "service": "transform", "prep": {"input_key": "$params.text"}, "params": {"op": "upper"}},
  "queued": {"kind": "executor", "exec_type": "queue", "service": "transform", "prep": {"input_key": "$params.text"}, "params": {"op": "lower"}},
  "broken": {"kind": "executor", "service": "transform", "prep": {"input_key": "$params.text"}, "params": {"op": "none such"}}},
  "edges": [{"from": "called", "to": "queued"}, {"from": "queued", "to": "broken"}]}`
	secret = "nobody's business"
)

// suite is the five services and a worker of either kind.
type suite struct {
	gateway   *suitetest.Server
	processes []*suitetest.Process
}

func start(t *testing.T, env ...string) suite {
	t.Helper()
	addr := map[string]string{}
	url := map[string]string{}
	for _, name := range []string{"registry", "catalog", "scheduler", "queue", "gateway", "pushed"} {
		addr[name] = suitetest.Addr(t)
		url[name] = "http://" + addr[name]
	}
	s := suite{}
	serve := func(name string, program suitetest.Program, args ...string) *suitetest.Server {
		server := suitetest.Serve(t, addr[name], suitetest.Command{Program: program, Args: args, Env: env})
		s.processes = append(s.processes, server.Process)
		return server
	}
	dir := t.TempDir()
	serve("registry", suitetest.Registry, "--db="+dir+"/registry.db")
	serve("catalog", suitetest.Catalog, "--db="+dir+"/catalog.db")
	serve("queue", suitetest.Queue, "--db="+dir+"/queue.db", "--scheduler-url="+url["scheduler"])
	serve("scheduler", suitetest.Scheduler, "--db="+dir+"/scheduler.db", "--registry-url="+url["registry"],
		"--catalog-url="+url["catalog"], "--queue-url="+url["queue"])
	s.gateway = serve("gateway", suitetest.Gateway, "--registry-url="+url["registry"], "--catalog-url="+url["catalog"],
		"--scheduler-url="+url["scheduler"], "--queue-url="+url["queue"])
	serve("pushed", suitetest.DemoWorker, "--base="+url["gateway"])
	pulling := suitetest.Start(t, suitetest.Command{
		Program: suitetest.DemoWorker, Env: env, Args: []string{"--mode=pull", "--base=" + url["gateway"]},
	})
	s.processes = append(s.processes, pulling)
	return s
}

// run creates a task within a trace and waits for its end.
func (s suite) run(t *testing.T, version, trace string) string {
	t.Helper()
	body := fmt.Sprintf(`{"flow_version_id": %q, "params": {"text": %q}}`, version, secret)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.gateway.URL+"/tasks", strings.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set(tracing.Header, trace)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusOK, response.StatusCode)
	id := response.Header.Get("X-PocketFlow-Task")
	client := suitetest.Connect(t, s.gateway.URL)
	suitetest.Await(t, time.Minute, func() error {
		task, err := client.Tasks.GetTask(t.Context(), id)
		if err == nil && task.FinishedAt == 0 {
			err = fmt.Errorf("the task is %s", task.Status)
		}
		return err
	})
	return id
}

func (s suite) stop(t *testing.T) {
	t.Helper()
	for _, p := range s.processes {
		p.Stop(t) // which sends what spans are left
	}
}

func TestTraces_RunFromTheClientThroughAllServicesIntoWorkers(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	s := start(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+b.URL, "OTEL_BSP_SCHEDULE_DELAY=200")
	client := suitetest.Connect(t, s.gateway.URL)
	version := client.Publish(t, "traced", definition)
	client.AwaitWorker(t, "transform")

	const recorded, unrecorded = "0af7651916cd43dd8448eb211c80319c", "1bf7651916cd43dd8448eb211c80319d"
	id := s.run(t, version, "00-"+recorded+"-b7ad6b7169203331-01")
	s.run(t, version, "00-"+unrecorded+"-b7ad6b7169203331-00")
	s.stop(t)

	found := b.of(recorded)
	for name, count := range map[string]int{
		"gateway: POST /tasks": 1, "scheduler: POST /tasks": 1, // the request
		"scheduler: execute": 2, "demo-worker: handle": 3, // two of them called, one pulled
		"queue-gateway: execute": 1, "scheduler: task": 1,
	} {
		require.Len(t, found[name], count, "%s of %v", name, found)
		for _, one := range found[name] {
			require.Equal(t, id, one.Attributes["pocketflow.task.id"], name)
			for _, value := range one.Attributes {
				require.NotContains(t, value, secret, "no payload leaves the suite")
			}
		}
	}
	require.Equal(t, "failed", found["scheduler: task"][0].Attributes["pocketflow.task.status"])
	require.True(t, found["scheduler: task"][0].Failed)
	require.Equal(t, "queued", found["queue-gateway: execute"][0].Attributes["pocketflow.node"])
	nodes := map[string]bool{}
	for _, one := range append(found["scheduler: execute"], found["demo-worker: handle"]...) {
		nodes[one.Attributes["pocketflow.node"]] = true
		require.Equal(t, one.Attributes["pocketflow.node"] == "broken", one.Failed, "%v", one)
		require.Less(t, one.Took, found["scheduler: task"][0].Took, "%v", one)
	}
	require.Equal(t, map[string]bool{"called": true, "queued": true, "broken": true}, nodes)

	require.Empty(t, b.of(unrecorded), "whoever begins a trace decides whether it is recorded")
	for _, polled := range []string{"POST /queue/poll", "POST /workers/heartbeat"} {
		for _, one := range b.spans {
			require.NotEqual(t, polled, one.Name, "what is asked all the time begins no trace")
		}
	}
}

// Without a collector the services still hand a client's trace on to workers.
func TestTraces_AreHandedOnWhereNobodyRecordsThem(t *testing.T) {
	t.Parallel()
	s := suitetest.Serve(t, suitetest.Addr(t), suitetest.Command{Program: suitetest.PocketFlow, Args: []string{"serve", "--data=" + t.TempDir()}})
	client := suitetest.Connect(t, s.URL)
	version := client.Publish(t, "handed", strings.ReplaceAll(definition, "transform", "echo"))
	got := make(chan string, 1)
	worker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get(tracing.Header)
		_, _ = io.WriteString(w, `{"result": 1}`)
	}))
	t.Cleanup(worker.Close)
	post(t, s.URL+"/workers/register", fmt.Sprintf(`{"id": "w", "url": %q, "services": ["echo"]}`, worker.URL), nil)
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	create := fmt.Sprintf(`{"flow_version_id": %q, "params": {"text": "x"}}`, version)
	post(t, s.URL+"/tasks", create, http.Header{tracing.Header: {trace}})
	require.Equal(t, trace, <-got)
	var job string
	suitetest.Await(t, time.Minute, func() error {
		if job = post(t, s.URL+"/queue/poll", `{"worker_id": "w", "services": ["echo"]}`, nil); job == "" {
			return fmt.Errorf("no job")
		}
		return nil
	})
	require.Contains(t, job, `"traceparent":"`+trace+`"`)

	post(t, s.URL+"/tasks", create, nil)
	require.Regexp(t, `^00-[0-9a-f]{32}-[0-9a-f]{16}-00$`, <-got, "one of its own, which asks for no record")
	_, err := client.Tasks.ListTasks(t.Context(), schedulerapi.TasksQuery{})
	require.NoError(t, err)
}

func post(t *testing.T, url, body string, header http.Header) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	require.NoError(t, err)
	for name, values := range header {
		request.Header[name] = values
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	require.Less(t, response.StatusCode, 300)
	data, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return string(data)
}
