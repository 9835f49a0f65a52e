package storage

import (
	"context"
	"time"
)

// VersionStatus says whether tasks may start from a flow version.
type VersionStatus string

const (
	VersionPublished VersionStatus = "published"
	VersionDraft     VersionStatus = "draft"
)

// VersionStatuses lists every version status.
var VersionStatuses = []VersionStatus{VersionPublished, VersionDraft}

// Flow is the thing that versions belong to. Names are not unique: the id is
// the identity, and a name belongs to the first flow that took it.
type Flow struct {
	ID          string
	Name        string
	Description string
	CreatedAt   time.Time
}

// FlowVersion is one immutable definition of a flow.
type FlowVersion struct {
	ID         string
	FlowID     string
	FlowName   string // of the flow, filled on reading
	Version    int    // from 1; unique within the flow
	Definition string // canonical JSON text
	Status     VersionStatus
	CreatedAt  time.Time
}

// FlowQuery selects flows; empty fields match all.
type FlowQuery struct {
	Name string
	ListOptions
}

// Flows is the catalog's role.
type Flows interface {
	Base

	// CreateFlow stores a new flow. ErrConflict when the id exists.
	CreateFlow(ctx context.Context, flow Flow) error

	// GetFlow returns a flow by id, or ErrNotFound.
	GetFlow(ctx context.Context, id string) (Flow, error)

	// FindFlow returns the first flow that was created under the name, or
	// ErrNotFound.
	FindFlow(ctx context.Context, name string) (Flow, error)

	// ListFlows returns a page of flows, newest first.
	ListFlows(ctx context.Context, query FlowQuery) (Page[Flow], error)

	// CreateVersion stores a version and returns it as stored. Version 0
	// takes the flow's next number; two such calls at once get two numbers.
	// ErrNotFound for an unknown flow, ErrConflict for a number (or id) that
	// exists.
	CreateVersion(ctx context.Context, version FlowVersion) (FlowVersion, error)

	// GetVersion returns a version by id, or ErrNotFound.
	GetVersion(ctx context.Context, id string) (FlowVersion, error)

	// ResolveVersion returns the flow's version of that number in whatever
	// status, or with number 0 its highest published one. ErrNotFound when
	// there is none.
	ResolveVersion(ctx context.Context, flowID string, number int) (FlowVersion, error)

	// ListVersions returns a flow's versions, highest number first; empty,
	// never nil, for a flow without any. ErrNotFound for an unknown flow.
	ListVersions(ctx context.Context, flowID string) ([]FlowVersion, error)
}
