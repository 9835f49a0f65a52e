package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/plans"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/runner"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// maxRequestID bounds an idempotency key.
const maxRequestID = 256

func (a *api) create(w http.ResponseWriter, r *http.Request) error {
	var req schedulerapi.CreateTaskRequest
	if err := httpx.Decode(r, &req); err != nil {
		return err
	}
	if req.RequestID == "" {
		var err error
		if req.RequestID, err = httpx.HeaderText(r, httpx.HeaderIdempotencyKey); err != nil {
			return err
		}
	}
	params, err := checkCreate(&req)
	if err != nil {
		return err
	}
	version, err := a.version(r, req)
	if err != nil {
		return err
	}
	p := runner.CreateParams{Version: version, Params: params, RequestID: req.RequestID}
	if req.RequestID != "" {
		p.RequestHash = requestHash(req, params)
	}
	outcome, err := a.Runner.Create(r.Context(), p)
	if err != nil {
		return problem(err, "")
	}
	httpx.NameTask(w, outcome.Task.ID)
	if errors.Is(outcome.Err, storage.ErrConflict) {
		return errs.New(errs.RequestIDReused, "the request id %q made the task %s from another request", req.RequestID, outcome.Task.ID)
	}
	if outcome.Err != nil {
		return problem(outcome.Err, outcome.Task.ID)
	}
	return httpx.WriteJSON(w, http.StatusOK, schedulerapi.Created{ID: outcome.Task.ID})
}

// checkCreate names every fault and returns the params as compact JSON.
func checkCreate(req *schedulerapi.CreateTaskRequest) (json.RawMessage, error) {
	var faults errs.Faults
	if req.FlowID == "" && req.FlowVersionID == "" {
		faults.Add("flow_id", "flow_id or flow_version_id is required")
	}
	if req.Version < 0 {
		faults.Add("version", "must not be negative")
	}
	if len(req.RequestID) > maxRequestID {
		faults.Add("request_id", "is over %d bytes", maxRequestID)
	}
	field, params := "params", req.Params
	hasParams := !rawjson.IsNull(params)
	if req.ParamsJSON != "" {
		if hasParams {
			faults.Add("params_json", "params came in both forms")
		}
		field, params, hasParams = "params_json", json.RawMessage(req.ParamsJSON), true
	}
	compact := bytes.NewBuffer(make([]byte, 0, len(params)))
	switch {
	case !hasParams:
		compact.WriteString("{}")
	case json.Compact(compact, params) != nil || rawjson.TypeOf(compact.Bytes()) != rawjson.Object:
		faults.Add(field, "must be a JSON object")
	case rawjson.TooDeep(compact.Bytes()):
		faults.Add(field, "nests deeper than %d levels", rawjson.MaxDepth)
	}
	return compact.Bytes(), faults.Err()
}

func (a *api) version(r *http.Request, req schedulerapi.CreateTaskRequest) (*plans.Version, error) {
	var version *plans.Version
	var err error
	if req.FlowVersionID != "" {
		version, err = a.Plans.Get(r.Context(), req.FlowVersionID)
	} else {
		version, err = a.Plans.Resolve(r.Context(), req.FlowID, req.Version)
	}
	if err != nil {
		return nil, err
	}
	if version.Status != storage.VersionPublished {
		return nil, errs.New(errs.NotPublished, "version %d of the flow is a %s: only published versions start tasks", version.Number, version.Status)
	}
	return version, nil
}

// requestHash is a digest of what was asked for, not of what it resolved to:
// the same request repeated after a new version was published is the same. So
// is one whose params have their members in another order, as a client with an
// unordered map may send them.
func requestHash(req schedulerapi.CreateTaskRequest, params json.RawMessage) string {
	params = canonical(params)
	digest := sha256.Sum256(fmt.Appendf(nil, "%q %q %d %s", req.FlowID, req.FlowVersionID, req.Version, params))
	return hex.EncodeToString(digest[:])
}

// canonical sorts the members of all objects; numbers keep their text.
func canonical(params json.RawMessage) json.RawMessage {
	decoder := json.NewDecoder(bytes.NewReader(params))
	decoder.UseNumber()
	var value any
	if decoder.Decode(&value) != nil {
		return params
	}
	sorted, err := json.Marshal(value)
	if err != nil {
		return params
	}
	return sorted
}
