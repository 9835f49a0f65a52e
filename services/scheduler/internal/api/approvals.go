package api

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/approvals"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/ids"
)

func (a *api) approvals(w http.ResponseWriter, r *http.Request) error {
	q := httpx.NewQuery(r)
	page := q.Page(ids.Task)
	query := approvals.Query{TaskID: q.String("task_id"), FlowID: q.String("flow_id"), ListOptions: page.ListOptions}
	if err := q.Err(); err != nil {
		return err
	}
	pending, err := a.Approvals.List(r.Context(), query)
	if err != nil {
		return problem(err, query.TaskID)
	}
	return httpx.WriteJSON(w, http.StatusOK, httpx.NewList(page, pending, wireApproval))
}

func wireApproval(p approvals.Pending) schedulerapi.Approval {
	return schedulerapi.Approval{
		TaskID: p.Task.ID, RunID: p.RunID, FlowID: p.Task.FlowID, FlowName: p.Task.FlowName, FlowVersion: p.Task.FlowVersion,
		NodeKey: p.NodeKey, Path: p.Path, Visit: p.Visit, Attempt: p.Attempt, Key: p.Key,
		Input:       json.RawMessage(orNull(p.Input)),
		RequestedAt: millis(p.RequestedAt), DueAt: millis(p.Due), Digest: p.Digest,
	}
}

func (a *api) decide(w http.ResponseWriter, r *http.Request) error {
	var req schedulerapi.DecideRequest
	if err := httpx.Decode(r, &req); err != nil {
		return err
	}
	if err := checkDecide(req); err != nil {
		return err
	}
	httpx.NameTask(w, req.TaskID)
	err := a.Approvals.Decide(r.Context(), approvals.Decision{
		TaskID: req.TaskID, RunID: req.RunID, Digest: req.Digest, Value: req.Decision, By: req.DecidedBy, Comment: req.Comment,
	})
	if err != nil {
		return problem(err, req.TaskID)
	}
	return ok(w)
}

func checkDecide(req schedulerapi.DecideRequest) error {
	var faults errs.Faults
	if req.TaskID == "" {
		faults.Add("task_id", "is required")
	}
	if req.Digest == "" {
		faults.Add("digest", "is required: that of what was shown")
	}
	switch rawjson.TypeOf(req.Decision) {
	case rawjson.Bool:
	case rawjson.String:
		switch action := rawjson.Text(req.Decision); {
		case action == "":
			faults.Add("decision", "must not be an empty action")
		case strings.ContainsRune(action, 0):
			faults.Add("decision", "must not hold a NUL character")
		default:
			atMost(&faults, "decision", action, maxName)
		}
	case rawjson.Missing:
		faults.Add("decision", "is required: true, false, or an action")
	case rawjson.Null, rawjson.Number, rawjson.Array, rawjson.Object:
		faults.Add("decision", "must be true, false, or an action, which is a string")
	}
	atMost(&faults, "run_id", req.RunID, maxName)
	atMost(&faults, "digest", req.Digest, maxName)
	atMost(&faults, "decided_by", req.DecidedBy, maxName)
	atMost(&faults, "comment", req.Comment, maxComment)
	return faults.Err()
}
