// Package schedulerapi is the scheduler's wire: the bodies of its routes and
// the typed client that the queue-gateway and the CLI call it with.
package schedulerapi

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/pocketflowgo/pocketflow/shared/httpx"
)

// CreateTaskRequest starts a task. The version id wins over the flow id; the
// flow id takes Version, or the newest published one. Params come as an object
// or as its text.
type CreateTaskRequest struct {
	FlowID        string          `json:"flow_id,omitempty"`
	FlowVersionID string          `json:"flow_version_id,omitempty"`
	Version       int             `json:"version,omitempty"`
	Params        json.RawMessage `json:"params,omitempty"`
	ParamsJSON    string          `json:"params_json,omitempty"`
	RequestID     string          `json:"request_id,omitempty"`
}

// Created answers a creation.
type Created struct {
	ID string `json:"id"`
}

// OK is the answer of a route that has nothing else to say.
type OK struct {
	OK string `json:"ok"` // always "1"
}

// TaskError is why a task failed.
type TaskError struct {
	Node     string `json:"node"`
	Code     string `json:"code"`
	Message  string `json:"message"`
	Attempts int    `json:"attempts"`
	// Branches are those that failed of a parallel or foreach node, the first
	// hundred.
	Branches []BranchError `json:"branches,omitempty"`
}

// BranchError is why a branch failed.
type BranchError struct {
	Index    int    `json:"index"`
	Code     string `json:"code"`
	Message  string `json:"message"`
	Attempts int    `json:"attempts"`
}

// Task is a task as it is read. Times are unix ms, 0 when they have not come.
type Task struct {
	ID             string     `json:"id"`
	FlowVersionID  string     `json:"flow_version_id"`
	FlowID         string     `json:"flow_id"`
	FlowName       string     `json:"flow_name"`
	FlowVersion    int        `json:"flow_version"`
	Status         string     `json:"status"`
	ParamsJSON     string     `json:"params_json"`
	SharedJSON     string     `json:"shared_json"`
	CurrentNodeKey string     `json:"current_node_key"`
	WaitsFor       string     `json:"waits_for"` // "" while it is executed, and when it has ended
	LastAction     string     `json:"last_action"`
	StepCount      int        `json:"step_count"`
	RetryStateJSON string     `json:"retry_state_json"`
	LeaseOwner     string     `json:"lease_owner"`
	LeaseExpiry    int64      `json:"lease_expiry"`
	RequestID      string     `json:"request_id"`
	Error          *TaskError `json:"error"`
	CreatedAt      int64      `json:"created_at"`
	UpdatedAt      int64      `json:"updated_at"`
	FinishedAt     int64      `json:"finished_at"`
}

// Run is one attempt of a node as it is read. Times are unix ms.
type Run struct {
	ID             string `json:"id"`
	TaskID         string `json:"task_id"`
	NodeKey        string `json:"node_key"`
	Path           string `json:"path"`
	Visit          int    `json:"visit"`
	AttemptNo      int    `json:"attempt_no"`
	Status         string `json:"status"`
	SubStatus      string `json:"sub_status"`
	BranchID       string `json:"branch_id"`
	PrepJSON       string `json:"prep_json"`
	ExecInputJSON  string `json:"exec_input_json"`
	ExecOutputJSON string `json:"exec_output_json"`
	ErrorCode      string `json:"error_code"`
	ErrorText      string `json:"error_text"`
	Action         string `json:"action"`
	StartedAt      int64  `json:"started_at"`
	FinishedAt     int64  `json:"finished_at"`
	WorkerID       string `json:"worker_id"`
	WorkerURL      string `json:"worker_url"`
	LogPath        string `json:"log_path"`
	DecidedBy      string `json:"decided_by"` // of an approval
	Comment        string `json:"comment"`
}

// SignalRequest hands a value to a running task.
type SignalRequest struct {
	TaskID   string          `json:"task_id"`
	Key      string          `json:"key"`
	Value    json.RawMessage `json:"value"`
	SignalID string          `json:"signal_id,omitempty"` // makes a repeat harmless
	// Who sent it and what they have to say, for a signal that decides an
	// approval: kept in the approval's run.
	DecidedBy string `json:"decided_by,omitempty"`
	Comment   string `json:"comment,omitempty"`
}

