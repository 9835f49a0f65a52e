package contract

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/stretchr/testify/require"
)

// caller makes requests of a running suite and holds each answer, of whatever
// status, to the document.
type caller struct {
	base   string
	router routers.Router
	called map[string]bool // operations that were answered with success
}

func newCaller(t *testing.T, doc *openapi3.T, base string) *caller {
	t.Helper()
	router, err := gorillamux.NewRouter(doc)
	require.NoError(t, err)
	return &caller{base: base, router: router, called: map[string]bool{}}
}

type object = map[string]any

// call makes a request and returns status and decoded body. The request is not
// held to the document: half of them are wrong on purpose.
func (c *caller) call(t *testing.T, method, path string, body any) (int, any) {
	t.Helper()
	var sent []byte
	if body != nil {
		var err error
		sent, err = json.Marshal(body)
		require.NoError(t, err)
	}
	return c.send(t, method, path, sent)
}

func (c *caller) send(t *testing.T, method, path string, body []byte) (int, any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, c.base+path, bytes.NewReader(body))
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(t, err)

	route, params, err := c.router.FindRoute(req)
	require.NoError(t, err, "%s %s", method, path)
	options := &openapi3filter.Options{
		IncludeResponseStatus: true,
		// The decoder reads YAML into what it says, here a whole document.
		ExcludeResponseBody: strings.HasSuffix(path, ".yaml"),
	}
	err = openapi3filter.ValidateResponse(t.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route, Options: options},
		Status:                 resp.StatusCode, Header: resp.Header, Body: io.NopCloser(bytes.NewReader(answer)), Options: options,
	})
	require.NoError(t, err, "%s %s answered %d: %s", method, path, resp.StatusCode, answer)
	require.NotEmpty(t, resp.Header.Get("X-Request-Id"))

	if resp.StatusCode < http.StatusBadRequest {
		c.called[route.Operation.OperationID] = true
	}
	var decoded any
	if len(answer) > 0 && !options.ExcludeResponseBody {
		require.NoError(t, json.Unmarshal(answer, &decoded))
	}
	return resp.StatusCode, decoded
}

// get is call where success is expected.
func (c *caller) get(t *testing.T, path string) any {
	t.Helper()
	status, body := c.call(t, http.MethodGet, path, nil)
	require.Equal(t, http.StatusOK, status, "GET %s: %v", path, body)
	return body
}

func (c *caller) post(t *testing.T, path string, body any) object {
	t.Helper()
	status, answer := c.call(t, http.MethodPost, path, body)
	require.Equal(t, http.StatusOK, status, "POST %s: %v", path, answer)
	return answer.(object)
}

// await asks until the task has the status.
func (c *caller) await(t *testing.T, taskID, status string) {
	t.Helper()
	require.Eventually(t, func() bool {
		return c.get(t, "/tasks/get?id="+taskID).(object)["status"] == status
	}, 10*time.Second, 10*time.Millisecond, "task %s becomes %s", taskID, status)
}

func (c *caller) publish(t *testing.T, name string, definition object) string {
	t.Helper()
	flow := c.post(t, "/flows", object{"Name": name})["id"]
	c.post(t, "/flows/version", object{"FlowID": flow, "Definition": definition})
	return flow.(string)
}

// node is a definition of one node.
func node(settings object) object {
	settings["kind"] = "executor"
	return object{"start": "only", "nodes": object{"only": settings}}
}

func TestAnswers_AreAsDocumented(t *testing.T) {
	t.Parallel()
	doc := document(t)
	c := newCaller(t, doc, serve(t))

	for _, prefix := range []string{"", "/api"} {
		callWorkers(t, c, prefix)
		callFlows(t, c, prefix)
		callTasks(t, c, prefix)
		callLogs(t, c, prefix)
		callApprovals(t, c, prefix)
		callQueue(t, c, prefix)
		c.get(t, prefix+"/openapi.yaml")
	}
	for path, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			if !probes[method+" "+path] {
				require.True(t, c.called[operation.OperationID], "%s %s was never answered with success", method, path)
			}
		}
	}
}

