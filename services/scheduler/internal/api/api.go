// Package api holds the scheduler's routes: decode, one call, encode.
package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/approvals"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/plans"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/runner"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Deps are what the handlers call.
type Deps struct {
	Store     storage.Tasks
	Plans     Plans
	Runner    Runner
	Results   Results
	Approvals Approvals
	Logs      Logs
	Now       func() time.Time
}

// Logs keeps what executions write besides their results, and who carries
// queued runs out.
type Logs interface {
	Read(ctx context.Context, query storage.RunLogQuery) (storage.RunLog, error)
	// Report returns nil once all of it is durable.
	Report(ctx context.Context, reports []schedulerapi.RunProgress) error
}

// Approvals lists and decides what waits for somebody's decision.
type Approvals interface {
	List(ctx context.Context, query approvals.Query) (storage.Page[approvals.Pending], error)
	Decide(ctx context.Context, decision approvals.Decision) error
}

// Results takes pull workers' answers in.
type Results interface {
	DeliverResults(ctx context.Context, results []schedulerapi.JobResult) error
}

// Plans finds flow versions.
type Plans interface {
	Get(ctx context.Context, versionID string) (*plans.Version, error)
	Resolve(ctx context.Context, flowID string, number int) (*plans.Version, error)
}

// Runner executes tasks.
type Runner interface {
	Create(ctx context.Context, p runner.CreateParams) (storage.CreateOutcome, error)
	Attend(ctx context.Context, taskID string) error
	RunOnce(ctx context.Context, taskID string) error
}

type api struct{ Deps }

// Routes lists the scheduler's routes.
func Routes(deps Deps) []httpx.Route {
	a := &api{Deps: deps}
	return []httpx.Route{
		{Method: http.MethodPost, Path: "/tasks", Handler: a.create},
		{Method: http.MethodGet, Path: "/tasks", Handler: a.list},
		{Method: http.MethodGet, Path: "/tasks/get", Handler: a.get},
		{Method: http.MethodGet, Path: "/tasks/runs", Handler: a.runs},
		{Method: http.MethodGet, Path: "/tasks/logs", Handler: a.logs},
		{Method: http.MethodGet, Path: "/tasks/events", Handler: a.events},
		{Method: http.MethodPost, Path: "/tasks/signal", Handler: a.signal},
		{Method: http.MethodPost, Path: "/tasks/cancel", Handler: a.cancel},
		{Method: http.MethodPost, Path: "/tasks/run_once", Handler: a.runOnce},
		{Method: http.MethodGet, Path: "/approvals", Handler: a.approvals},
		{Method: http.MethodPost, Path: "/approvals/decide", Handler: a.decide},
		{Method: http.MethodPost, Path: "/internal/results", Handler: a.results, Internal: true},
		{Method: http.MethodPost, Path: "/internal/runs/progress", Handler: a.progress, Internal: true},
	}
}

// problem turns an error of the tasks into one for people. What is neither an
// errs.Error nor a storage sentinel comes from a database that cannot be used
// now.
func problem(err error, taskID string) error {
	var e *errs.Error
	switch {
	case err == nil, errors.As(err, &e), errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, storage.ErrNotFound):
		return errs.Wrap(err, errs.NotFound, "there is no task %q", taskID)
	case errors.Is(err, storage.ErrEnded):
		return errs.Wrap(err, errs.TaskEnded, "the task %q has ended", taskID)
	case errors.Is(err, storage.ErrLeaseHeld):
		return errs.Wrap(err, errs.LeaseHeld, "the task %q is being executed", taskID)
	case errors.Is(err, storage.ErrPageTooLarge):
		var faults errs.Faults
		faults.Add("page_size", "the tasks of this page hold more than %d MiB; ask for fewer", storage.MaxPageBytes>>20)
		return faults.Err()
	case errors.Is(err, storage.ErrInvalidText), errors.Is(err, storage.ErrInvalidData):
		// Unavailable would have it sent again and again.
		return errs.Wrap(err, errs.InvalidArgument, "the database cannot hold what was sent")
	default:
		return errs.Wrap(err, errs.Unavailable, "the tasks' database cannot be used now; try again")
	}
}

func ok(w http.ResponseWriter) error {
	return httpx.WriteJSON(w, http.StatusOK, schedulerapi.OK{OK: "1"})
}
