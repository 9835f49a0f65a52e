package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/ids"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

const (
	// cancelSource is the source id of a task's cancel: there is one at most.
	cancelSource = "cancel"
	// attendWait is how long a cancel's answer waits for the task to be
	// canceled. The cancel itself is durable before that.
	attendWait = time.Second
	maxName    = 256  // bytes of a key, an id, or who sends something
	maxComment = 4096 // bytes of what they say to it
)

func (a *api) cancel(w http.ResponseWriter, r *http.Request) error {
	q := httpx.NewQuery(r)
	id := q.Required("id")
	if err := q.Err(); err != nil {
		return err
	}
	httpx.NameTask(w, id)
	outcome, err := a.append(r.Context(), storage.InboxEvent{
		TaskID: id, SourceID: cancelSource, Kind: storage.EventCancel, Data: json.RawMessage("{}"), At: a.Now(),
	})
	if err != nil {
		return err
	}
	if !outcome.Leased && !outcome.Duplicate {
		// Nobody executes it, so it can be canceled here and now. If that does
		// not work out, the poll comes to it.
		ctx, stop := context.WithTimeout(r.Context(), attendWait)
		defer stop()
		_ = a.Runner.Attend(ctx, id)
	}
	return ok(w)
}

func (a *api) signal(w http.ResponseWriter, r *http.Request) error {
	var req schedulerapi.SignalRequest
	if err := httpx.Decode(r, &req); err != nil {
		return err
	}
	if err := checkSignal(req); err != nil {
		return err
	}
	httpx.NameTask(w, req.TaskID)
	event := engine.Event{Kind: storage.EventSignal, Signal: &engine.Signal{
		Key: req.Key, Value: req.Value, DecidedBy: req.DecidedBy, Comment: req.Comment,
	}}
	data, err := event.Data()
	if err != nil {
		return err
	}
	source := req.SignalID
	if source == "" {
		source = ids.New(ids.Event)
	}
	_, err = a.append(r.Context(), storage.InboxEvent{
		TaskID: req.TaskID, SourceID: "signal:" + source, Kind: storage.EventSignal, Data: data, At: a.Now(),
	})
	if err != nil {
		return err
	}
	return ok(w)
}

func checkSignal(req schedulerapi.SignalRequest) error {
	var faults errs.Faults
	if req.TaskID == "" {
		faults.Add("task_id", "is required")
	}
	switch {
	case req.Key == "":
		faults.Add("key", "is required")
	case strings.HasPrefix(req.Key, "_"):
		faults.Add("key", `must not begin with "_"`)
	default:
		atMost(&faults, "key", req.Key, maxName)
	}
	switch {
	case req.Value == nil:
		faults.Add("value", "is required; any JSON value, null included")
	case rawjson.TooDeep(req.Value):
		faults.Add("value", "nests deeper than %d levels", rawjson.MaxDepth)
	}
	atMost(&faults, "signal_id", req.SignalID, maxName)
	atMost(&faults, "decided_by", req.DecidedBy, maxName)
	atMost(&faults, "comment", req.Comment, maxComment)
	return faults.Err()
}

func atMost(faults *errs.Faults, path, text string, limit int) {
	if len(text) > limit {
		faults.Add(path, "is over %d bytes", limit)
	}
}

// append puts one event into a task's log.
func (a *api) append(ctx context.Context, event storage.InboxEvent) (storage.AppendOutcome, error) {
	outcomes, err := a.Store.AppendEvents(ctx, []storage.InboxEvent{event})
	if err != nil {
		return storage.AppendOutcome{}, problem(err, event.TaskID)
	}
	return outcomes[0], problem(outcomes[0].Err, event.TaskID)
}

func (a *api) runOnce(w http.ResponseWriter, r *http.Request) error {
	q := httpx.NewQuery(r)
	id := q.Required("id")
	if err := q.Err(); err != nil {
		return err
	}
	httpx.NameTask(w, id)
	if err := a.Runner.RunOnce(r.Context(), id); err != nil {
		return problem(err, id)
	}
	return ok(w)
}

// maxResults is the most results in one delivery.
const maxResults = 1000

func (a *api) results(w http.ResponseWriter, r *http.Request) error {
	var req schedulerapi.JobResults
	if err := httpx.Decode(r, &req); err != nil {
		return err
	}
	if len(req.Results) > maxResults {
		return errs.New(errs.InvalidArgument, "more than %d results in one delivery", maxResults)
	}
	if err := a.Results.DeliverResults(r.Context(), req.Results); err != nil {
		return problem(err, "")
	}
	return ok(w)
}
