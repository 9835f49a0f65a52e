package catalog_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/catalogapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/httpx/httpxtest"
)

func TestValidate_TakesEveryFormAndStoresNothing(t *testing.T) {
	t.Parallel()
	c := setup(t)
	for n, fields := range []map[string]any{
		{"DefinitionJSON": minimal},
		{"definition_json": minimal, "flow_id": "flow-none"},
		{"DefinitionYAML": "start: A\nnodes:\n  A: {kind: executor, service: sum}\n"},
		{"definition": json.RawMessage(minimal), "definition_json": "", "definition_yaml": ""},
	} {
		w := c.Post([]string{"/flows/validate", "/api/flows/validate"}[n%2], body(t, fields))
		require.Equal(t, http.StatusOK, w.Code, w.Body.String())
		require.JSONEq(t, `{"valid": true, "errors": [], "warnings": []}`, w.Body.String())
	}
	flows, err := c.client.ListFlows(t.Context(), catalogapi.FlowsQuery{})
	require.NoError(t, err)
	require.Zero(t, flows.Total)
}

func TestValidate_RefusesRequestsWithoutOneDefinition(t *testing.T) {
	t.Parallel()
	c := setup(t)
	for _, fields := range []map[string]any{
		{},
		{"definition": nil, "definition_json": ""},
		{"definition_json": minimal, "definition": json.RawMessage(minimal)},
	} {
		p := httpxtest.RequireProblem(t, c.Post("/flows/validate", body(t, fields)), http.StatusBadRequest, "invalid_argument")
		require.Equal(t, []string{"definition"}, httpxtest.FaultPaths(p))
	}
	httpxtest.RequireProblem(t, c.Post("/flows/validate", `{"definition_json":7}`), http.StatusBadRequest, "invalid_argument")
	httpxtest.RequireProblem(t, c.Post("/flows/validate", `{"definition":`), http.StatusBadRequest, "malformed_body")
	strict := httptest.NewRequest(http.MethodPost, "/flows/validate", strings.NewReader(body(t, map[string]any{"flow_id": "f", "definition_json": minimal})))
	strict.Header.Set("Prefer", "handling=strict")
	p := httpxtest.RequireProblem(t, c.Do(strict), http.StatusBadRequest, "unknown_field")
	require.Equal(t, []string{"flow_id"}, httpxtest.FaultPaths(p))
}

func TestValidate_SaysWhatPublishingWould(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	cfg.MaxDefinitionBytes, cfg.MaxNodes, cfg.MaxNesting = 300, 2, 0
	c := open(t, cfg)
	t.Cleanup(func() { require.NoError(t, c.service.Close()) })
	for name, tc := range map[string]struct {
		definition catalogapi.ValidateRequest
		valid      bool
		code       string // of the first error, or of the first warning
	}{
		"several faults": {
			definition: catalogapi.ValidateRequest{Definition: json.RawMessage(`{"start":"B","nodes":{"A":{"kind":"exec"}},"x":1}`)}, code: "unknown_field",
		},
		"not an object": {definition: catalogapi.ValidateRequest{Definition: json.RawMessage(`7`)}, code: "wrong_type"},
		"cut JSON":      {definition: catalogapi.ValidateRequest{DefinitionJSON: `{"start":`}, code: "malformed"},
		"cut YAML":      {definition: catalogapi.ValidateRequest{DefinitionYAML: "start: [A\n"}, code: "malformed"},
		"more bytes than the operator allows": {
			definition: catalogapi.ValidateRequest{DefinitionYAML: "# " + strings.Repeat("x", 300)}, code: "too_large",
		},
		"more nodes than the operator allows": {
			definition: catalogapi.ValidateRequest{DefinitionYAML: `{start: A, nodes: {A: {kind: executor, service: s}, B: {kind: executor, service: s}, C: {kind: executor, service: s}}}`},
			code:       "too_many_nodes",
		},
		"a node that is never reached": {
			definition: catalogapi.ValidateRequest{DefinitionYAML: `{start: A, nodes: {A: {kind: executor, service: s}, B: {kind: executor, service: s}}}`},
			valid:      true, code: "unreachable_node",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			report, err := c.client.Validate(t.Context(), tc.definition)
			require.NoError(t, err)
			require.Equal(t, tc.valid, report.Valid)
			made, err := c.client.CreateVersion(t.Context(), catalogapi.CreateVersionRequest{
				FlowID: c.flow(name), Definition: tc.definition.Definition,
				DefinitionJSON: tc.definition.DefinitionJSON, DefinitionYAML: tc.definition.DefinitionYAML,
			})
			if tc.valid {
				require.NoError(t, err)
				require.Equal(t, made.Warnings, report.Warnings)
				require.Equal(t, tc.code, report.Warnings[0].Code)
				return
			}
			var refused *errs.Error
			require.ErrorAs(t, err, &refused)
			require.Equal(t, errs.InvalidFlow, refused.Code)
			require.Equal(t, refused.Faults, report.Errors)
			require.Equal(t, tc.code, report.Errors[0].Code)
		})
	}
}
