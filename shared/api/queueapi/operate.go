package queueapi

import (
	"context"
	"net/http"
	"net/url"

	"github.com/pocketflowgo/pocketflow/shared/httpx"
)

// ServiceStats counts one service's jobs.
type ServiceStats struct {
	Service     string `json:"service"`
	Ready       int    `json:"ready"`
	Delayed     int    `json:"delayed"`
	Claimed     int    `json:"claimed"`
	Dead        int    `json:"dead"`
	OldestAgeMS int64  `json:"oldest_age_ms"`
}

// DeadJob is a job that was delivered too often without an answer. Times are
// unix ms.
type DeadJob struct {
	ID         string `json:"id"`
	TaskID     string `json:"task_id"`
	RunID      string `json:"run_id"`
	NodeKey    string `json:"node_key"`
	Path       string `json:"path"`
	Service    string `json:"service"`
	InputJSON  string `json:"input_json"`
	Priority   int    `json:"priority"`
	Deliveries int    `json:"deliveries"`
	WorkerID   string `json:"worker_id"` // the last that had it
	CreatedAt  int64  `json:"created_at"`
	DeadAt     int64  `json:"dead_at"`
}

// DeadQuery selects dead jobs; zero fields match all and take the defaults.
type DeadQuery struct {
	Service  string
	Page     int
	PageSize int
	Cursor   string
}

// JobIDs names jobs.
type JobIDs struct {
	IDs []string `json:"ids"`
}

// ServiceLimits are what an operator allows one service. 0 is no limit; with
// all of them 0 the service has none.
type ServiceLimits struct {
	Service       string  `json:"service"`
	MaxClaimed    int     `json:"max_claimed"`     // most jobs with workers at once
	RatePerSecond float64 `json:"rate_per_second"` // most deliveries per second, in the long run
	Burst         int     `json:"burst"`           // most deliveries at once under a rate
}

// Stats counts the jobs of each service.
func (c *Client) Stats(ctx context.Context) ([]ServiceStats, error) {
	var out []ServiceStats
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodGet, Path: "/queue/stats", Out: &out})
	return out, err
}

// ListDead returns a page of dead jobs.
func (c *Client) ListDead(ctx context.Context, q DeadQuery) (httpx.List[DeadJob], error) {
	query := url.Values{}
	httpx.SetQuery(query, "service", q.Service)
	httpx.SetQuery(query, "cursor", q.Cursor)
	httpx.SetQueryInt(query, "page", q.Page)
	httpx.SetQueryInt(query, "page_size", q.PageSize)
	var out httpx.List[DeadJob]
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodGet, Path: "/queue/dead", Query: query, Out: &out})
	return out, err
}

// Requeue makes dead jobs ready again; an outcome for each.
func (c *Client) Requeue(ctx context.Context, jobIDs []string) ([]Outcome, error) {
	var out Outcomes
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodPost, Path: "/queue/requeue", In: JobIDs{IDs: jobIDs}, Out: &out})
	return out.Results, err
}

// Discard removes dead jobs for good; an outcome for each.
func (c *Client) Discard(ctx context.Context, jobIDs []string) ([]Outcome, error) {
	var out Outcomes
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodPost, Path: "/queue/discard", In: JobIDs{IDs: jobIDs}, Out: &out})
	return out.Results, err
}

// Limits lists the services that have limits.
func (c *Client) Limits(ctx context.Context) ([]ServiceLimits, error) {
	var out []ServiceLimits
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodGet, Path: "/queue/limits", Out: &out})
	return out, err
}

// SetLimits replaces one service's limits.
func (c *Client) SetLimits(ctx context.Context, limits ServiceLimits) error {
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodPost, Path: "/queue/limits", In: limits})
	return err
}
