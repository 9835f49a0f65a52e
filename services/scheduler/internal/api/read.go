package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/ids"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

func (a *api) get(w http.ResponseWriter, r *http.Request) error {
	q := httpx.NewQuery(r)
	id := q.Required("id")
	if err := q.Err(); err != nil {
		return err
	}
	httpx.NameTask(w, id)
	task, err := a.Store.GetTask(r.Context(), id)
	if err != nil {
		return problem(err, id)
	}
	return httpx.WriteJSON(w, http.StatusOK, wireTask(task))
}

func (a *api) list(w http.ResponseWriter, r *http.Request) error {
	q := httpx.NewQuery(r)
	page := q.Page(ids.Task)
	query := storage.TaskQuery{
		Status:        httpx.OneOf(q, "status", storage.TaskStatuses),
		FlowID:        q.String("flow_id"),
		FlowVersionID: q.String("flow_version_id"),
		MostBytes:     storage.MaxPageBytes,
		ListOptions:   page.ListOptions,
	}
	if err := q.Err(); err != nil {
		return err
	}
	tasks, err := a.Store.ListTasks(r.Context(), query)
	if err != nil {
		return problem(err, "")
	}
	return httpx.WriteJSON(w, http.StatusOK, httpx.NewList(page, tasks, wireTask))
}

func (a *api) runs(w http.ResponseWriter, r *http.Request) error {
	q := httpx.NewQuery(r)
	id := q.Required("task_id")
	if err := q.Err(); err != nil {
		return err
	}
	httpx.NameTask(w, id)
	runs, err := a.Store.ListRuns(r.Context(), id)
	if err != nil {
		return problem(err, id)
	}
	if len(runs) == 0 {
		// No runs yet, or no such task: only then is it worth asking.
		if _, err := a.Store.GetTask(r.Context(), id); err != nil {
			return problem(err, id)
		}
	}
	out := make([]schedulerapi.Run, len(runs))
	for i, run := range runs {
		out[i] = wireRun(run)
	}
	return httpx.WriteJSON(w, http.StatusOK, out)
}

// Limits of one page of events.
const (
	defaultEvents = 100
	maxEvents     = 1000
)

func (a *api) events(w http.ResponseWriter, r *http.Request) error {
	q := httpx.NewQuery(r)
	id := q.Required("task_id")
	after := q.Int("after_seq", httpx.Bounds{Max: 1 << 53})
	limit := q.Int("limit", httpx.Bounds{Default: defaultEvents, Min: 1, Max: maxEvents})
	if err := q.Err(); err != nil {
		return err
	}
	httpx.NameTask(w, id)
	events, err := a.Store.ListEvents(r.Context(), id, int64(after), limit)
	if err != nil {
		return problem(err, id)
	}
	if len(events) == 0 {
		if _, err := a.Store.GetTask(r.Context(), id); err != nil {
			return problem(err, id)
		}
	}
	out := schedulerapi.Events{Data: make([]schedulerapi.Event, len(events))}
	for i, e := range events {
		out.Data[i] = schedulerapi.Event{Seq: e.Seq, Kind: string(e.Kind), At: millis(e.At), Data: e.Data}
	}
	if len(events) == limit {
		out.NextAfterSeq = events[len(events)-1].Seq
	}
	return httpx.WriteJSON(w, http.StatusOK, out)
}

func wireTask(t storage.Task) schedulerapi.Task {
	out := schedulerapi.Task{
		ID: t.ID, FlowVersionID: t.FlowVersionID, FlowID: t.FlowID, FlowName: t.FlowName, FlowVersion: t.FlowVersion,
		Status: string(t.Status), ParamsJSON: string(t.Params), SharedJSON: string(t.Shared),
		CurrentNodeKey: t.CurrentNode, WaitsFor: string(t.WaitsFor), RetryStateJSON: "{}",
		LeaseOwner: t.Lease.Owner, LeaseExpiry: millis(t.Lease.Expiry), RequestID: t.RequestID,
		CreatedAt: millis(t.CreatedAt), UpdatedAt: millis(t.UpdatedAt), FinishedAt: millis(t.FinishedAt),
	}
	// A state that cannot be read costs these three fields, not the answer.
	if state, err := engine.Load(t); err == nil {
		out.LastAction, out.StepCount = state.Action, state.Steps
		out.RetryStateJSON = retryState(state)
		if f := state.Failure; f != nil {
			out.Error = wireError(f)
		}
	}
	return out
}

func wireError(f *engine.Failure) *schedulerapi.TaskError {
	out := &schedulerapi.TaskError{Node: f.Node, Code: f.Code, Message: f.Message, Attempts: f.Attempts}
	for _, b := range f.Branches {
		out.Branches = append(out.Branches, schedulerapi.BranchError(b))
	}
	return out
}

// retryState tells which attempt failed last while the next one is awaited; {}
// otherwise.
func retryState(state engine.State) string {
	retry, ok := state.NextRetry()
	if !ok {
		return "{}"
	}
	text, err := json.Marshal(map[string]any{"node": retry.Path, "attempt": retry.Attempt, "next_at": millis(retry.Due)})
	if err != nil {
		return "{}"
	}
	return string(text)
}

func wireRun(run storage.NodeRun) schedulerapi.Run {
	return schedulerapi.Run{
		ID: run.ID, TaskID: run.TaskID, NodeKey: run.NodeKey, Path: run.Path, Visit: run.Visit, AttemptNo: run.Attempt,
		Status: string(run.Status), SubStatus: run.SubStatus, BranchID: run.BranchID,
		PrepJSON: text(run.Input), ExecOutputJSON: text(run.Output),
		ExecInputJSON: fmt.Sprintf(`{"input":%s,"params":%s}`, orNull(run.Input), orNull(run.Params)),
		ErrorCode:     run.ErrorCode, ErrorText: run.ErrorText, Action: run.Action,
		StartedAt: millis(run.StartedAt), FinishedAt: millis(run.FinishedAt),
		WorkerID: run.WorkerID, WorkerURL: run.WorkerURL, LogPath: run.LogPath,
		DecidedBy: run.DecidedBy, Comment: run.Comment,
	}
}

// text is a JSON value as the wire's string; "" when there is none.
func text(raw json.RawMessage) string { return string(raw) }

func orNull(raw json.RawMessage) string {
	if len(raw) == 0 {
		return "null"
	}
	return string(raw)
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
