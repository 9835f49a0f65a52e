package queueapi

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
)

// MaxBatch is the most jobs that one request names.
const MaxBatch = 1000

// CompleteRequest answers a job. An error of "" or null is success.
type CompleteRequest struct {
	QueueID   string          `json:"queue_id"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     string          `json:"error,omitempty"`
	RunID     string          `json:"run_id,omitempty"`
	WorkerID  string          `json:"worker_id,omitempty"`
	Token     string          `json:"token,omitempty"`
	LogPath   string          `json:"log_path,omitempty"`
	Retryable *bool           `json:"retryable,omitempty"`
}

// CompleteBatch answers several jobs. WorkerID is that of completions that name
// none.
type CompleteBatch struct {
	WorkerID    string            `json:"worker_id,omitempty"`
	Completions []CompleteRequest `json:"completions"`
}

// HeartbeatRequest extends one claim.
type HeartbeatRequest struct {
	QueueID      string `json:"queue_id"`
	WorkerID     string `json:"worker_id,omitempty"`
	Token        string `json:"token,omitempty"`
	VisibilityMS int    `json:"visibility_ms,omitempty"`
}

// HeartbeatBatch extends several claims.
type HeartbeatBatch struct {
	WorkerID     string  `json:"worker_id,omitempty"`
	Claims       []Claim `json:"claims"`
	VisibilityMS int     `json:"visibility_ms,omitempty"`
}

// Claim names a claim that a worker holds.
type Claim struct {
	QueueID string `json:"queue_id"`
	Token   string `json:"token,omitempty"`
}

// Outcome is what became of one job of a batch: OK, or Code and Error.
type Outcome struct {
	QueueID string    `json:"queue_id"`
	OK      string    `json:"ok,omitempty"` // "1"
	Code    errs.Code `json:"code,omitempty"`
	Error   string    `json:"error,omitempty"`
}

// Err is nil, or the error that the same request for this job alone would get.
func (o Outcome) Err() error {
	if o.Code == "" {
		return nil
	}
	return errs.New(o.Code, "%s", o.Error)
}

// Outcomes answers a batch: one per job, in the order of the request.
type Outcomes struct {
	Results []Outcome `json:"results"`
}

// StatusRunning is the one status that a worker may give a run.
const StatusRunning = "running"

// UpdateRunRequest tells that a run's worker is executing it. The job is told by
// the run, or by QueueID.
type UpdateRunRequest struct {
	RunID    string `json:"run_id"`
	Status   string `json:"status"`           // "running"
	Log      string `json:"log,omitempty"`    // what to add to the run's log
	LogID    string `json:"log_id,omitempty"` // makes a repeat of the log harmless
	QueueID  string `json:"queue_id,omitempty"`
	WorkerID string `json:"worker_id,omitempty"`
	Token    string `json:"token,omitempty"`
}

// LogsRequest adds to a run's log: Lines, or Text, or both in this order. The
// job is told by RunID or QueueID.
type LogsRequest struct {
	RunID    string   `json:"run_id,omitempty"`
	QueueID  string   `json:"queue_id,omitempty"`
	Lines    []string `json:"lines,omitempty"`
	Text     string   `json:"text,omitempty"`
	LogID    string   `json:"log_id,omitempty"` // makes a repeat harmless, within one claim
	WorkerID string   `json:"worker_id,omitempty"`
	Token    string   `json:"token,omitempty"`
}

// Complete answers a job. errs.ClaimLost, errs.TaskEnded, errs.NotFound: the
// answer has no effect, and repeating it will not give it one.
func (c *Client) Complete(ctx context.Context, req CompleteRequest) error {
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodPost, Path: "/queue/complete", In: req})
	return err
}

// CompleteAll answers several jobs. The error is that of the whole call; that of
// a single answer is in its Outcome.
func (c *Client) CompleteAll(ctx context.Context, batch CompleteBatch) ([]Outcome, error) {
	var out Outcomes
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodPost, Path: "/queue/complete", In: batch, Out: &out})
	return out.Results, err
}

// Heartbeat extends a claim. errs.ClaimLost, errs.TaskEnded: stop the work.
func (c *Client) Heartbeat(ctx context.Context, req HeartbeatRequest) error {
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodPost, Path: "/queue/heartbeat", In: req})
	return err
}

// HeartbeatAll extends several claims, and tells of each whether the work is
// still wanted; the error is that of the whole call.
func (c *Client) HeartbeatAll(ctx context.Context, batch HeartbeatBatch) ([]Outcome, error) {
	var out Outcomes
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodPost, Path: "/queue/heartbeat", In: batch, Out: &out})
	return out.Results, err
}

// UpdateRun marks the run of a claimed job as running. errs.ClaimLost,
// errs.TaskEnded, errs.NotFound: the work is not wanted any more.
func (c *Client) UpdateRun(ctx context.Context, req UpdateRunRequest) error {
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodPost, Path: "/queue/update_run", In: req})
	return err
}

// AddLogs adds to the log of a claimed job's run; errors as of UpdateRun.
func (c *Client) AddLogs(ctx context.Context, req LogsRequest) error {
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodPost, Path: "/queue/logs", In: req})
	return err
}