func callWorkers(t *testing.T, c *caller, prefix string) {
	t.Helper()
	worker := object{
		"ID": "w" + prefix, "url": "http://127.0.0.1:1", "services": []string{"nothing"}, "load": 2,
		"labels": object{"zone": "a"}, "maxConcurrency": 4, "lastHeartbeat": 1,
	}
	for _, form := range []string{"/workers", ""} {
		c.post(t, prefix+form+"/register", worker)
		c.post(t, prefix+form+"/heartbeat", object{"id": "w" + prefix, "load": 1})
		c.get(t, prefix+form+"/list")
		c.get(t, prefix+form+"/list?service=nothing&ttl=5")
		c.get(t, prefix+form+"/allocate?service=nothing")
	}
	c.post(t, prefix+"/workers/deregister", object{"id": "w" + prefix})
	c.refused(t, http.StatusNotFound, "not_found", http.MethodPost, prefix+"/workers/heartbeat", object{"id": "nobody"})
	c.refused(t, http.StatusServiceUnavailable, "no_worker", http.MethodGet, prefix+"/workers/allocate?service=unknown", nil)
	c.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodPost, prefix+"/workers/register", object{"id": 7})
}

func callFlows(t *testing.T, c *caller, prefix string) {
	t.Helper()
	name := "flow" + prefix
	id := c.publish(t, name, node(object{"exec_type": "local_func", "func": "echo"}))
	warned := c.post(t, prefix+"/flows/version", object{
		"flow_id": id, "status": "draft",
		"definition_yaml": "start: a\nnodes:\n  a: {kind: executor, exec_type: local_func, func: echo}\n  b: {kind: executor, exec_type: local_func, func: echo}\n",
	})
	require.NotEmpty(t, warned["warnings"], "an unreachable node is worth a warning")
	c.get(t, prefix+"/flows?page=1&page_size=1")
	c.get(t, prefix+"/flows/get?name="+name)
	c.get(t, prefix+"/flows/get?id="+id)
	require.Len(t, c.get(t, prefix+"/flows/version?flow_id="+id), 2)
	c.get(t, prefix+"/flows/version/get?id="+warned["id"].(string))

	report := c.post(t, prefix+"/flows/validate", object{"Definition": node(object{"service": "s"})})
	require.Equal(t, object{"valid": true, "errors": []any{}, "warnings": []any{}}, report)
	report = c.post(t, prefix+"/flows/validate", object{"definition_yaml": "start: a\nnodes:\n  a: {kind: exec}\n"})
	require.Equal(t, false, report["valid"])
	require.NotEmpty(t, report["errors"])

	c.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodPost, prefix+"/flows/validate", object{})
	c.refusedText(t, http.StatusBadRequest, "malformed_body", prefix+"/flows/validate", `{"definition": `)
	c.refused(t, http.StatusConflict, "already_exists", http.MethodPost, prefix+"/flows/version",
		object{"flow_id": id, "version": 1, "definition": node(object{"service": "s"})})
	c.refused(t, http.StatusUnprocessableEntity, "invalid_definition", http.MethodPost, prefix+"/flows/version",
		object{"flow_id": id, "definition": object{"start": "x", "nodes": object{"a": object{"kind": "exec"}}}})
	c.refused(t, http.StatusNotFound, "not_found", http.MethodGet, prefix+"/flows/version/get?id=ver-none", nil)
	c.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodGet, prefix+"/flows?page=-1", nil)
}

