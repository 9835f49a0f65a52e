package catalog_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/catalogapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/httpx/httpxtest"
)

func TestCreateVersion_TakesEveryFormAndStoresCanonicalJSON(t *testing.T) {
	t.Parallel()
	c := setup(t)
	id := c.flow("f")
	for n, fields := range []map[string]any{
		{"FlowID": id, "DefinitionJSON": minimal},
		{"flow_id": id, "definition_json": minimal, "status": "published"},
		{"flowId": id, "DefinitionYAML": "start: A\nnodes:\n  A: {kind: executor, service: sum}\n"},
		{"FlowID": id, "definition": json.RawMessage(minimal), "Version": 0, "Status": "PUBLISHED"},
	} {
		w := c.Post([]string{"/flows/version", "/api/flows/version"}[n%2], body(t, fields))
		require.Equal(t, http.StatusOK, w.Code, w.Body.String())
		made := httpxtest.Decode[catalogapi.VersionCreated](t, w)
		require.Regexp(t, `^ver-`, made.ID)
		require.Equal(t, n+1, made.Version)

		got := httpxtest.Decode[map[string]any](t, c.Get("/flows/version/get?ID="+made.ID))
		require.InDelta(t, 1.8e12, got["created_at"], 1e12)
		delete(got, "created_at")
		require.Equal(t, map[string]any{
			"id": made.ID, "flow_id": id, "flow_name": "f", "version": float64(n + 1),
			"definition_json": minimalCanonical, "status": "published",
		}, got)
	}
}

func TestCreateVersion_KeepsNULToTheAuthorsOwnValues(t *testing.T) {
	t.Parallel()
	c := setup(t)
	id := c.flow("f")
	publish := func(field, value string) *httptest.ResponseRecorder {
		return c.Post("/flows/version", fmt.Sprintf(`{"flow_id":%q,%q:%s}`, id, field, value))
	}
	const params = `{"start":"A","nodes":{"A":{"kind":"executor","service":"sum","params":{"a":"\u0000"}}}}`
	w := publish("definition", params)
	require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	stored, err := c.client.GetVersion(t.Context(), httpxtest.Decode[catalogapi.VersionCreated](t, w).ID)
	require.NoError(t, err)
	require.Contains(t, stored.DefinitionJSON, `"a":"\u0000"`)

	p := httpxtest.RequireProblem(t, publish("definition", strings.ReplaceAll(params, "sum", `\u0000`)), http.StatusUnprocessableEntity, "invalid_definition")
	require.Equal(t, []string{"nodes.A.service"}, httpxtest.FaultPaths(p))
	for _, field := range []string{"definition_json", "definition_yaml"} {
		p = httpxtest.RequireProblem(t, publish(field, `"\u0000"`), http.StatusBadRequest, "invalid_argument")
		require.Equal(t, []string{field}, httpxtest.FaultPaths(p))
	}
	httpxtest.RequireProblem(t, publish("definition", "\"\xff\""), http.StatusBadRequest, "malformed_body")
}

func TestCreateVersion_NumbersVersions(t *testing.T) {
	t.Parallel()
	c := setup(t)
	id := c.flow("f")
	publish := func(version int) (catalogapi.VersionCreated, error) {
		return c.client.CreateVersion(t.Context(), catalogapi.CreateVersionRequest{FlowID: id, Version: version, DefinitionJSON: minimal})
	}
	for _, tc := range []struct{ ask, want int }{{0, 1}, {7, 7}, {0, 8}, {3, 3}, {0, 9}} {
		made, err := publish(tc.ask)
		require.NoError(t, err)
		require.Equal(t, tc.want, made.Version)
	}
	_, err := publish(7)
	require.Equal(t, errs.AlreadyExists, errs.CodeOf(err))
	w := c.Post("/flows/version", body(t, map[string]any{"FlowID": id, "Version": 3, "DefinitionJSON": minimal}))
	httpxtest.RequireProblem(t, w, http.StatusConflict, "already_exists")

	versions, err := c.client.ListVersions(t.Context(), id)
	require.NoError(t, err)
	var numbers []int
	for _, v := range versions {
		numbers = append(numbers, v.Version)
	}
	require.Equal(t, []int{9, 8, 7, 3, 1}, numbers, "newest first")
}

