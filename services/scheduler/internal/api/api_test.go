package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/approvals"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/plans"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/results"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/runlog"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/runner"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/connect"
)

const patience = 20 * time.Second

// catalog is a fixed set of versions of one flow.
type catalog map[string]*plans.Version

func (c catalog) Get(_ context.Context, id string) (*plans.Version, error) {
	if v := c[id]; v != nil {
		return v, nil
	}
	return nil, errs.New(errs.NotFound, "there is no flow version %q", id)
}

func (c catalog) Known(id string) (*plans.Version, bool) { return c[id], c[id] != nil }

func (c catalog) Resolve(ctx context.Context, flowID string, number int) (*plans.Version, error) {
	if flowID != "flow-1" || number > 1 {
		return nil, errs.New(errs.NotFound, "there is no such version")
	}
	return c.Get(ctx, "ver-1")
}

func (c catalog) ResolveRef(ctx context.Context, ref flow.Ref) (*plans.Version, error) {
	return c.Resolve(ctx, ref.ID, ref.Version)
}

// executor holds every execution until it is aborted.
type executor struct{}

func (executor) Do(ctx context.Context, _ string, _ engine.Execution) (engine.RunResult, error) {
	<-ctx.Done()
	return engine.RunResult{}, ctx.Err()
}

type noOutbox struct{}

func (noOutbox) Offer([]storage.OutboxMessage) {}

type fixture struct {
	t       *testing.T
	handler http.Handler
	store   storage.Tasks
}

func setup(t *testing.T) *fixture {
	t.Helper()
	store, err := connect.Tasks(t.Context(), filepath.Join(t.TempDir(), "scheduler.db"), connect.Options{Migration: connect.MigrateOnOpen})
	require.NoError(t, err)
	version := func(id, definition string, status storage.VersionStatus) *plans.Version {
		def, faults := flow.Parse([]byte(definition))
		require.Empty(t, faults)
		plan, err := flow.Compile(def)
		require.NoError(t, err)
		return &plans.Version{ID: id, FlowID: "flow-1", FlowName: "f", Number: 1, Status: status, Plan: plan}
	}
	const held = `{"start":"a","nodes":{"a":{"kind":"executor","service":"s"}}}`
	const queued = `{"start":"a","nodes":{"a":{"kind":"executor","exec_type":"queue","service":"s"}}}`
	c := catalog{
		"ver-1":     version("ver-1", held, storage.VersionPublished),
		"ver-draft": version("ver-draft", held, storage.VersionDraft),
		"ver-queue": version("ver-queue", queued, storage.VersionPublished),

		"ver-approval": version("ver-approval", approval, storage.VersionPublished),
		"ver-inside":   version("ver-inside", approvalInside, storage.VersionPublished),
	}
	r := runner.New(runner.Config{
		Owner: "me", Ownership: runner.Exclusive, LeaseTTL: 5 * time.Second, PollInterval: 10 * time.Millisecond, MaxInFlight: 100,
		Limits: engine.Limits{MaxSteps: 100, AttemptTimeout: time.Hour, MaxValue: 1 << 20, MaxNesting: 4, MaxParallel: 4},
	}, runner.Deps{Store: store, Plans: c, Executor: executor{}, Outbox: noOutbox{}, Log: zap.NewNop(), Now: storage.Now})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
		require.NoError(t, store.Close())
	})
	handler, err := httpx.NewRouter(httpx.Deps{Log: zap.NewNop()}, Routes(Deps{
		Store: store, Plans: c, Runner: r, Results: results.Intake{Store: store, Now: storage.Now}, Now: storage.Now,
		Logs:      runlog.Book{Store: store, Most: maxLog, Now: storage.Now},
		Approvals: approvals.New(approvals.Deps{Store: store, Runner: r, Log: zap.NewNop(), Now: storage.Now}),
	}))
	require.NoError(t, err)
	return &fixture{t: t, handler: handler, store: store}
}

func (f *fixture) call(method, target, body string, header ...string) (int, map[string]any) {
	f.t.Helper()
	req := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	f.handler.ServeHTTP(rec, req)
	var out map[string]any
	require.NoError(f.t, json.Unmarshal(rec.Body.Bytes(), &out), rec.Body.String())
	return rec.Code, out
}

