//go:build unix

package quickstart

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/tests/pgtest"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

// branchFlow is the minimal flow of the published quick start.
const branchFlow = `{
  "start": "decide",
  "nodes": {
    "decide": {"kind": "executor", "service": "route", "post": {"action_key": "action"}},
    "B": {"kind": "executor", "service": "transform", "params": {"op": "upper"}, "post": {"output_key": "result"}},
    "C": {"kind": "executor", "service": "transform", "params": {"op": "lower"}, "post": {"output_key": "result"}}
  },
  "edges": [
    {"from": "decide", "action": "goB", "to": "B"},
    {"from": "decide", "action": "goC", "to": "C"},
    {"from": "B", "action": "default", "to": ""},
    {"from": "C", "action": "default", "to": ""}
  ]
}`

// The variables of the published quick start are all that is set, in every form
// that SCHEDULER_DB may have: the client is told SCHEDULER_BASE, the worker
// REGISTRY_URL and WORKER_URL.
func TestPublishedVariables_StillWork(t *testing.T) {
	t.Parallel()
	for name, dsn := range map[string]func(t *testing.T) string{
		"PlainPath": func(t *testing.T) string { t.Helper(); return filepath.Join(t.TempDir(), "pocketflow.db") },
		"SQLiteDSN": func(t *testing.T) string { t.Helper(); return "sqlite://" + filepath.Join(t.TempDir(), "tasks.db") },
		"Postgres":  func(t *testing.T) string { t.Helper(); return pgtest.DSN(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := dsn(t)
			server := suitetest.Serve(t, suitetest.Addr(t), suitetest.Command{
				Program: suitetest.PocketFlow, Args: []string{"serve"}, Env: []string{"SCHEDULER_DB=" + db},
			})
			if name == "PlainPath" {
				require.FileExists(t, db)
			}
			suitetest.Start(t, suitetest.Command{Program: suitetest.DemoWorker, Env: []string{
				"REGISTRY_URL=" + server.URL + "/api", "WORKER_URL=http://" + suitetest.Addr(t),
			}})
			suitetest.Connect(t, server.URL).AwaitWorker(t, "transform")
			useAsAnOldClient(t, server.URL)

			list := suitetest.Start(t, suitetest.Command{
				Program: suitetest.PocketFlow, Args: []string{"task", "list", "--output=json"},
				Env: []string{"SCHEDULER_BASE=" + server.URL},
			})
			require.Zero(t, list.Wait(t, demoTimeout), list.Stderr())
			require.Contains(t, list.Stdout(), `"completed"`)
		})
	}
}

// The processes of the published quick start one by one: the scheduler reads
// SCHEDULER_DB and REGISTRY_URL, and is reached directly.
func TestPublishedVariables_WorkForProcessesOfTheirOwn(t *testing.T) {
	t.Parallel()
	registry := suitetest.Serve(t, suitetest.Addr(t), suitetest.Command{
		Program: suitetest.Registry, Env: []string{"REGISTRY_DB=" + filepath.Join(t.TempDir(), "registry.db")},
	})
	catalog := suitetest.Serve(t, suitetest.Addr(t), suitetest.Command{
		Program: suitetest.Catalog, Env: []string{"CATALOG_DB=" + filepath.Join(t.TempDir(), "catalog.db")},
	})
	urls := []string{"REGISTRY_URL=" + registry.URL, "CATALOG_URL=" + catalog.URL}
	scheduler := suitetest.Serve(t, suitetest.Addr(t), suitetest.Command{
		Program: suitetest.Scheduler, Env: append(urls, "SCHEDULER_DB="+filepath.Join(t.TempDir(), "tasks.db")),
	})
	gateway := suitetest.Serve(t, suitetest.Addr(t), suitetest.Command{
		Program: suitetest.Gateway, Env: append(urls, "SCHEDULER_URL="+scheduler.URL),
	})
	suitetest.Start(t, suitetest.Command{Program: suitetest.DemoWorker, Env: []string{
		"REGISTRY_URL=" + registry.URL, "WORKER_URL=http://" + suitetest.Addr(t),
	}})
	suitetest.Connect(t, gateway.URL).AwaitWorker(t, "transform")
	useAsAnOldClient(t, gateway.URL)
}

// A worker that knows nothing but the published requests: it registers once and
// heartbeats by the short forms, bare and under /api, and takes POST /exec.
func TestOldWorker_RegistersByTheShortFormsAndWorks(t *testing.T) {
	t.Parallel()
	server := suitetest.Serve(t, suitetest.Addr(t), suitetest.Command{
		Program: suitetest.PocketFlow, Args: []string{"serve", "--data=" + t.TempDir()},
	})
	worker := httptest.NewServer(oldWorker(t))
	t.Cleanup(worker.Close)
	for _, base := range []string{server.URL, server.URL + "/api"} {
		send(t, base+"/register", map[string]any{
			"id": "old-1", "url": worker.URL, "services": []string{"route", "transform"},
			"load": 0, "lastHeartbeat": time.Now().UnixMilli(), "type": "",
		})
		send(t, base+"/heartbeat", map[string]any{"id": "old-1", "url": worker.URL, "load": 1})

		var listed []map[string]any
		require.NoError(t, json.Unmarshal(fetch(t, base+"/list"), &listed))
		require.Len(t, listed, 1)
		require.Equal(t, "online", listed[0]["status"])
		var allocated map[string]any
		require.NoError(t, json.Unmarshal(fetch(t, base+"/allocate?service=route"), &allocated))
		require.Equal(t, worker.URL, allocated["url"])
	}
	useAsAnOldClient(t, server.URL)
}

