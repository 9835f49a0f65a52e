package schedulerapi

import (
	"context"
	"net/http"
	"net/url"

	"github.com/pocketflowgo/pocketflow/shared/httpx"
)

// RunLog is what the execution of a run wrote besides its result. Of a run
// whose Status says that it has ended, Content is all that it wrote before.
type RunLog struct {
	Content string `json:"content"`
	TaskID  string `json:"task_id"`
	Status  string `json:"status"` // the run's
}

// RunLogQuery names a run. TaskID may be left out for one that has a log or is
// a pull worker's.
type RunLogQuery struct {
	RunID  string
	TaskID string
}

// GetLogs returns the log of a run, or errs.NotFound.
func (c *Client) GetLogs(ctx context.Context, q RunLogQuery) (RunLog, error) {
	query := url.Values{"run_id": {q.RunID}}
	httpx.SetQuery(query, "task_id", q.TaskID)
	var out RunLog
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodGet, Path: "/tasks/logs", Query: query, Out: &out})
	return out, err
}

// ProgressStatus is what a pull worker says of a run before it answers.
type ProgressStatus string

// ProgressRunning says that the worker carries it out.
const ProgressRunning ProgressStatus = "running"

// RunProgress is what the queue-gateway passes on of a run for whoever holds
// the claim of its job. All but the run's names may be left out.
type RunProgress struct {
	TaskID   string         `json:"task_id"`
	RunID    string         `json:"run_id"`
	RunNo    int            `json:"run_no"`
	Status   ProgressStatus `json:"status,omitempty"`
	WorkerID string         `json:"worker_id,omitempty"`
	Log      string         `json:"log,omitempty"` // lines; the last is ended if it is not
	// LogID makes a repeat of Log harmless: a run takes one of each. Without
	// it Log is added as often as it is sent.
	LogID string `json:"log_id,omitempty"`
}

// MaxProgress is the most runs in one delivery of progress.
const MaxProgress = 1000

// RunsProgress is delivered in batches. The answer is 200 once all of it is
// durable, that of unknown runs left out, and so is what ended runs are said to
// do; their logs are not. A repeat is harmless but for logs without an id.
type RunsProgress struct {
	Runs []RunProgress `json:"runs"`
}

// ReportProgress hands over what pull workers tell of their runs, of no more
// than MaxProgress at once.
func (c *Client) ReportProgress(ctx context.Context, runs []RunProgress) error {
	_, err := c.http.Do(ctx, httpx.Call{Method: http.MethodPost, Path: "/internal/runs/progress", In: RunsProgress{Runs: runs}})
	return err
}
