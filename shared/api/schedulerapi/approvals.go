package schedulerapi

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/pocketflowgo/pocketflow/shared/httpx"
)

// Approval is a decision that a task waits for. Times are unix ms.
type Approval struct {
	TaskID      string          `json:"task_id"`
	RunID       string          `json:"run_id"`
	FlowID      string          `json:"flow_id"`
	FlowName    string          `json:"flow_name"`
	FlowVersion int             `json:"flow_version"`
	NodeKey     string          `json:"node_key"`
	Path        string          `json:"path"`
	Visit       int             `json:"visit"`
	Attempt     int             `json:"attempt"`
	Key         string          `json:"key"`   // of the signal that would decide it as well
	Input       json.RawMessage `json:"input"` // what is decided on, any JSON value
	RequestedAt int64           `json:"requested_at"`
	DueAt       int64           `json:"due_at"` // 0: it waits for ever
	Digest      string          `json:"digest"` // of the run, the key and the input
}

// DecideRequest decides an approval, provided that it still asks for what was
// shown to whoever decided. Repeats with the same content are harmless; the run
// id lets one be recognised after the task has gone on.
type DecideRequest struct {
	TaskID    string          `json:"task_id"`
	RunID     string          `json:"run_id,omitempty"`
	Digest    string          `json:"digest"`
	Decision  json.RawMessage `json:"decision"` // true, false, or an action
	DecidedBy string          `json:"decided_by,omitempty"`
	Comment   string          `json:"comment,omitempty"`
}

// ApprovalsQuery selects approvals; zero fields match all and take the
// defaults.
type ApprovalsQuery struct {
	TaskID   string // that task's alone; errs.NotFound when there is none
	FlowID   string
	Page     int
	PageSize int
	Cursor   string
}

// ListApprovals returns a page of what waits for a decision, newest task first.
func (c *Client) ListApprovals(ctx context.Context, q ApprovalsQuery) (httpx.List[Approval], error) {
	query := url.Values{}
	httpx.SetQuery(query, "task_id", q.TaskID)
	httpx.SetQuery(query, "flow_id", q.FlowID)
	httpx.SetQuery(query, "cursor", q.Cursor)
	httpx.SetQueryInt(query, "page", q.Page)
	httpx.SetQueryInt(query, "page_size", q.PageSize)
	var out httpx.List[Approval]
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodGet, Path: "/approvals", Query: query, Out: &out})
	return out, err
}

// Decide decides an approval: errs.ApprovalChanged when it asks for something
// else by now, errs.ApprovalClosed when it asks for nothing, errs.TaskEnded.
func (c *Client) Decide(ctx context.Context, req DecideRequest) error {
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodPost, Path: "/approvals/decide", In: req})
	return err
}