// fails makes a call that must fail with the status and code, and returns the
// paths of the faults.
func (f *fixture) fails(status int, code errs.Code, method, target, body string, header ...string) []string {
	f.t.Helper()
	got, out := f.call(method, target, body, header...)
	require.Equal(f.t, status, got, out)
	require.Equal(f.t, string(code), out["code"])
	require.Equal(f.t, out["detail"], out["error"])
	var paths []string
	faults, _ := out["errors"].([]any)
	for _, fault := range faults {
		paths = append(paths, fault.(map[string]any)["path"].(string))
	}
	return paths
}

func (f *fixture) create(body string, header ...string) string {
	f.t.Helper()
	status, out := f.call(http.MethodPost, "/tasks", body, header...)
	require.Equal(f.t, http.StatusOK, status, out)
	id := out["id"].(string)
	// A task made before the runner had started is pending for a moment.
	require.Eventually(f.t, func() bool {
		task, err := f.store.GetTask(f.t.Context(), id)
		return err == nil && task.Status != storage.TaskPending
	}, patience, time.Millisecond)
	return id
}

func (f *fixture) untilStatus(id string, want storage.TaskStatus) {
	f.t.Helper()
	require.Eventually(f.t, func() bool {
		task, err := f.store.GetTask(f.t.Context(), id)
		return err == nil && task.Status == want
	}, patience, time.Millisecond)
}

func TestCreate_TakesEverySpelling(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, body := range []string{
		`{"FlowID":"flow-1","ParamsJSON":"{\"a\": 1.50}"}`,
		`{"flowId":"flow-1","version":1,"params":{"a": 1.50}}`,
		`{"flow_version_id":"ver-1","flow_id":"another","params_json":"{\"a\": 1.50}"}`,
	} {
		_, task := f.call(http.MethodGet, "/api/tasks/get?id="+f.create(body), "")
		require.Equal(t, `{"a":1.50}`, task["params_json"])
		require.Equal(t, "ver-1", task["flow_version_id"])
		require.Equal(t, "running", task["status"])
		require.Equal(t, "a", task["current_node_key"])
		require.Nil(t, task["error"])
	}
}

func TestCreate_NamesEveryFault(t *testing.T) {
	t.Parallel()
	f := setup(t)
	require.Equal(t, []string{"flow_id", "version", "params"},
		f.fails(400, errs.InvalidArgument, http.MethodPost, "/tasks", `{"version":-1,"params":[1]}`))
	require.Equal(t, []string{"params_json"},
		f.fails(400, errs.InvalidArgument, http.MethodPost, "/tasks", `{"flow_id":"flow-1","params_json":"{\"a\""}`))
	f.fails(400, errs.MalformedBody, http.MethodPost, "/tasks", `{"flow_id":`)
	f.fails(404, errs.NotFound, http.MethodPost, "/tasks", `{"flow_id":"flow-2"}`)
	f.fails(404, errs.NotFound, http.MethodPost, "/tasks", `{"flow_version_id":"ver-2"}`)
	f.fails(409, errs.NotPublished, http.MethodPost, "/tasks", `{"flow_version_id":"ver-draft"}`)
	require.Equal(t, []string{"typo"},
		f.fails(400, errs.UnknownField, http.MethodPost, "/tasks", `{"flow_id":"flow-1","typo":1}`, "Prefer", "handling=strict"))
}

func TestCreate_IsIdempotentByKey(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.create(`{"flow_id":"flow-1","params":{"a":1,"b":2.0},"request_id":"k1"}`)
	require.Equal(t, id, f.create(`{"FlowID":"flow-1","ParamsJSON":"{\"b\": 2.0, \"a\": 1}"}`, "Idempotency-Key", "k1"), "another spelling of the same request")
	f.fails(409, errs.RequestIDReused, http.MethodPost, "/tasks", `{"flow_id":"flow-1","params":{"a":2},"request_id":"k1"}`)
	require.NotEqual(t, id, f.create(`{"flow_id":"flow-1","params":{"a":1},"request_id":"k2"}`))
}

