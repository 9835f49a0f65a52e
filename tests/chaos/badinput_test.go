//go:build unix

package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/catalogapi"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

// badRequest is a request that makes no sense, and the answer that it gets.
type badRequest struct {
	name, method, path, body, prefer string
	status                           int
	code                             string
	faults                           []string // path and code of each, in any order
	allow                            string
}

func TestBadInput_IsNamedInFullAndTheServerGoesOn(t *testing.T) {
	t.Parallel()
	server := suitetest.Serve(t, suitetest.Addr(t), suitetest.Command{
		Program: suitetest.PocketFlow, Args: []string{"serve", "--data=" + t.TempDir()},
	})
	client := suitetest.Connect(t, server.URL)
	flow, err := client.Flows.CreateFlow(t.Context(), catalogapi.CreateFlowRequest{Name: "good"})
	require.NoError(t, err)
	good := `{"start": "only", "nodes": {"only": {"kind": "executor", "exec_type": "local_func", "func": "upper", "post": {"output_key": "result"}}}}`
	version, err := client.Flows.CreateVersion(t.Context(), catalogapi.CreateVersionRequest{FlowID: flow, DefinitionJSON: good})
	require.NoError(t, err)

	for _, c := range badRequests(flow, good) {
		t.Run(c.name, func(t *testing.T) {
			c.check(t, server.URL)
			c.check(t, server.URL+"/api")
		})
	}

	task, err := runTask(t.Context(), client, version.ID)
	require.NoError(t, err)
	require.Equal(t, "completed", task.Status)
	require.JSONEq(t, `{"result": "HELLO"}`, task.SharedJSON)
	require.NotContains(t, server.Stderr(), `"level":"error"`)
	require.NotContains(t, server.Stderr(), "panic")
	require.Zero(t, server.Stop(t))
}