func TestCreateVersion_GivesTwentyAtOnceTwentyNumbers(t *testing.T) {
	t.Parallel()
	c := setup(t)
	id := c.flow("f")
	const publishers = 20
	var numbers [publishers]int
	var all sync.WaitGroup
	for n := range publishers {
		all.Go(func() {
			made, err := c.client.CreateVersion(t.Context(), catalogapi.CreateVersionRequest{FlowID: id, DefinitionJSON: minimal})
			if err != nil {
				t.Errorf("publish: %v", err)
			}
			numbers[n] = made.Version
		})
	}
	all.Wait()
	slices.Sort(numbers[:])
	for n, number := range numbers {
		require.Equal(t, n+1, number)
	}
}

func TestCreateVersion_NamesEveryFaultOfTheRequest(t *testing.T) {
	t.Parallel()
	c := setup(t)
	id := c.flow("f")
	p := httpxtest.RequireProblem(t, c.Post("/flows/version", `{"version":-1,"status":"live"}`), http.StatusBadRequest, "invalid_argument")
	require.Equal(t, []string{"flow_id", "version", "status", "definition"}, httpxtest.FaultPaths(p))
	p = httpxtest.RequireProblem(t, c.Post("/flows/version", body(t, map[string]any{
		"flow_id": id, "definition_json": minimal, "definition": json.RawMessage(minimal),
	})), http.StatusBadRequest, "invalid_argument")
	require.Equal(t, []string{"definition"}, httpxtest.FaultPaths(p))
	p = httpxtest.RequireProblem(t, c.Post("/flows/version", `{"flow_id":"x","definition":null,"definition_json":""}`), http.StatusBadRequest, "invalid_argument")
	require.Equal(t, []string{"definition"}, httpxtest.FaultPaths(p))
	httpxtest.RequireProblem(t, c.Post("/flows/version", `{"flow_id":"x","DefinitionJSON":{"start":"A"}}`), http.StatusBadRequest, "invalid_argument")
	httpxtest.RequireProblem(t, c.Post("/flows/version", `{"flow_id":"x","version":2147483648}`), http.StatusBadRequest, "invalid_argument")

	w := c.Post("/flows/version", body(t, map[string]any{"flow_id": "flow-none", "definition_json": minimal}))
	httpxtest.RequireProblem(t, w, http.StatusNotFound, "not_found")
}

func TestCreateVersion_NamesEveryFaultOfTheDefinition(t *testing.T) {
	t.Parallel()
	c := setup(t)
	id := c.flow("f")
	w := c.Post("/api/flows/version", body(t, map[string]any{"flow_id": id, "definition": json.RawMessage(`{
		"start": "Z", "colour": 1,
		"nodes": {"A": {"kind": "exec", "service": "s"}, "B": {"kind": "executor", "max_retries": -1, "service": "s"},
			"C": {"kind": "choice", "choice_cases": [{"action": "x", "expr": {"eq": [1, 1], "ne": [1, 2]}}]}},
		"edges": [{"from": "A", "to": "nowhere"}, {"from": "B", "to": "A"}, {"from": "B", "action": "default", "to": ""}]}`)}))
	p := httpxtest.RequireProblem(t, w, http.StatusUnprocessableEntity, "invalid_definition")
	for _, path := range []string{"start", "colour", "nodes.A.kind", "nodes.B.max_retries", "edges[0].to", "edges[2]"} {
		require.Contains(t, strings.Join(httpxtest.FaultPaths(p), "\n"), path)
	}
	for _, f := range p.Faults {
		require.NotEmpty(t, f.Code)
		require.NotEmpty(t, f.Message)
	}
	for _, fields := range []map[string]any{
		{"flow_id": id, "definition_json": `{"start":`},
		{"flow_id": id, "definition_json": `7`},
		{"flow_id": id, "definition_yaml": "start: [A\n"},
		{"flow_id": id, "definition": 7},
		{"flow_id": id, "definition": json.RawMessage(`{}`), "status": "draft"},
	} {
		p := httpxtest.RequireProblem(t, c.Post("/flows/version", body(t, fields)), http.StatusUnprocessableEntity, "invalid_definition")
		require.NotEmpty(t, p.Faults)
	}
	require.JSONEq(t, `[]`, c.Get("/flows/version?flow_id="+id).Body.String(), "nothing of it is stored")
}