func callTasks(t *testing.T, c *caller, prefix string) {
	t.Helper()
	echo := c.publish(t, "echo", node(object{
		"exec_type": "local_func", "func": "echo", "prep": object{"input_key": "$params.say"}, "post": object{"output_key": "said"},
	}))
	task := c.post(t, prefix+"/tasks", object{"FlowID": echo, "ParamsJSON": `{"say": [1]}`, "request_id": "once" + prefix})["id"].(string)
	c.await(t, task, "completed")
	require.Len(t, c.get(t, prefix+"/tasks/runs?task_id="+task), 1)
	require.NotEmpty(t, c.get(t, prefix+"/tasks/events?task_id="+task+"&after_seq=0&limit=1").(object)["data"])
	c.get(t, prefix+"/tasks?status=completed&page_size=1&flow_id="+echo)

	failing := c.publish(t, "failing", node(object{"exec_type": "local_func", "func": "mul"}))
	failed := c.post(t, prefix+"/tasks", object{"flow_id": failing})["id"].(string)
	c.await(t, failed, "failed")
	c.get(t, prefix+"/tasks/runs?task_id="+failed)

	stuck := c.publish(t, "stuck", node(object{"exec_type": "local_func", "func": "mul", "max_retries": 1, "wait_ms": 3_600_000}))
	waiting := c.post(t, prefix+"/tasks", object{"flow_id": stuck, "params": object{}})["id"].(string)
	c.await(t, waiting, "waiting")
	c.post(t, prefix+"/tasks/signal", object{"task_id": waiting, "key": "flag", "value": object{"a": 1}, "signal_id": "one"})
	require.Eventually(t, func() bool { // a scheduler that is applying the signal holds the lease
		status, _ := c.call(t, http.MethodPost, prefix+"/tasks/run_once?id="+waiting, nil)
		return status == http.StatusOK
	}, 10*time.Second, 10*time.Millisecond)
	c.get(t, prefix+"/tasks/events?task_id="+waiting)
	c.post(t, prefix+"/tasks/cancel?id="+waiting, nil)
	c.await(t, waiting, "canceled")

	c.refused(t, http.StatusConflict, "task_ended", http.MethodPost, prefix+"/tasks/signal", object{"task_id": task, "key": "k", "value": 1})
	c.refused(t, http.StatusConflict, "task_ended", http.MethodPost, prefix+"/tasks/cancel?id="+task, nil)
	c.refused(t, http.StatusConflict, "request_id_reused", http.MethodPost, prefix+"/tasks",
		object{"flow_id": echo, "params": object{"say": 2}, "request_id": "once" + prefix})
	c.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodPost, prefix+"/tasks", object{"flow_id": echo, "params": []int{1}})
	c.refused(t, http.StatusNotFound, "not_found", http.MethodPost, prefix+"/tasks", object{"flow_id": "flow-none"})
	c.refused(t, http.StatusNotFound, "not_found", http.MethodGet, prefix+"/tasks/get?id=task-none", nil)
	c.refusedText(t, http.StatusBadRequest, "malformed_body", prefix+"/tasks", `{"flow_id": `)
	c.refusedText(t, http.StatusRequestEntityTooLarge, "body_too_large", prefix+"/tasks", strings.Repeat(" ", 10<<20))
}

func callLogs(t *testing.T, c *caller, prefix string) {
	t.Helper()
	talks := c.publish(t, "talks", node(object{
		"exec_type": "local_script", "script": object{"language": "sh", "code": "echo oh >&2; echo result"},
	}))
	task := c.post(t, prefix+"/tasks", object{"flow_id": talks})["id"].(string)
	c.await(t, task, "completed")
	run := c.get(t, prefix+"/tasks/runs?task_id="+task).([]any)[0].(object)["id"].(string)
	for _, query := range []string{run, run + "&task_id=" + task} {
		require.Equal(t, object{"content": "oh\n", "task_id": task, "status": "ok"}, c.get(t, prefix+"/tasks/logs?run_id="+query))
	}

	pulls := c.publish(t, "pulls", node(object{"exec_type": "queue", "service": "nobody"}))
	task = c.post(t, prefix+"/tasks", object{"flow_id": pulls})["id"].(string)
	run = c.get(t, prefix+"/tasks/runs?task_id="+task).([]any)[0].(object)["id"].(string)
	require.Equal(t, object{"content": "", "task_id": task, "status": "queued"}, c.get(t, prefix+"/tasks/logs?run_id="+run))

	c.refused(t, http.StatusNotFound, "not_found", http.MethodGet, prefix+"/tasks/logs?run_id=run-none", nil)
	c.refused(t, http.StatusNotFound, "not_found", http.MethodGet, prefix+"/tasks/logs?run_id=run-none&task_id="+task, nil)
	c.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodGet, prefix+"/tasks/logs", nil)
}