// JobResult is a pull worker's answer as the queue-gateway passes it on.
type JobResult struct {
	TaskID     string          `json:"task_id"`
	RunID      string          `json:"run_id"`
	Result     json.RawMessage `json:"result,omitempty"`
	ErrorCode  string          `json:"error_code,omitempty"` // "" is success
	Error      string          `json:"error,omitempty"`
	Retryable  *bool           `json:"retryable,omitempty"` // nil is true
	WorkerID   string          `json:"worker_id,omitempty"`
	LogPath    string          `json:"log_path,omitempty"`
	FinishedAt int64           `json:"finished_at"` // unix ms
}

// JobResults are delivered in batches. The answer is 200 once all of them are
// durable, those to unknown or ended tasks left out; repeats are harmless.
type JobResults struct {
	Results []JobResult `json:"results"`
}

// Client calls a scheduler.
type Client struct{ http *httpx.Client }

// NewClient makes a client of the scheduler at base.
func NewClient(base string, hc *http.Client) (*Client, error) {
	c, err := httpx.NewClient(base, hc)
	if err != nil {
		return nil, err
	}
	return &Client{http: c}, nil
}

// CreateTask starts a task and returns its id.
func (c *Client) CreateTask(ctx context.Context, req CreateTaskRequest) (string, error) {
	var out Created
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodPost, Path: "/tasks", Header: repeatable(req.RequestID), In: req, Out: &out})
	return out.ID, err
}

// repeatable tells those in between that the request may be sent again: Go's
// transport does so, here and in the gateway, when a server that stops closes
// the connection under it. An id that no header can carry goes without.
func repeatable(requestID string) http.Header {
	if requestID == "" || strings.ContainsFunc(requestID, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil
	}
	return http.Header{httpx.HeaderIdempotencyKey: {requestID}}
}

// GetTask returns a task, or errs.NotFound.
func (c *Client) GetTask(ctx context.Context, id string) (Task, error) {
	var out Task
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodGet, Path: "/tasks/get", Query: url.Values{"id": {id}}, Out: &out})
	return out, err
}

// TasksQuery selects tasks; zero fields match all and take the defaults.
type TasksQuery struct {
	Status        string
	FlowID        string
	FlowVersionID string
	Page          int
	PageSize      int
	Cursor        string
}

// ListTasks returns a page of tasks, newest first.
func (c *Client) ListTasks(ctx context.Context, q TasksQuery) (httpx.List[Task], error) {
	query := url.Values{}
	httpx.SetQuery(query, "status", q.Status)
	httpx.SetQuery(query, "flow_id", q.FlowID)
	httpx.SetQuery(query, "flow_version_id", q.FlowVersionID)
	httpx.SetQuery(query, "cursor", q.Cursor)
	httpx.SetQueryInt(query, "page", q.Page)
	httpx.SetQueryInt(query, "page_size", q.PageSize)
	var out httpx.List[Task]
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodGet, Path: "/tasks", Query: query, Out: &out})
	return out, err
}

// ListRuns returns a task's node runs in order of start.
func (c *Client) ListRuns(ctx context.Context, taskID string) ([]Run, error) {
	var out []Run
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodGet, Path: "/tasks/runs", Query: url.Values{"task_id": {taskID}}, Out: &out})
	return out, err
}

// Cancel ends a task; errs.TaskEnded when it has ended by itself.
func (c *Client) Cancel(ctx context.Context, id string) error {
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodPost, Path: "/tasks/cancel", Query: url.Values{"id": {id}}})
	return err
}

// Signal hands a value to a task; errs.TaskEnded when it has ended.
func (c *Client) Signal(ctx context.Context, req SignalRequest) error {
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodPost, Path: "/tasks/signal", In: req})
	return err
}

// RunOnce makes one step of a task; errs.LeaseHeld while another executes it.
func (c *Client) RunOnce(ctx context.Context, id string) error {
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodPost, Path: "/tasks/run_once", Query: url.Values{"id": {id}}})
	return err
}

// DeliverResults hands pull workers' answers over, each the JSON of a JobResult
// as it was stored.
func (c *Client) DeliverResults(ctx context.Context, results []json.RawMessage) error {
	in := struct {
		Results []json.RawMessage `json:"results"`
	}{results}
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodPost, Path: "/internal/results", In: in})
	return err
}

// Event is one applied event of a task's history.
type Event struct {
	Seq  int64           `json:"seq"`
	Kind string          `json:"kind"`
	At   int64           `json:"at"` // unix ms
	Data json.RawMessage `json:"data"`
}

// Events is a page of a task's history, in order. NextAfterSeq is 0 on the
// last page.
type Events struct {
	Data         []Event `json:"data"`
	NextAfterSeq int64   `json:"next_after_seq"`
}
