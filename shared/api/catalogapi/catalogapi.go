// Package catalogapi is the flow catalog's wire: the bodies of its routes and
// the typed client that the other services and the CLI call it with.
package catalogapi

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
)

// CreateFlowRequest makes a flow.
type CreateFlowRequest struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
}

// Created answers what made something.
type Created struct {
	ID string `json:"id"`
}

// Flow is a flow as lists show it.
type Flow struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
	CreatedAt   int64  `json:"created_at"` // unix ms
}

// CreateVersionRequest publishes a version. The definition comes in one of
// three forms; more than one is a fault.
type CreateVersionRequest struct {
	FlowID         string          `json:"flow_id"`
	Version        int             `json:"version,omitempty"` // 0: the next number
	DefinitionJSON string          `json:"definition_json,omitempty"`
	DefinitionYAML string          `json:"definition_yaml,omitempty"`
	Definition     json.RawMessage `json:"definition,omitempty"`
	Status         string          `json:"status,omitempty"` // published (also when empty), draft
}

// VersionCreated answers a publish, with what the validator warns of.
type VersionCreated struct {
	ID       string       `json:"id"`
	Version  int          `json:"version"`
	Warnings []errs.Fault `json:"warnings,omitempty"`
}

// ValidateRequest asks what publishing a definition would find in it. It comes
// in the forms of CreateVersionRequest.
type ValidateRequest struct {
	DefinitionJSON string          `json:"definition_json,omitempty"`
	DefinitionYAML string          `json:"definition_yaml,omitempty"`
	Definition     json.RawMessage `json:"definition,omitempty"`
}

// ValidationReport is everything found in a definition. Errors keep it from
// being published, warnings do not.
type ValidationReport struct {
	Valid    bool         `json:"valid"` // there are no errors
	Errors   []errs.Fault `json:"errors"`
	Warnings []errs.Fault `json:"warnings"`
}

// NewValidationReport writes a report down. Its lists are never null, so that
// readers need not tell null from empty.
func NewValidationReport(r flow.Report) ValidationReport {
	return ValidationReport{
		Valid:    len(r.Errors) == 0,
		Errors:   append([]errs.Fault{}, r.Errors...),
		Warnings: append([]errs.Fault{}, r.Warnings...),
	}
}

// Version is one version of a flow.
type Version struct {
	ID             string `json:"id"`
	FlowID         string `json:"flow_id"`
	FlowName       string `json:"flow_name"`
	Version        int    `json:"version"`
	DefinitionJSON string `json:"definition_json"`
	Status         string `json:"status"`
	CreatedAt      int64  `json:"created_at"` // unix ms
}

// Client calls a catalog.
type Client struct{ http *httpx.Client }

// NewClient makes a client of the catalog at base.
func NewClient(base string, hc *http.Client) (*Client, error) {
	c, err := httpx.NewClient(base, hc)
	if err != nil {
		return nil, err
	}
	return &Client{http: c}, nil
}

// CreateFlow makes a flow and returns its id.
func (c *Client) CreateFlow(ctx context.Context, req CreateFlowRequest) (string, error) {
	var out Created
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodPost, Path: "/flows", In: req, Out: &out})
	return out.ID, err
}

// FlowsQuery selects flows; zero fields match all and take the defaults.
type FlowsQuery struct {
	Name     string
	Page     int
	PageSize int
	Cursor   string
}

// ListFlows returns a page of flows, newest first.
func (c *Client) ListFlows(ctx context.Context, q FlowsQuery) (httpx.List[Flow], error) {
	query := url.Values{}
	httpx.SetQuery(query, "name", q.Name)
	httpx.SetQuery(query, "cursor", q.Cursor)
	httpx.SetQueryInt(query, "page", q.Page)
	httpx.SetQueryInt(query, "page_size", q.PageSize)
	var out httpx.List[Flow]
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodGet, Path: "/flows", Query: query, Out: &out})
	return out, err
}

// FindFlow returns the flow that owns a name (the first that took it), or
// errs.NotFound.
func (c *Client) FindFlow(ctx context.Context, name string) (Flow, error) {
	var out Flow
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodGet, Path: "/flows/get", Query: url.Values{"name": {name}}, Out: &out})
	return out, err
}

// CreateVersion publishes a version.
func (c *Client) CreateVersion(ctx context.Context, req CreateVersionRequest) (VersionCreated, error) {
	var out VersionCreated
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodPost, Path: "/flows/version", In: req, Out: &out})
	return out, err
}

// Validate reports what publishing a definition would find in it, and stores
// nothing. A definition with errors is a report, not an error.
func (c *Client) Validate(ctx context.Context, req ValidateRequest) (ValidationReport, error) {
	var out ValidationReport
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodPost, Path: "/flows/validate", In: req, Out: &out})
	return out, err
}

// ListVersions returns a flow's versions, newest first.
func (c *Client) ListVersions(ctx context.Context, flowID string) ([]Version, error) {
	var out []Version
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodGet, Path: "/flows/version", Query: url.Values{"flow_id": {flowID}}, Out: &out})
	return out, err
}

// GetVersion returns a version by id, or errs.NotFound.
func (c *Client) GetVersion(ctx context.Context, id string) (Version, error) {
	var out Version
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodGet, Path: "/flows/version/get", Query: url.Values{"id": {id}}, Out: &out})
	return out, err
}

// VersionRef names a version of a flow: the flow by its id or by its name, not
// both, and the version by its number.
type VersionRef struct {
	FlowID  string
	Name    string // the first flow that was created under it
	Version int    // 0: the highest published one
}

// ResolveVersion returns the version that ref names, in whatever status, or
// errs.NotFound.
func (c *Client) ResolveVersion(ctx context.Context, ref VersionRef) (Version, error) {
	query := url.Values{}
	httpx.SetQuery(query, "flow_id", ref.FlowID)
	httpx.SetQuery(query, "name", ref.Name)
	httpx.SetQueryInt(query, "version", ref.Version)
	var out Version
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodGet, Path: "/internal/versions/resolve", Query: query, Out: &out})
	return out, err
}
