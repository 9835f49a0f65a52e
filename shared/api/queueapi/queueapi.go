// Package queueapi is the queue-gateway's wire: the bodies of its routes and
// the typed client that pull workers and the scheduler call it with.
package queueapi

import (
	"context"
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
	// Traceparent is the trace that the execution belongs to (W3C Trace Context).
	Traceparent string `json:"traceparent,omitempty"`
	Priority    int    `json:"priority"`
	WorkerID    string `json:"worker_id"`
	Token       string `json:"token"`
	CreatedAt   int64  `json:"created_at"`
	AvailableAt int64  `json:"available_at"` // from when it could be claimed
	StartedAt   int64  `json:"started_at"`
	TimeoutAt   int64  `json:"timeout_at"`
}

// Jobs answers a poll that gave max_jobs.
type Jobs struct {
	Jobs []Job `json:"jobs"`
}

// OK is the answer of a route that has nothing else to say.
type OK struct {
	OK string `json:"ok"` // always "1"
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