func callApprovals(t *testing.T, c *caller, prefix string) {
	t.Helper()
	flow := c.publish(t, "approval", object{"start": "review", "nodes": object{
		"review": object{"kind": "approval", "approval_key": "verdict", "timeout_ms": 3_600_000, "prep": object{"input_key": "$shared"}},
	}})
	task := c.post(t, prefix+"/tasks", object{"flow_id": flow})["id"].(string)
	c.await(t, task, "waiting")
	require.Equal(t, "approval", c.get(t, prefix+"/tasks/get?id="+task).(object)["waits_for"])
	list := c.get(t, prefix+"/approvals?page=1&page_size=1&flow_id="+flow).(object)
	approval := list["data"].([]any)[0].(object)
	require.Equal(t, list, c.get(t, prefix+"/approvals?page_size=1&task_id="+task))

	decision := object{
		"taskId": task, "runId": approval["run_id"], "digest": approval["digest"], "decision": "later", "decidedBy": "dora", "comment": "c",
	}
	c.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodPost, prefix+"/approvals/decide", object{"decision": 1})
	c.refused(t, http.StatusConflict, "approval_changed", http.MethodPost, prefix+"/approvals/decide",
		object{"task_id": task, "digest": "another", "decision": true})
	c.post(t, prefix+"/approvals/decide", decision)
	c.post(t, prefix+"/approvals/decide", decision) // a repeat is harmless
	c.await(t, task, "completed")
	c.post(t, prefix+"/approvals/decide", decision)
	decision["decision"] = false
	c.refused(t, http.StatusConflict, "approval_closed", http.MethodPost, prefix+"/approvals/decide", decision)
	delete(decision, "runId")
	c.refused(t, http.StatusConflict, "task_ended", http.MethodPost, prefix+"/approvals/decide", decision)
	runs := c.get(t, prefix+"/tasks/runs?task_id="+task).([]any)
	require.Equal(t, "dora", runs[0].(object)["decided_by"])
	c.refused(t, http.StatusNotFound, "not_found", http.MethodGet, prefix+"/approvals?task_id=task-none", nil)
	c.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodGet, prefix+"/approvals?page_size=0", nil)
}

