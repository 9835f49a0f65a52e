package queueapi

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/ids"
)

// JobID is the id of a run's job: the same for every delivery, and readable as
// the run's. The scheduler makes jobs by it, and the queue-gateway finds by it
// the job of a worker that names only its run.
func JobID(runID string) string {
	return string(ids.Job) + "-" + strings.TrimPrefix(runID, string(ids.Run)+"-")
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
	Traceparent string          `json:"traceparent,omitempty"`  // what the execution belongs to (W3C Trace Context)
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

// PutJobs enqueues jobs.
func (c *Client) PutJobs(ctx context.Context, jobs []NewJob) error {
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodPost, Path: "/internal/jobs", In: PutJobsRequest{Jobs: jobs}})
	return err
}

// PutEncodedJobs is PutJobs of jobs that are JSON already.
func (c *Client) PutEncodedJobs(ctx context.Context, jobs []json.RawMessage) error {
	in := struct {
		Jobs []json.RawMessage `json:"jobs"`
	}{jobs}
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodPost, Path: "/internal/jobs", In: in})
	return err
}

// WithdrawJobs takes jobs back.
func (c *Client) WithdrawJobs(ctx context.Context, jobIDs []string) error {
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodPost, Path: "/internal/jobs/withdraw", In: WithdrawJobsRequest{IDs: jobIDs}})
	return err
}
