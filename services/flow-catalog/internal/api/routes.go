// Package api is the catalog's HTTP: it decodes a request, makes one call of
// the flows and encodes what comes back. What is right and wrong in a request
// is theirs to say.
package api

import (
	"net/http"
	"strings"

	"github.com/pocketflowgo/pocketflow/services/flow-catalog/internal/flows"
	"github.com/pocketflowgo/pocketflow/shared/api/catalogapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/ids"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Routes lists the catalog's routes.
func Routes(f *flows.Flows) []httpx.Route {
	h := handlers{flows: f}
	return []httpx.Route{
		{Method: http.MethodPost, Path: "/flows", Handler: h.createFlow},
		{Method: http.MethodGet, Path: "/flows", Handler: h.listFlows},
		{Method: http.MethodGet, Path: "/flows/get", Handler: h.getFlow},
		{Method: http.MethodPost, Path: "/flows/validate", Handler: h.validate},
		{Method: http.MethodPost, Path: "/flows/version", Handler: h.createVersion},
		{Method: http.MethodGet, Path: "/flows/version", Handler: h.listVersions},
		{Method: http.MethodGet, Path: "/flows/version/get", Handler: h.getVersion},
		{Method: http.MethodGet, Path: "/internal/versions/resolve", Handler: h.resolveVersion, Internal: true},
	}
}

type handlers struct{ flows *flows.Flows }

func (h handlers) createFlow(w http.ResponseWriter, r *http.Request) error {
	var body catalogapi.CreateFlowRequest
	if err := httpx.Decode(r, &body); err != nil {
		return err
	}
	made, err := h.flows.Create(r.Context(), body.Name, body.Description)
	if err != nil {
		return problem(err, "flow")
	}
	return httpx.WriteJSON(w, http.StatusOK, catalogapi.Created{ID: made.ID})
}

func (h handlers) listFlows(w http.ResponseWriter, r *http.Request) error {
	q := httpx.NewQuery(r)
	at, name := q.Page(ids.Flow), q.String("name")
	if err := q.Err(); err != nil {
		return err
	}
	page, err := h.flows.List(r.Context(), storage.FlowQuery{Name: name, ListOptions: at.ListOptions})
	if err != nil {
		return problem(err, "flow")
	}
	return httpx.WriteJSON(w, http.StatusOK, httpx.NewList(at, page, wireFlow))
}

func (h handlers) getFlow(w http.ResponseWriter, r *http.Request) error {
	q := httpx.NewQuery(r)
	id, name := q.String("id"), q.String("name")
	if err := q.Err(); err != nil {
		return err
	}
	if (id == "") == (name == "") {
		return errs.New(errs.InvalidArgument, "give either id or name")
	}
	get, key := h.flows.Get, id
	if name != "" {
		get, key = h.flows.Find, name
	}
	found, err := get(r.Context(), key)
	if err != nil {
		return problem(err, "flow")
	}
	return httpx.WriteJSON(w, http.StatusOK, wireFlow(found))
}

func (h handlers) validate(w http.ResponseWriter, r *http.Request) error {
	var body catalogapi.ValidateRequest
	if err := httpx.Decode(r, &body); err != nil {
		return err
	}
	report, err := h.flows.Validate(sources(body))
	if err != nil {
		return problem(err, "flow")
	}
	return httpx.WriteJSON(w, http.StatusOK, catalogapi.NewValidationReport(report))
}

func (h handlers) createVersion(w http.ResponseWriter, r *http.Request) error {
	var body catalogapi.CreateVersionRequest
	if err := httpx.Decode(r, &body); err != nil {
		return err
	}
	publication := flows.Publication{
		FlowID: body.FlowID, Version: body.Version, Status: storage.VersionPublished,
		Sources: sources(catalogapi.ValidateRequest{
			Definition: body.Definition, DefinitionJSON: body.DefinitionJSON, DefinitionYAML: body.DefinitionYAML,
		}),
	}
	if body.Status != "" {
		publication.Status = storage.VersionStatus(strings.ToLower(body.Status))
	}
	made, err := h.flows.Publish(r.Context(), publication)
	if err != nil {
		return problem(err, "flow")
	}
	return httpx.WriteJSON(w, http.StatusOK, catalogapi.VersionCreated{
		ID: made.ID, Version: made.Version, Warnings: made.Warnings,
	})
}

// sources are the definitions that were given: null and "" are how clients
// leave a field out.
func sources(body catalogapi.ValidateRequest) []flow.Source {
	var given []flow.Source
	if len(body.Definition) > 0 && string(body.Definition) != "null" {
		given = append(given, flow.Source{Format: flow.FormatJSON, Text: body.Definition})
	}
	if body.DefinitionJSON != "" {
		given = append(given, flow.Source{Format: flow.FormatJSON, Text: []byte(body.DefinitionJSON)})
	}
	if body.DefinitionYAML != "" {
		given = append(given, flow.Source{Format: flow.FormatYAML, Text: []byte(body.DefinitionYAML)})
	}
	return given
}

func (h handlers) listVersions(w http.ResponseWriter, r *http.Request) error {
	q := httpx.NewQuery(r)
	flowID := q.Required("flow_id")
	if err := q.Err(); err != nil {
		return err
	}
	versions, err := h.flows.Versions(r.Context(), flowID)
	if err != nil {
		return problem(err, "flow")
	}
	out := make([]catalogapi.Version, 0, len(versions))
	for _, v := range versions {
		out = append(out, wireVersion(v))
	}
	return httpx.WriteJSON(w, http.StatusOK, out)
}

func (h handlers) getVersion(w http.ResponseWriter, r *http.Request) error {
	q := httpx.NewQuery(r)
	id := q.Required("id")
	if err := q.Err(); err != nil {
		return err
	}
	version, err := h.flows.Version(r.Context(), id)
	if err != nil {
		return problem(err, "flow version")
	}
	return httpx.WriteJSON(w, http.StatusOK, wireVersion(version))
}

func (h handlers) resolveVersion(w http.ResponseWriter, r *http.Request) error {
	q := httpx.NewQuery(r)
	ref := flows.VersionRef{
		FlowID:  q.String("flow_id"),
		Name:    q.String("name"),
		Version: q.Int("version", httpx.Bounds{Min: 0, Max: flows.MaxVersion}),
	}
	if err := q.Err(); err != nil {
		return err
	}
	version, err := h.flows.Resolve(r.Context(), ref)
	if err != nil {
		return problem(err, "flow version")
	}
	return httpx.WriteJSON(w, http.StatusOK, wireVersion(version))
}

func wireFlow(f storage.Flow) catalogapi.Flow {
	return catalogapi.Flow{ID: f.ID, Name: f.Name, Description: f.Description, CreatedAt: f.CreatedAt.UnixMilli()}
}

func wireVersion(v storage.FlowVersion) catalogapi.Version {
	return catalogapi.Version{
		ID:             v.ID,
		FlowID:         v.FlowID,
		FlowName:       v.FlowName,
		Version:        v.Version,
		DefinitionJSON: v.Definition,
		Status:         string(v.Status),
		CreatedAt:      v.CreatedAt.UnixMilli(),
	}
}
