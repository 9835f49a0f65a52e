package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// approval asks again until it is approved, and then waits at a queue.
const approval = `{"start":"review","nodes":{
	"review":{"kind":"approval","approval_key":"verdict","prep":{"input_map":{"amount":"$shared.amount","who":"$params.who"}}},
	"work":{"kind":"executor","exec_type":"queue","service":"s"}},
	"edges":[{"from":"review","action":"approved","to":"work"},{"from":"review","action":"again","to":"review"},
	{"from":"review","action":"rejected","to":""}]}`

// approvalInside waits in a subflow, with a time-out.
const approvalInside = `{"start":"sf","nodes":{"sf":{"kind":"subflow","prep":{"input_key":"$params"},"subflow":{
	"start":"review","nodes":{"review":{"kind":"approval","approval_key":"verdict","timeout_ms":60000,"prep":{"input_key":"who"}}}}}}}`

func (f *fixture) createApproval() string {
	f.t.Helper()
	id := f.create(`{"flow_version_id":"ver-approval","params":{"who":"eve"}}`)
	f.asked(id)
	return id
}

// asked waits until the task asks for a decision and returns what it asks.
func (f *fixture) asked(id string) map[string]any {
	f.t.Helper()
	var item map[string]any
	require.Eventually(f.t, func() bool {
		status, out := f.call(http.MethodGet, "/approvals?task_id="+id, "")
		data, _ := out["data"].([]any)
		if status == http.StatusOK && len(data) == 1 {
			item = data[0].(map[string]any)
		}
		return item != nil
	}, patience, time.Millisecond)
	return item
}

// decision is a request for what is asked.
func decision(asked map[string]any, members string) string {
	return fmt.Sprintf(`{"task_id":%q,"digest":%q,%s}`, asked["task_id"], asked["digest"], members)
}

func (f *fixture) decides(body string) {
	f.t.Helper()
	status, out := f.call(http.MethodPost, "/approvals/decide", body)
	require.Equal(f.t, http.StatusOK, status, out)
	require.Equal(f.t, map[string]any{"ok": "1"}, out)
}

func (f *fixture) signal(id, key, value string) {
	f.t.Helper()
	status, out := f.call(http.MethodPost, "/tasks/signal", fmt.Sprintf(`{"task_id":%q,"key":%q,"value":%s}`, id, key, value))
	require.Equal(f.t, http.StatusOK, status, out)
}

func TestApprovals_ListWhatWaits(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.create(`{"flow_version_id":"ver-queue"}`)
	status, out := f.call(http.MethodGet, "/approvals", "")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, map[string]any{"data": []any{}, "total": 0.0, "page": 1.0, "size": 10.0}, out)

	var ids []string
	for range 3 {
		ids = append(ids, f.createApproval())
	}
	_, out = f.call(http.MethodGet, "/api/approvals?page_size=2&flow_id=flow-1", "")
	require.EqualValues(t, 3, out["total"])
	data := out["data"].([]any)
	require.Len(t, data, 2)
	require.Equal(t, ids[2], data[0].(map[string]any)["task_id"], "newest first")
	_, out = f.call(http.MethodGet, "/approvals?cursor="+out["next_cursor"].(string), "")
	require.Equal(t, []any{f.asked(ids[0])}, out["data"])
	require.NotContains(t, out, "next_cursor")
	_, out = f.call(http.MethodGet, "/approvals?flow_id=flow-2", "")
	require.Empty(t, out["data"])

	asked := f.asked(ids[0])
	runs, err := f.store.ListRuns(t.Context(), ids[0])
	require.NoError(t, err)
	require.Regexp(t, `^sha256:[0-9a-f]{64}$`, asked["digest"])
	delete(asked, "digest")
	require.Equal(t, map[string]any{
		"task_id": ids[0], "run_id": runs[0].ID, "flow_id": "flow-1", "flow_name": "f", "flow_version": 1.0,
		"node_key": "review", "path": "review", "visit": 1.0, "attempt": 1.0, "key": "verdict",
		"input":        map[string]any{"amount": nil, "who": "eve"},
		"requested_at": float64(runs[0].StartedAt.UnixMilli()), "due_at": 0.0,
	}, asked)

	_, task := f.call(http.MethodGet, "/tasks/get?id="+ids[0], "")
	require.Equal(t, "waiting", task["status"])
	require.Equal(t, "approval", task["waits_for"])
	require.Equal(t, []string{"page_size", "cursor"}, f.fails(400, errs.InvalidArgument, http.MethodGet, "/approvals?page_size=0&cursor=x", ""))
	f.fails(404, errs.NotFound, http.MethodGet, "/approvals?task_id=task-none", "")
}