func TestCreateVersion_RefusesDefinitionsOverTheLimit(t *testing.T) {
	t.Parallel()
	c := setup(t)
	id := c.flow("f")
	definition := func(size int) string {
		start := `{"start":"A","nodes":{"A":{"kind":"executor","service":"s","params":{"x":"`
		end := `"}}}}`
		return start + strings.Repeat("x", size-len(start)-len(end)) + end
	}
	w := c.Post("/flows/version", body(t, map[string]any{"flow_id": id, "definition_json": definition(1<<20 + 1)}))
	p := httpxtest.RequireProblem(t, w, http.StatusUnprocessableEntity, "invalid_definition")
	require.Equal(t, "too_large", p.Faults[0].Code)
	require.Contains(t, p.Detail, "1048577")
	w = c.Post("/flows/version", body(t, map[string]any{"flow_id": id, "definition_json": definition(1 << 20)}))
	require.Equal(t, http.StatusOK, w.Code)

	cfg := config(t)
	cfg.MaxNodes = 1
	small := open(t, cfg)
	defer func() { require.NoError(t, small.service.Close()) }()
	two := `{"start":"A","nodes":{"A":{"kind":"executor","service":"s"},"B":{"kind":"executor","service":"s"}},"edges":[{"from":"A","to":"B"}]}`
	w = small.Post("/flows/version", body(t, map[string]any{"flow_id": small.flow("f"), "definition_json": two}))
	p = httpxtest.RequireProblem(t, w, http.StatusUnprocessableEntity, "invalid_definition")
	require.Equal(t, "too_many_nodes", p.Faults[0].Code)
}

func TestCreateVersion_ReturnsWarnings(t *testing.T) {
	t.Parallel()
	c := setup(t)
	made, err := c.client.CreateVersion(t.Context(), catalogapi.CreateVersionRequest{FlowID: c.flow("f"), DefinitionJSON: `{
		"start":"A","nodes":{"A":{"kind":"executor","service":"s"},"lost":{"kind":"executor","service":"s"}}}`})
	require.NoError(t, err)
	require.Equal(t, 1, made.Version)
	require.Len(t, made.Warnings, 1)
	require.Equal(t, "unreachable_node", made.Warnings[0].Code)
	require.Equal(t, "nodes.lost", made.Warnings[0].Path)
}

func TestCreateVersion_KeepsNumbersAsWritten(t *testing.T) {
	t.Parallel()
	c := setup(t)
	params := `{"big":9223372036854775807,"decimal":0.10000000000000000001,"exp":1.50E+300,"z":1,"a":"<&>"}`
	definition := `{"start":"A","nodes":{"A":{"kind":"executor","service":"s","params":` + params + `}}}`
	for _, field := range []string{"definition_json", "definition_yaml"} {
		made := httpxtest.Decode[catalogapi.VersionCreated](t, c.Post("/flows/version",
			body(t, map[string]any{"flow_id": c.flow("f"), field: definition})))
		got, err := c.client.GetVersion(t.Context(), made.ID)
		require.NoError(t, err)
		require.Contains(t, got.DefinitionJSON, params, field)
	}
}

func TestGetVersion_Faults(t *testing.T) {
	t.Parallel()
	c := setup(t)
	for _, path := range []string{"/flows/version/get?id=ver-none", "/flows/version?flow_id=flow-none"} {
		httpxtest.RequireProblem(t, c.Get(path), http.StatusNotFound, "not_found")
	}
	p := httpxtest.RequireProblem(t, c.Get("/flows/version/get"), http.StatusBadRequest, "invalid_argument")
	require.Equal(t, []string{"id"}, httpxtest.FaultPaths(p))
	p = httpxtest.RequireProblem(t, c.Get("/api/flows/version"), http.StatusBadRequest, "invalid_argument")
	require.Equal(t, []string{"flow_id"}, httpxtest.FaultPaths(p))
	httpxtest.RequireProblem(t, c.Get("/flows/version/get?id=%00"), http.StatusBadRequest, "invalid_argument")
	require.JSONEq(t, `[]`, c.Get("/flows/version?flow_id="+c.flow("f")).Body.String())
}

