package api

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

func (a *api) logs(w http.ResponseWriter, r *http.Request) error {
	q := httpx.NewQuery(r)
	query := storage.RunLogQuery{RunID: q.Required("run_id"), TaskID: q.String("task_id")}
	if err := q.Err(); err != nil {
		return err
	}
	log, err := a.Logs.Read(r.Context(), query)
	switch {
	case errors.Is(err, storage.ErrNotFound) && query.TaskID == "":
		return errs.Wrap(err, errs.NotFound,
			"there is no run %q, or it is of a kind that writes no log; with task_id as well, the answer tells which", query.RunID)
	case errors.Is(err, storage.ErrNotFound):
		return errs.Wrap(err, errs.NotFound, "there is no run %q of a task %q", query.RunID, query.TaskID)
	case err != nil:
		return problem(err, query.TaskID)
	}
	httpx.NameTask(w, log.Run.TaskID)
	return httpx.WriteJSON(w, http.StatusOK, schedulerapi.RunLog{
		Content: log.Text, TaskID: log.Run.TaskID, Status: string(log.Status),
	})
}

func (a *api) progress(w http.ResponseWriter, r *http.Request) error {
	var req schedulerapi.RunsProgress
	if err := httpx.Decode(r, &req); err != nil {
		return err
	}
	if err := checkProgress(req.Runs); err != nil {
		return err
	}
	if err := a.Logs.Report(r.Context(), req.Runs); err != nil {
		return problem(err, "")
	}
	return ok(w)
}

func checkProgress(runs []schedulerapi.RunProgress) error {
	if len(runs) > schedulerapi.MaxProgress {
		return errs.New(errs.InvalidArgument, "more than %d runs in one delivery", schedulerapi.MaxProgress)
	}
	var faults errs.Faults
	for i, run := range runs {
		path := func(field string) string { return fmt.Sprintf("runs[%d].%s", i, field) }
		switch run.Status {
		case "", schedulerapi.ProgressRunning:
		default:
			faults.Add(path("status"), "must be %q, or left out", schedulerapi.ProgressRunning)
		}
		atMost(&faults, path("worker_id"), run.WorkerID, maxName)
		atMost(&faults, path("log_id"), run.LogID, maxName)
	}
	return faults.Err()
}