func TestApprovals_LeaveOutATaskThatIsBeingCanceled(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.createApproval()
	asked := f.asked(id)
	f.hold(id, time.Hour)
	status, _ := f.call(http.MethodPost, "/tasks/cancel?id="+id, "")
	require.Equal(t, http.StatusOK, status)
	_, out := f.call(http.MethodGet, "/approvals", "")
	require.Empty(t, out["data"])
	f.fails(409, errs.TaskEnded, http.MethodPost, "/approvals/decide", decision(asked, `"decision":true`))
}

func TestDecide_MovesTheTaskOnAndKeepsWhoDecided(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for word, want := range map[string]string{"true": "approved", "false": "rejected", `"again"`: "again"} {
		id := f.createApproval()
		asked := f.asked(id)
		f.decides(decision(asked, `"decision":`+word+`,"decided_by":"dora","comment":"so be it"`))
		var task map[string]any
		require.Eventually(t, func() bool { // at once, unless the machine is busy
			_, task = f.call(http.MethodGet, "/tasks/get?id="+id, "")
			return task["last_action"] == want
		}, patience, time.Millisecond)
		require.JSONEq(t, `{"verdict":`+word+`}`, task["shared_json"].(string))
		status, runs := f.list("/tasks/runs?task_id=" + id)
		require.Equal(t, http.StatusOK, status)
		require.Equal(t, "ok", runs[0]["status"])
		require.Equal(t, "dora", runs[0]["decided_by"])
		require.Equal(t, "so be it", runs[0]["comment"])
		require.Equal(t, want, runs[0]["action"])
	}
}

func TestDecide_ASignalDecidesAsWell(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.createApproval()
	status, out := f.call(http.MethodPost, "/tasks/signal", `{"task_id":"`+id+`","key":"verdict","value":true,"DecidedBy":"dora","comment":"c"}`)
	require.Equal(t, http.StatusOK, status, out)
	f.untilStatus(id, storage.TaskWaitingQueue)
	_, runs := f.list("/tasks/runs?task_id=" + id)
	require.Equal(t, "dora", runs[0]["decided_by"])
	require.Equal(t, "c", runs[0]["comment"])
}

// list is call for an answer that is a bare array.
func (f *fixture) list(target string) (int, []map[string]any) {
	f.t.Helper()
	rec := httptest.NewRecorder()
	f.handler.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, target, http.NoBody))
	var out []map[string]any
	require.NoError(f.t, json.Unmarshal(rec.Body.Bytes(), &out), rec.Body.String())
	return rec.Code, out
}

func TestDecide_InASubflow(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.create(`{"flow_version_id":"ver-inside","params":{"who":"eve"}}`)
	asked := f.asked(id)
	require.Equal(t, "review", asked["node_key"])
	require.Equal(t, "sf/review", asked["path"])
	require.Equal(t, "eve", asked["input"])
	require.InDelta(t, asked["requested_at"].(float64)+60_000, asked["due_at"], 1)
	f.decides(decision(asked, `"decision":"later","decided_by":"dora"`))
	f.untilStatus(id, storage.TaskCompleted)
	_, runs := f.list("/tasks/runs?task_id=" + id)
	require.Equal(t, "dora", runs[1]["decided_by"])
	require.Equal(t, "later", runs[1]["action"])
}