func TestCancel(t *testing.T) {
	t.Parallel()
	f := setup(t)
	running, waiting := f.create(`{"flow_id":"flow-1"}`), f.create(`{"flow_version_id":"ver-queue"}`)
	for _, id := range []string{running, waiting} {
		status, out := f.call(http.MethodPost, "/tasks/cancel?id="+id, "")
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, map[string]any{"ok": "1"}, out)
	}
	task, err := f.store.GetTask(t.Context(), waiting)
	require.NoError(t, err)
	require.Equal(t, storage.TaskCanceled, task.Status, "a task that nobody holds is canceled when the cancel is answered")
	f.untilStatus(running, storage.TaskCanceled)

	status, _ := f.call(http.MethodPost, "/tasks/cancel?id="+running, "")
	require.Equal(t, http.StatusOK, status, "a repeat is harmless")
	f.fails(404, errs.NotFound, http.MethodPost, "/tasks/cancel?id=task-none", "")
	f.fails(400, errs.InvalidArgument, http.MethodPost, "/tasks/cancel", "")
	f.fails(409, errs.TaskEnded, http.MethodPost, "/tasks/signal", `{"task_id":"`+running+`","key":"k","value":1}`)
}

func TestSignal(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.create(`{"flow_id":"flow-1"}`)
	for range 2 {
		status, _ := f.call(http.MethodPost, "/tasks/signal", `{"TaskID":"`+id+`","key":"k","value":null,"signal_id":"once"}`)
		require.Equal(t, http.StatusOK, status)
	}
	require.Eventually(t, func() bool {
		task, err := f.store.GetTask(t.Context(), id)
		return err == nil && string(task.Shared) == `{"k":null}`
	}, patience, time.Millisecond)
	events, err := f.store.ListEvents(t.Context(), id, 0, 10)
	require.NoError(t, err)
	require.Len(t, events, 2, "started and one signal")

	require.Equal(t, []string{"task_id", "key", "value"}, f.fails(400, errs.InvalidArgument, http.MethodPost, "/tasks/signal", `{}`))
	require.Equal(t, []string{"key"}, f.fails(400, errs.InvalidArgument, http.MethodPost, "/tasks/signal", `{"task_id":"t","key":"_x","value":1}`))
	f.fails(404, errs.NotFound, http.MethodPost, "/tasks/signal", `{"task_id":"task-none","key":"k","value":1}`)
}

func TestRunOnce_IsRefusedWhileTheTaskIsExecuted(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.fails(409, errs.LeaseHeld, http.MethodPost, "/tasks/run_once?id="+f.create(`{"flow_id":"flow-1"}`), "")
	f.fails(404, errs.NotFound, http.MethodPost, "/tasks/run_once?id=task-none", "")
	id := f.create(`{"flow_version_id":"ver-queue"}`)
	status, _ := f.call(http.MethodPost, "/tasks/run_once?id="+id, "")
	require.Equal(t, http.StatusOK, status, "nothing is due, and that is fine")
}

func TestResults_AreAppliedOnce(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.create(`{"flow_version_id":"ver-queue"}`)
	runs, err := f.store.ListRuns(t.Context(), id)
	require.NoError(t, err)
	body, err := json.Marshal(schedulerapi.JobResults{Results: []schedulerapi.JobResult{
		{TaskID: id, RunID: runs[0].ID, Result: json.RawMessage(`{"n":1}`), WorkerID: "w"},
		{TaskID: "task-none", RunID: "run-none", Result: json.RawMessage(`1`)},
	}})
	require.NoError(t, err)
	for range 2 {
		status, _ := f.call(http.MethodPost, "/internal/results", string(body))
		require.Equal(t, http.StatusOK, status)
		f.untilStatus(id, storage.TaskCompleted)
	}
	runs, err = f.store.ListRuns(t.Context(), id)
	require.NoError(t, err)
	require.Len(t, runs, 1)
	require.Equal(t, storage.RunOK, runs[0].Status)
	require.Equal(t, "w", runs[0].WorkerID)
	status, _ := f.call(http.MethodPost, "/api/internal/results", string(body))
	require.Equal(t, http.StatusNotFound, status, "internal routes are not under /api")
}

// listing is a store whose tasks are too large for a page.
type listing struct {
	storage.Tasks
	asked []int
}

func (l *listing) ListTasks(_ context.Context, query storage.TaskQuery) (storage.Page[storage.Task], error) {
	l.asked = append(l.asked, query.MostBytes)
	return storage.Page[storage.Task]{}, fmt.Errorf("list tasks: %w", storage.ErrPageTooLarge)
}