func callQueue(t *testing.T, c *caller, prefix string) {
	t.Helper()
	service := "pulled" + strings.ReplaceAll(prefix, "/", "-")
	flow := c.publish(t, "pull", node(object{"exec_type": "queue", "service": service, "post": object{"output_key": "got"}}))
	poll := object{"worker_id": "w", "services": []string{service}, "wait_ms": 0}
	status, _ := c.call(t, http.MethodPost, prefix+"/queue/poll", poll)
	require.Equal(t, http.StatusNoContent, status)

	poll["wait_ms"] = 10_000
	for _, form := range []string{"bare", "batch"} {
		task := c.post(t, prefix+"/tasks", object{"flow_id": flow})["id"].(string)
		if form == "batch" {
			poll["max_jobs"] = 5
		} else {
			delete(poll, "max_jobs")
		}
		job := c.post(t, prefix+"/queue/poll", poll)
		if form == "batch" {
			job = job["jobs"].([]any)[0].(object)
		}
		require.NotEmpty(t, c.get(t, prefix+"/queue/stats"))
		c.post(t, prefix+"/queue/heartbeat", object{"queue_id": job["id"], "worker_id": "w", "token": job["token"]})
		claims := []object{{"queue_id": job["id"], "token": job["token"]}, {"queue_id": "job-none"}}
		requireOutcomes(t, c.post(t, prefix+"/queue/heartbeat", object{"workerId": "w", "claims": claims}), "", "not_found")
		c.post(t, prefix+"/queue/update_run", object{"run_id": job["run_id"], "status": "running"})
		c.post(t, prefix+"/queue/logs", object{"runId": job["run_id"], "lines": []string{"one", "two"}, "token": job["token"]})
		require.Equal(t, object{"content": "one\ntwo\n", "task_id": task, "status": "running"}, c.get(t, prefix+"/tasks/logs?run_id="+job["run_id"].(string)))
		complete := object{"queue_id": job["id"], "result": object{"n": 1}, "worker_id": "w", "token": job["token"], "error": nil}
		c.post(t, prefix+"/queue/complete", complete)
		c.post(t, prefix+"/queue/complete", complete) // a repeat is harmless
		another := object{"queue_id": job["id"], "result": 2, "token": job["token"]}
		requireOutcomes(t, c.post(t, prefix+"/queue/complete", object{"completions": []object{complete, another}}), "", "claim_lost")
		c.refused(t, http.StatusConflict, "claim_lost", http.MethodPost, prefix+"/queue/complete", another)
		c.refused(t, http.StatusConflict, "claim_lost", http.MethodPost, prefix+"/queue/update_run", object{"run_id": job["run_id"], "status": "running"})
		requireOutcomes(t, c.post(t, prefix+"/queue/requeue", object{"ids": []any{job["id"], "job-none"}}), "not_dead", "not_found")
		requireOutcomes(t, c.post(t, prefix+"/queue/discard", object{"ids": []any{job["id"], "job-none"}}), "not_dead", "not_found")
		c.await(t, task, "completed")
	}
	c.refused(t, http.StatusNotFound, "not_found", http.MethodPost, prefix+"/queue/complete", object{"queue_id": "job-none"})
	c.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodPost, prefix+"/queue/poll", object{"worker_id": "w", "services": "s"})
	c.refused(t, http.StatusNotFound, "not_found", http.MethodPost, prefix+"/queue/update_run", object{"run_id": "run-none", "status": "running"})
	c.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodPost, prefix+"/queue/update_run", object{"run_id": "run-none", "status": "ok"})
	c.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodPost, prefix+"/queue/logs", object{"run_id": "run-none"})

	require.Empty(t, c.get(t, prefix+"/queue/dead?page=1&page_size=5&service="+service).(object)["data"])
	c.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodGet, prefix+"/queue/dead?cursor=x", nil)
	c.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodPost, prefix+"/queue/requeue", object{"ids": []string{}})
	c.post(t, prefix+"/queue/limits", object{"Service": service, "maxClaimed": 2, "rate_per_second": 0.5})
	require.Contains(t, c.get(t, prefix+"/queue/limits"), object{"service": service, "max_claimed": 2.0, "rate_per_second": 0.5, "burst": 1.0})
	c.post(t, prefix+"/queue/limits", object{"service": service})
	c.refused(t, http.StatusBadRequest, "invalid_argument", http.MethodPost, prefix+"/queue/limits", object{"max_claimed": -1, "burst": 2})
}

// requireOutcomes holds a batch's outcomes to their codes; "" is ok.
func requireOutcomes(t *testing.T, answer object, codes ...string) {
	t.Helper()
	results, _ := answer["results"].([]any)
	require.Len(t, results, len(codes))
	for i, code := range codes {
		one := results[i].(object)
		require.NotEmpty(t, one["queue_id"])
		if code == "" {
			require.Equal(t, "1", one["ok"])
			continue
		}
		require.Equal(t, code, one["code"])
	}
}

// refused is call where a problem is expected.
func (c *caller) refused(t *testing.T, status int, code, method, path string, body any) {
	t.Helper()
	got, problem := c.call(t, method, path, body)
	requireProblem(t, problem, status, got, code)
}

func (c *caller) refusedText(t *testing.T, status int, code, path, body string) {
	t.Helper()
	got, problem := c.send(t, http.MethodPost, path, []byte(body))
	requireProblem(t, problem, status, got, code)
}

func requireProblem(t *testing.T, problem any, status, got int, code string) {
	t.Helper()
	require.Equal(t, status, got, "%v", problem)
	body, ok := problem.(object)
	require.True(t, ok, "%v", problem)
	require.Equal(t, code, body["code"], "%v", problem)
	require.Equal(t, body["detail"], body["error"])
	if faults, ok := body["errors"].([]any); ok {
		for _, f := range faults {
			require.ElementsMatch(t, []string{"path", "code", "message"}, slices.Collect(maps.Keys(f.(object))))
		}
	}
}