// oldWorker serves route and transform as the published example does.
func oldWorker(t *testing.T) http.Handler {
	t.Helper()
	type request struct {
		Input  any            `json:"input"`
		Params map[string]any `json:"params"`
	}
	exec := func(do func(params map[string]any) any) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			var in request
			if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			if err := json.NewEncoder(w).Encode(map[string]any{"result": do(in.Params), "error": ""}); err != nil {
				t.Errorf("answer: %v", err)
			}
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /exec/route", exec(func(params map[string]any) any {
		return map[string]any{"action": params["action"]}
	}))
	mux.HandleFunc("POST /exec/transform", exec(func(params map[string]any) any {
		if params["op"] == "upper" {
			return strings.ToUpper(fmt.Sprint(params["text"]))
		}
		return strings.ToLower(fmt.Sprint(params["text"]))
	}))
	return mux
}

// useAsAnOldClient publishes the minimal flow and runs a task down each branch,
// with the names and forms that old clients send, and reads what they read.
func useAsAnOldClient(t *testing.T, server string) {
	t.Helper()
	base := server + "/api"
	flow := send(t, base+"/flows", map[string]any{"Name": "branches", "Description": "minimal"})["id"]
	version := send(t, base+"/flows/version", map[string]any{
		"FlowID": flow, "Version": 1, "DefinitionJSON": branchFlow, "Status": "published",
	})["id"]

	for _, c := range []struct{ action, node, result string }{{"goB", "B", "HELLO"}, {"goC", "C", "hello"}} {
		id := send(t, base+"/tasks", map[string]any{
			"FlowID": flow, "Version": 1, "ParamsJSON": fmt.Sprintf(`{"action": %q, "text": "Hello"}`, c.action),
		})["id"]

		var task map[string]any
		suitetest.Await(t, demoTimeout, func() error {
			task = nil
			require.NoError(t, json.Unmarshal(fetch(t, fmt.Sprintf("%s/tasks/get?id=%s", base, id)), &task))
			if task["status"] != "completed" {
				return fmt.Errorf("the task is %v", task["status"])
			}
			return nil
		})
		require.Equal(t, version, task["flow_version_id"])
		require.Empty(t, task["current_node_key"])
		require.IsType(t, "", task["shared_json"])
		require.JSONEq(t, fmt.Sprintf(`{"result": %q}`, c.result), task["shared_json"].(string))
		require.JSONEq(t, fmt.Sprintf(`{"action": %q, "text": "Hello"}`, c.action), task["params_json"].(string))

		var runs []map[string]any
		require.NoError(t, json.Unmarshal(fetch(t, fmt.Sprintf("%s/tasks/runs?task_id=%s", base, id)), &runs))
		require.Len(t, runs, 2)
		for i, want := range []struct{ node, output, action string }{
			{"decide", fmt.Sprintf(`{"action": %q}`, c.action), c.action}, {c.node, fmt.Sprintf("%q", c.result), ""},
		} {
			require.Equal(t, want.node, runs[i]["node_key"])
			require.Equal(t, "ok", runs[i]["status"])
			require.EqualValues(t, 1, runs[i]["attempt_no"])
			require.Equal(t, want.action, runs[i]["action"])
			require.JSONEq(t, want.output, runs[i]["exec_output_json"].(string))
			require.NotEmpty(t, runs[i]["worker_url"])
		}
	}

	var page struct {
		Data  []map[string]any
		Total int
	}
	require.NoError(t, json.Unmarshal(fetch(t, fmt.Sprintf("%s/tasks?page=1&page_size=10&flow_id=%s", base, flow)), &page))
	require.Len(t, page.Data, 2)
	require.Equal(t, 2, page.Total)
}

// requestTimeout makes a server that says nothing fail the test and not the
// whole run.
const requestTimeout = 10 * time.Second

// send posts JSON and returns the object that a 200 has.
func send(t *testing.T, url string, body map[string]any) map[string]any {
	t.Helper()
	data, err := json.Marshal(body)
	require.NoError(t, err)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(data))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	var answer map[string]any
	require.NoError(t, json.Unmarshal(do(t, request), &answer))
	return answer
}

func fetch(t *testing.T, url string) []byte {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	return do(t, request)
}

// do holds the answer to exactly 200, as old clients and workers do.
func do(t *testing.T, request *http.Request) []byte {
	t.Helper()
	response, err := (&http.Client{Timeout: requestTimeout}).Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, response.StatusCode, "%s %s: %s", request.Method, request.URL, data)
	return data
}