func TestLists_OfLargeTasksAreToBeShorter(t *testing.T) {
	t.Parallel()
	f := setup(t)
	large := &listing{Tasks: f.store}
	var err error
	f.handler, err = httpx.NewRouter(httpx.Deps{Log: zap.NewNop()}, Routes(Deps{
		Store: large, Now: storage.Now, Approvals: approvals.New(approvals.Deps{Store: large, Log: zap.NewNop(), Now: storage.Now}),
	}))
	require.NoError(t, err)
	for _, path := range []string{"/tasks", "/approvals"} {
		require.Equal(t, []string{"page_size"}, f.fails(400, errs.InvalidArgument, http.MethodGet, path, ""))
	}
	require.Equal(t, []int{storage.MaxPageBytes, storage.MaxPageBytes}, large.asked)
}

func TestLists(t *testing.T) {
	t.Parallel()
	f := setup(t)
	status, out := f.call(http.MethodGet, "/tasks", "")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, []any{}, out["data"])
	var made []string
	for range 3 {
		made = append(made, f.create(`{"flow_id":"flow-1"}`))
	}
	_, out = f.call(http.MethodGet, "/tasks?page=2&page_size=2&status=running&flow_id=flow-1&flow_version_id=ver-1", "")
	require.EqualValues(t, 3, out["total"])
	require.Len(t, out["data"], 1)
	require.Equal(t, made[0], out["data"].([]any)[0].(map[string]any)["id"], "newest first")

	_, out = f.call(http.MethodGet, "/tasks/events?task_id="+made[0]+"&limit=1", "")
	require.EqualValues(t, 1, out["next_after_seq"])
	require.Equal(t, "started", out["data"].([]any)[0].(map[string]any)["kind"])

	require.Equal(t, []string{"page", "page_size", "status"}, f.fails(400, errs.InvalidArgument, http.MethodGet, "/tasks?page=-1&page_size=5000&status=lost", ""))
	f.fails(404, errs.NotFound, http.MethodGet, "/tasks/get?id=task-none", "")
	f.fails(404, errs.NotFound, http.MethodGet, "/tasks/runs?task_id=task-none", "")
	f.fails(404, errs.NotFound, http.MethodGet, "/tasks/events?task_id=task-none", "")
	f.fails(405, errs.MethodNotAllowed, http.MethodDelete, "/tasks", "")
}

func TestRoutes_SayThatTheDatabaseCannotBeUsed(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.create(`{"flow_id":"flow-1"}`)
	require.NoError(t, f.store.Close())
	for _, call := range [][3]string{
		{http.MethodPost, "/tasks", `{"flow_id":"flow-1"}`},
		{http.MethodGet, "/tasks", ""},
		{http.MethodGet, "/tasks/get?id=" + id, ""},
		{http.MethodGet, "/tasks/runs?task_id=" + id, ""},
		{http.MethodGet, "/tasks/events?task_id=" + id, ""},
		{http.MethodPost, "/tasks/signal", `{"task_id":"` + id + `","key":"k","value":1}`},
		{http.MethodPost, "/tasks/cancel?id=" + id, ""},
		{http.MethodPost, "/tasks/run_once?id=" + id, ""},
		{http.MethodGet, "/approvals", ""},
		{http.MethodGet, "/approvals?task_id=" + id, ""},
		{http.MethodPost, "/approvals/decide", `{"task_id":"` + id + `","digest":"d","decision":true}`},
		{http.MethodPost, "/internal/results", `{"results":[{"task_id":"` + id + `","run_id":"run-1"}]}`},
	} {
		f.fails(503, errs.Unavailable, call[0], call[1], call[2])
	}
}

func TestValues_ThatNestTooDeepAreRefused(t *testing.T) {
	t.Parallel()
	f := setup(t)
	deep := strings.Repeat("[", 2000) + strings.Repeat("]", 2000)
	require.Equal(t, []string{"params"}, f.fails(http.StatusBadRequest, errs.InvalidArgument, http.MethodPost, "/tasks", `{"flow_id":"flow-1","params":{"a":`+deep+`}}`))
	require.Equal(t, []string{"value"}, f.fails(http.StatusBadRequest, errs.InvalidArgument, http.MethodPost, "/tasks/signal", `{"task_id":"task-1","key":"k","value":`+deep+`}`))
}
