// Package queueapi is the queue-gateway's wire: the bodies of its routes and
// the typed client that pull workers and the scheduler call it with.
package queueapi

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/httpx"
)

// PollRequest asks for jobs.
type PollRequest struct {
	WorkerID     string   `json:"worker_id"`
	Services     []string `json:"services"`
	MaxJobs      int      `json:"max_jobs,omitempty"`      // 0: one job, answered bare
	WaitMS       int      `json:"wait_ms,omitempty"`       // long poll, at most 60,000
	VisibilityMS int      `json:"visibility_ms,omitempty"` // default 60,000
}

// Job is a job as a worker gets it. InputJSON is the text of
// {"input","params","run_id"}. Times are unix ms.
type Job struct {
	ID        string `json:"id"`
	TaskID    string `json:"task_id"`
	RunID     string `json:"run_id"`
	NodeKey   string `json:"node_key"`
	Service   string `json:"service"`
	InputJSON string `json:"input_json"`
	Status    string `json:"status"`
	Attempt   int    `json:"attempt"` // deliveries of this job, from 1
	Priority  int    `json:"priority"`
	WorkerID  string `json:"worker_id"`
	Token     string `json:"token"`
	CreatedAt int64  `json:"created_at"`
	StartedAt int64  `json:"started_at"`
	TimeoutAt int64  `json:"timeout_at"`
}

// Jobs answers a poll that gave max_jobs.
type Jobs struct {
	Jobs []Job `json:"jobs"`
}

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

// HeartbeatRequest extends one claim.
type HeartbeatRequest struct {
	QueueID      string `json:"queue_id"`
	WorkerID     string `json:"worker_id,omitempty"`
	Token        string `json:"token,omitempty"`
	VisibilityMS int    `json:"visibility_ms,omitempty"`
}

// OK is the answer of a route that has nothing else to say.
type OK struct {
	OK string `json:"ok"` // always "1"
}

// ServiceStats counts one service's jobs.
type ServiceStats struct {
	Service     string `json:"service"`
	Ready       int    `json:"ready"`
	Delayed     int    `json:"delayed"`
	Claimed     int    `json:"claimed"`
	Dead        int    `json:"dead"`
	OldestAgeMS int64  `json:"oldest_age_ms"`
}

// NewJob is a job as the scheduler enqueues it. Its id makes a repeat
// harmless.
type NewJob struct {
	ID          string          `json:"id"`
	TaskID      string          `json:"task_id"`
	RunID       string          `json:"run_id"`
	NodeKey     string          `json:"node_key"`
	Path        string          `json:"path"`
	Visit       int             `json:"visit"`
	Attempt     int             `json:"attempt"`
	RunNo       int             `json:"run_no,omitempty"` // the node run's number within its task
	Service     string          `json:"service"`
	Input       json.RawMessage `json:"input"` // {"input","params","run_id"}
	Priority    int             `json:"priority,omitempty"`
	AvailableAt int64           `json:"available_at,omitempty"` // unix ms; 0: at once
}

// PutJobsRequest enqueues jobs. The answer is 200 once all are durable.
type PutJobsRequest struct {
	Jobs []NewJob `json:"jobs"`
}

// WithdrawJobsRequest takes jobs back. Ended ones are fine, and an unknown one
// is taken back when it comes.
type WithdrawJobsRequest struct {
	IDs []string `json:"ids"`
}

// Client calls a queue-gateway.
type Client struct{ http *httpx.Client }

// NewClient makes a client of the queue-gateway at base.
func NewClient(base string, hc *http.Client) (*Client, error) {
	c, err := httpx.NewClient(base, hc)
	if err != nil {
		return nil, err
	}
	return &Client{http: c}, nil
}

// Poll claims up to Max jobs, waiting up to Wait for the first; empty when
// none came.
func (c *Client) Poll(ctx context.Context, p PollParams) ([]Job, error) {
	var out Jobs
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodPost, Path: "/queue/poll", Out: &out, In: PollRequest{
		WorkerID: p.WorkerID, Services: p.Services, MaxJobs: max(p.Max, 1),
		WaitMS: int(p.Wait.Milliseconds()), VisibilityMS: int(p.Visibility.Milliseconds()),
	}})
	return out.Jobs, err
}

// PollParams are how a worker polls. Visibility 0 takes the server's default.
type PollParams struct {
	WorkerID   string
	Services   []string
	Max        int
	Wait       time.Duration
	Visibility time.Duration
}

// Complete answers a job. errs.ClaimLost, errs.TaskEnded, errs.NotFound: the
// answer has no effect, and repeating it will not give it one.
func (c *Client) Complete(ctx context.Context, req CompleteRequest) error {
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodPost, Path: "/queue/complete", In: req})
	return err
}

// Heartbeat extends a claim. errs.ClaimLost, errs.TaskEnded: stop the work.
func (c *Client) Heartbeat(ctx context.Context, req HeartbeatRequest) error {
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodPost, Path: "/queue/heartbeat", In: req})
	return err
}

// Stats counts the jobs of each service.
func (c *Client) Stats(ctx context.Context) ([]ServiceStats, error) {
	var out []ServiceStats
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodGet, Path: "/queue/stats", Out: &out})
	return out, err
}

// PutJobs enqueues jobs.
func (c *Client) PutJobs(ctx context.Context, jobs []NewJob) error {
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodPost, Path: "/internal/jobs", In: PutJobsRequest{Jobs: jobs}})
	return err
}

// WithdrawJobs takes jobs back.
func (c *Client) WithdrawJobs(ctx context.Context, jobIDs []string) error {
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodPost, Path: "/internal/jobs/withdraw", In: WithdrawJobsRequest{IDs: jobIDs}})
	return err
}