func TestResolveVersion_GivesTheNumberOrTheNewestPublished(t *testing.T) {
	t.Parallel()
	c := setup(t)
	id := c.flow("f")
	resolve := func(version int) (catalogapi.Version, error) {
		return c.client.ResolveVersion(t.Context(), catalogapi.VersionRef{FlowID: id, Version: version})
	}
	_, err := resolve(0)
	require.Equal(t, errs.NotFound, errs.CodeOf(err))
	require.ErrorContains(t, err, "no published version")
	c.publishEach(id, "published", "", "draft")
	latest, err := resolve(0)
	require.NoError(t, err)
	require.Equal(t, 2, latest.Version)
	require.JSONEq(t, minimal, latest.DefinitionJSON)
	draft, err := resolve(3)
	require.NoError(t, err)
	require.Equal(t, "draft", draft.Status)

	_, err = resolve(11)
	require.ErrorContains(t, err, "no version 11")
	_, err = c.client.ResolveVersion(t.Context(), catalogapi.VersionRef{FlowID: "flow-none"})
	require.Equal(t, errs.NotFound, errs.CodeOf(err))
	require.ErrorContains(t, err, `there is no flow "flow-none"`)
}

func TestResolveVersion_TakesTheFirstFlowOfAName(t *testing.T) {
	t.Parallel()
	c := setup(t)
	first, second := c.flow("ship & co"), c.flow("ship & co")
	c.publishEach(second, "published", "published")
	resolve := func(version int) (catalogapi.Version, error) {
		return c.client.ResolveVersion(t.Context(), catalogapi.VersionRef{Name: "ship & co", Version: version})
	}
	_, err := resolve(0)
	require.Equal(t, errs.NotFound, errs.CodeOf(err))
	require.ErrorContains(t, err, `the flow "ship & co" has no published version`)

	c.publishEach(first, "published", "draft")
	for number, want := range map[int]int{0: 1, 1: 1, 2: 2} {
		got, err := resolve(number)
		require.NoError(t, err)
		require.Equal(t, first, got.FlowID)
		require.Equal(t, want, got.Version)
	}
	_, err = resolve(3)
	require.ErrorContains(t, err, `the flow "ship & co" has no version 3`)
	_, err = c.client.ResolveVersion(t.Context(), catalogapi.VersionRef{Name: "none"})
	require.Equal(t, errs.NotFound, errs.CodeOf(err))
	require.ErrorContains(t, err, `there is no flow "none"`)
}

func TestResolveVersion_NamesTheFaults(t *testing.T) {
	t.Parallel()
	c := setup(t)
	id := url.QueryEscape(c.flow("f"))
	for query, want := range map[string][]string{
		"":                              {"flow_id", "name"},
		"name=%20":                      {"flow_id", "name"},
		"flow_id=" + id + "&name=f":     {"flow_id", "name"},
		"flow_id=" + id + "&version=-1": {"version"},
		"name=f&version=x":              {"version"},
		"name=a%0Ab":                    {"name"},
		"flow_id=%00":                   {"flow_id"},
	} {
		p := httpxtest.RequireProblem(t, c.Get("/internal/versions/resolve?"+query), http.StatusBadRequest, "invalid_argument")
		require.Equal(t, want, httpxtest.FaultPaths(p), query)
	}
}

func TestRestart_KeepsFlowsAndVersions(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	first := open(t, cfg)
	id := first.flow("f")
	made, err := first.client.CreateVersion(t.Context(), catalogapi.CreateVersionRequest{FlowID: id, DefinitionJSON: minimal})
	require.NoError(t, err)
	before, err := first.client.GetVersion(t.Context(), made.ID)
	require.NoError(t, err)
	require.NoError(t, first.service.Close())

	second := open(t, cfg)
	after, err := second.client.GetVersion(t.Context(), made.ID)
	require.NoError(t, err)
	require.Equal(t, before, after)
	require.NoError(t, second.service.Close())
}