func TestDecide_CountsOnlyForWhatWasShown(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.createApproval()
	first := f.asked(id)

	f.signal(id, "unrelated", "1")
	f.signal(id, "amount", "10")
	var second map[string]any
	require.Eventually(t, func() bool {
		second = f.asked(id)
		return second["digest"] != first["digest"]
	}, patience, time.Millisecond)
	require.Equal(t, first["run_id"], second["run_id"], "the content has changed, nothing else")
	for _, body := range []string{
		decision(first, `"decision":true`), decision(first, `"decision":true,"run_id":"`+first["run_id"].(string)+`"`),
		decision(second, `"decision":true,"run_id":"run-other"`),
	} {
		f.fails(409, errs.ApprovalChanged, http.MethodPost, "/approvals/decide", body)
	}
	f.decides(decision(second, `"decision":"again"`))

	var third map[string]any
	require.Eventually(t, func() bool {
		third = f.asked(id)
		return third["visit"] == 2.0
	}, patience, time.Millisecond)
	require.Equal(t, second["input"], third["input"])
	f.fails(409, errs.ApprovalChanged, http.MethodPost, "/approvals/decide", decision(second, `"decision":true`))
	f.decides(decision(third, `"decision":true`))
	f.untilStatus(id, storage.TaskWaitingQueue)
	f.fails(409, errs.ApprovalClosed, http.MethodPost, "/approvals/decide", decision(third, `"decision":true`))
}

// What was sent before the decision is applied before it, and may change what
// is decided on.
func TestDecide_WaitsForWhatTheTaskWasSent(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for range 20 {
		id := f.createApproval()
		asked := f.asked(id)
		f.signal(id, "amount", "10")
		f.fails(409, errs.ApprovalChanged, http.MethodPost, "/approvals/decide", decision(asked, `"decision":true`))
		require.NotNil(t, f.asked(id))
	}
}

func TestDecide_ARepeatIsHarmless(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.createApproval()
	asked := f.asked(id)
	run := `"run_id":"` + asked["run_id"].(string) + `",`
	said := `"decided_by":"dora","comment":"c"`
	for range 3 {
		f.decides(decision(asked, run+said+`,"decision":"approved"`))
	}
	f.untilStatus(id, storage.TaskWaitingQueue)
	detail := f.refuses(decision(asked, run+`"decided_by":"eve","decision":false`), errs.ApprovalClosed)
	require.Contains(t, detail, `by "dora": "approved"`)
	f.refuses(decision(asked, run+`"decided_by":"dora","comment":"another","decision":"approved"`), errs.ApprovalClosed)
	f.refuses(decision(asked, said+`,"decision":"approved"`), errs.ApprovalClosed) // nothing tells it from a new one

	status, _ := f.call(http.MethodPost, "/tasks/cancel?id="+id, "")
	require.Equal(t, http.StatusOK, status)
	f.untilStatus(id, storage.TaskCanceled)
	f.decides(decision(asked, run+said+`,"decision":"approved"`))
	f.refuses(decision(asked, run+`"decision":false`), errs.ApprovalClosed)
	f.refuses(decision(asked, said+`,"decision":"approved"`), errs.TaskEnded)
	f.refuses(decision(asked, `"run_id":"run-other","decision":"approved"`), errs.TaskEnded)
	events, err := f.store.ListEvents(t.Context(), id, 0, 100)
	require.NoError(t, err)
	require.Len(t, events, 3, "started, one decision, cancel")
}

// refuses makes a decision that is refused and returns the detail.
func (f *fixture) refuses(body string, code errs.Code) string {
	f.t.Helper()
	status, out := f.call(http.MethodPost, "/approvals/decide", body)
	require.Equal(f.t, http.StatusConflict, status, out)
	require.Equal(f.t, string(code), out["code"], out)
	return out["detail"].(string)
}