func badRequests(flow, good string) []badRequest {
	publish := func(definition string) string {
		return fmt.Sprintf(`{"FlowID": %q, "DefinitionJSON": %q}`, flow, definition)
	}
	const invalid = http.StatusUnprocessableEntity
	return []badRequest{
		{
			name: "MalformedJSON", method: http.MethodPost, path: "/flows", body: `{"Name":`,
			status: http.StatusBadRequest, code: "malformed_body",
		},
		{
			name: "NoJSONObject", method: http.MethodPost, path: "/flows", body: `[1]`,
			status: http.StatusBadRequest, code: "invalid_argument", faults: []string{" invalid_argument"},
		},
		{
			name: "UnknownFlow", method: http.MethodPost, path: "/tasks", body: `{"FlowID": "flow-nowhere"}`,
			status: http.StatusNotFound, code: "not_found",
		},
		{
			name: "UnknownTask", method: http.MethodGet, path: "/tasks/get?id=task-nowhere",
			status: http.StatusNotFound, code: "not_found",
		},
		{
			name: "MissingStart", method: http.MethodPost, path: "/flows/version",
			body:   publish(`{"nodes": {"a": {"kind": "executor", "service": "s"}}}`),
			status: invalid, code: "invalid_definition", faults: []string{"start missing"},
		},
		{
			name: "StartNowhere", method: http.MethodPost, path: "/flows/version",
			body:   publish(`{"start": "b", "nodes": {"a": {"kind": "executor", "service": "s"}}}`),
			status: invalid, code: "invalid_definition", faults: []string{"start unknown_node"},
		},
		{
			name: "UnknownKind", method: http.MethodPost, path: "/flows/version",
			body:   publish(`{"start": "a", "nodes": {"a": {"kind": "exec", "service": "s"}}}`),
			status: invalid, code: "invalid_definition", faults: []string{"nodes.a.kind unknown_kind"},
		},
		{
			name: "EdgeToNowhere", method: http.MethodPost, path: "/flows/version",
			body:   publish(`{"start": "a", "nodes": {"a": {"kind": "executor", "service": "s"}}, "edges": [{"from": "a", "to": "b"}]}`),
			status: invalid, code: "invalid_definition", faults: []string{"edges[0].to unknown_node"},
		},
		{
			name: "TwoOperators", method: http.MethodPost, path: "/flows/version",
			body: publish(`{"start": "a", "nodes": {"a": {"kind": "choice", "choice_cases": [
				{"action": "x", "expr": {"eq": [1, 2], "gt": [1, 2]}}], "default_action": "y"}}}`),
			status: invalid, code: "invalid_definition", faults: []string{"nodes.a.choice_cases[0].expr bad_expression"},
		},
		{
			name: "ManyFaultsOfADefinition", method: http.MethodPost, path: "/flows/version",
			body: publish(`{"nodes": {"a": {"kind": "exec"}, "b": {"kind": "executor", "service": "s", "max_retries": -1},
				"c": {"kind": "choice", "choice_cases": [{"action": "x", "expr": {"eq": [1, 2], "gt": [1, 2]}}]}},
				"edges": [{"from": "a", "to": "z"}, {"from": "y", "to": "a"}]}`),
			status: invalid, code: "invalid_definition",
			faults: []string{
				"start missing", "nodes.a.kind unknown_kind", "nodes.b.max_retries negative",
				"nodes.c.choice_cases[0].expr bad_expression", "edges[0].to unknown_node", "edges[1].from unknown_node",
			},
		},
		{
			name: "ManyFaultsOfARequest", method: http.MethodPost, path: "/tasks", body: `{"FlowID": 5, "Version": "x"}`,
			status: http.StatusBadRequest, code: "invalid_argument",
			faults: []string{"FlowID invalid_argument", "Version invalid_argument"},
		},
		{
			name: "DuplicateVersion", method: http.MethodPost, path: "/flows/version",
			body:   fmt.Sprintf(`{"FlowID": %q, "Version": 1, "DefinitionJSON": %q}`, flow, good),
			status: http.StatusConflict, code: "already_exists",
		},
		{
			name: "ParamsNoObject", method: http.MethodPost, path: "/tasks", body: fmt.Sprintf(`{"FlowID": %q, "params": [1]}`, flow),
			status: http.StatusBadRequest, code: "invalid_argument", faults: []string{"params invalid_argument"},
		},
		{
			name: "ParamsJSONNoObject", method: http.MethodPost, path: "/tasks", body: fmt.Sprintf(`{"FlowID": %q, "ParamsJSON": "[1]"}`, flow),
			status: http.StatusBadRequest, code: "invalid_argument", faults: []string{"params_json invalid_argument"},
		},
		{
			name: "BodyOfTenMegabytes", method: http.MethodPost, path: "/tasks",
			body:   fmt.Sprintf(`{"FlowID": %q, "ParamsJSON": %q}`, flow, strings.Repeat("x", 10<<20)),
			status: http.StatusRequestEntityTooLarge, code: "body_too_large",
		},
		{
			name: "NegativePage", method: http.MethodGet, path: "/tasks?page=-1&page_size=0",
			status: http.StatusBadRequest, code: "invalid_argument", faults: []string{"page invalid_argument", "page_size invalid_argument"},
		},
		{
			name: "NegativePageOfFlows", method: http.MethodGet, path: "/flows?page=-1",
			status: http.StatusBadRequest, code: "invalid_argument", faults: []string{"page invalid_argument"},
		},
		{
			name: "UnknownFieldsInStrictMode", method: http.MethodPost, path: "/tasks", prefer: "handling=strict",
			body:   fmt.Sprintf(`{"FlowID": %q, "bogus": 1, "more": 2}`, flow),
			status: http.StatusBadRequest, code: "unknown_field", faults: []string{"bogus unknown_field", "more unknown_field"},
		},
		{
			name: "WrongMethod", method: http.MethodDelete, path: "/tasks",
			status: http.StatusMethodNotAllowed, code: "method_not_allowed", allow: "GET, HEAD, OPTIONS, POST",
		},
		{
			name: "WrongMethodOfAnAction", method: http.MethodGet, path: "/tasks/cancel?id=x",
			status: http.StatusMethodNotAllowed, code: "method_not_allowed", allow: "OPTIONS, POST",
		},
		{
			name: "UnknownRoute", method: http.MethodGet, path: "/tasks/nowhere",
			status: http.StatusNotFound, code: "not_found",
		},
	}
}

func (c badRequest) check(t *testing.T, base string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, c.method, base+c.path, strings.NewReader(c.body))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	if c.prefer != "" {
		request.Header.Set("Prefer", c.prefer)
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)

	require.Equal(t, c.status, response.StatusCode, "%s", body)
	require.Equal(t, "application/problem+json", response.Header.Get("Content-Type"))
	require.Equal(t, c.allow, response.Header.Get("Allow"))
	var problem httpx.Problem
	require.NoError(t, json.Unmarshal(body, &problem), "%s", body)
	require.Equal(t, c.status, problem.Status)
	require.Equal(t, c.code, string(problem.Code))
	require.Equal(t, http.StatusText(c.status), problem.Title)
	require.NotEmpty(t, problem.Detail)
	require.Equal(t, problem.Detail, problem.Error)
	var faults []string
	for _, fault := range problem.Faults {
		require.NotEmpty(t, fault.Message)
		faults = append(faults, fault.Path+" "+fault.Code)
	}
	require.ElementsMatch(t, c.faults, faults)
	require.NotContains(t, string(body), "goroutine ")
	require.NotContains(t, string(body), "SELECT")
}