func TestDecide_NamesEveryFault(t *testing.T) {
	t.Parallel()
	f := setup(t)
	long := strings.Repeat("x", maxComment+1)
	faults := func(body string, header ...string) []string {
		return f.fails(400, errs.InvalidArgument, http.MethodPost, "/approvals/decide", body, header...)
	}
	require.Equal(t, []string{"task_id", "digest", "decision"}, faults(`{}`))
	for _, wrong := range []string{`null`, `1`, `[true]`, `{}`, `""`, `"a\u0000"`, `"` + long + `"`} {
		require.Equal(t, []string{"decision"}, faults(`{"task_id":"t","digest":"d","decision":`+wrong+`}`))
	}
	require.Equal(t, []string{"run_id", "digest", "decided_by", "comment"}, faults(fmt.Sprintf(
		`{"task_id":"t","decision":true,"digest":%q,"run_id":%[1]q,"decided_by":%[1]q,"comment":%[1]q}`, long)))
	require.Equal(t, []string{"decided_by", "task_id"}, faults(`{"task_id":7,"decided_by":[]}`))
	require.Equal(t, []string{"decided_by", "comment"}, f.fails(400, errs.InvalidArgument, http.MethodPost, "/tasks/signal",
		fmt.Sprintf(`{"task_id":"t","key":"k","value":1,"decided_by":%q,"comment":%[1]q}`, long)))
	require.Equal(t, []string{"typo"}, f.fails(400, errs.UnknownField, http.MethodPost, "/approvals/decide", `{"typo":1}`, "Prefer", "handling=strict"))
	f.fails(404, errs.NotFound, http.MethodPost, "/approvals/decide", `{"task_id":"task-none","digest":"d","decision":true}`)
	queued := f.create(`{"flow_version_id":"ver-queue"}`)
	f.fails(409, errs.ApprovalClosed, http.MethodPost, "/approvals/decide", `{"task_id":"`+queued+`","digest":"d","decision":true}`)
}

func TestDecide_OneOfSeveralWins(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for range 10 {
		id := f.createApproval()
		asked := f.asked(id)
		const deciders = 4
		answers := make([]*httptest.ResponseRecorder, deciders)
		var all sync.WaitGroup
		for i := range answers {
			body := decision(asked, fmt.Sprintf(`"decision":true,"decided_by":"d%d","run_id":%q`, i, asked["run_id"]))
			answers[i] = httptest.NewRecorder()
			all.Go(func() {
				f.handler.ServeHTTP(answers[i], httptest.NewRequest(http.MethodPost, "/approvals/decide", strings.NewReader(body)))
			})
		}
		all.Wait()
		runs, err := f.store.LoadRuns(t.Context(), id, []int{1})
		require.NoError(t, err)
		won := 0
		for i, answer := range answers {
			if answer.Code == http.StatusOK {
				won++
				require.Equal(t, fmt.Sprintf("d%d", i), runs[0].DecidedBy)
				continue
			}
			require.Equal(t, http.StatusConflict, answer.Code, answer.Body)
			require.Contains(t, answer.Body.String(), string(errs.ApprovalClosed))
			require.Contains(t, answer.Body.String(), `by \"`+runs[0].DecidedBy+`\"`)
		}
		require.Equal(t, 1, won)
	}
}

// hold takes the task's lease for somebody who does nothing with it.
func (f *fixture) hold(id string, ttl time.Duration) {
	f.t.Helper()
	require.Eventually(f.t, func() bool {
		now := storage.Now()
		_, err := f.store.ClaimTask(f.t.Context(), id, storage.ClaimParams{Owner: "another", Now: now, Until: now.Add(ttl)})
		return err == nil
	}, patience, time.Millisecond)
}

func TestDecide_GoesOnWhenAnOwnerIsLost(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.createApproval()
	asked := f.asked(id)
	f.hold(id, 200*time.Millisecond)
	f.decides(decision(asked, `"decision":true`))
	f.untilStatus(id, storage.TaskWaitingQueue)
}

func TestDecide_SaysThatATaskIsHeld(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.createApproval()
	asked := f.asked(id)
	f.hold(id, time.Hour)
	require.Equal(t, asked, f.asked(id), "it is still asked")
	f.fails(409, errs.LeaseHeld, http.MethodPost, "/approvals/decide", decision(asked, `"decision":true`))
}
