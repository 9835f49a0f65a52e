package engine

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine/enginetest"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/flow/expr"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// frameAt is an active node or branch and the path that it should have.
type frameAt struct {
	path    string
	run     int
	id      string
	visit   int
	attempt int
	open    bool // its run is
}

// active are the nodes and branches that the state says are active, outermost
// first.
func (w *world) active() []frameAt {
	var active []frameAt
	path := ""
	for node := w.state.Flow.Node; node != nil; node = node.inner() {
		path += node.Key
		active = append(active, frameAt{path, node.Run, node.RunID, node.Visit, node.Attempt, node.Phase.open()})
		path += "/"
		if node.Fan == nil {
			continue
		}
		for _, b := range node.Fan.Open {
			active = append(active, frameAt{path + strconv.Itoa(b.Index), b.Run, b.RunID, node.Visit, b.Attempt, b.Phase.open()})
		}
	}
	return active
}

func (w *world) activePath() string {
	var keys []string
	for node := w.state.Flow.Node; node != nil; node = node.inner() {
		keys = append(keys, node.Key)
	}
	return strings.Join(keys, "/")
}

// at is the node of a path, and whether the path is that of one of its
// branches. Flows by reference always name the same plan here.
func (w *world) at(path string) (node *flow.PlanNode, branch bool) {
	plan := w.program.Plan
	for key := range strings.SplitSeq(path, "/") {
		if node != nil && node.Subflow == nil {
			return node, true
		}
		if node != nil {
			plan = w.inside(node)
		}
		node = plan.Node(key)
	}
	return node, false
}

// inside is the flow of a subflow node.
func (w *world) inside(node *flow.PlanNode) *flow.Plan {
	if node.Subflow.Plan != nil {
		return node.Subflow.Plan
	}
	plan, err := node.Subflow.Bind(w.program.Flows[versionOf(node.Subflow.Flow.Name)])
	require.NoError(w.t, err)
	return plan
}

// holdRuns holds the rows to what the state says, and those that the step
// started or finished to the definition.
func (w *world) holdRuns(effects Effects) {
	want := map[int]bool{}
	for _, f := range w.active() {
		if f.open {
			want[f.run] = true
			row := &w.rows[f.run-1]
			require.Equal(w.t, []any{f.path, f.id, f.visit, f.attempt}, []any{row.Path, row.ID, row.Visit, row.Attempt})
		}
	}
	require.Equal(w.t, want, w.open, "exactly the runs of what is active are open")
	require.Len(w.t, w.rows, w.state.Runs)

	for i := range effects.Started {
		row := &w.rows[effects.Started[i].No-1]
		require.Equal(w.t, effects.Started[i].ID, row.ID, "runs are numbered without a gap")
		for _, name := range []string{row.ID, place(row, row.Attempt)} {
			require.Zero(w.t, w.named[name], "run %d is named like an earlier one: %s", row.No, name)
			w.named[name] = row.No
		}
		w.holdPlace(row)
	}
	for _, f := range effects.Finished { // which began before those that started
		w.holdEnd(&w.rows[f.No-1])
	}
	for i := range effects.Started {
		w.holdEnd(&w.rows[effects.Started[i].No-1])
	}
	w.holdWindow()
}

// place names an attempt of what the run is an attempt of.
func place(row *storage.NodeRun, attempt int) string {
	return fmt.Sprintf("%s, visit %d, attempt %d", row.Path, row.Visit, attempt)
}

// holdPlace holds a run to where it belongs.
func (w *world) holdPlace(row *storage.NodeRun) {
	around, key := cutLast(row.Path)
	node, branch := w.at(row.Path)
	require.NotNil(w.t, node, row.Path)
	require.Equal(w.t, node.Key, row.NodeKey)
	if !branch && node.Parallel == nil && node.Foreach == nil {
		require.LessOrEqual(w.t, row.Attempt, 1+node.Retry.Max)
	}
	switch {
	case branch:
		require.Equal(w.t, key, row.BranchID)
		w.holdItem(node, row)
		return
	case around != "":
		require.Equal(w.t, row.NodeKey, row.BranchID)
	default:
		require.Empty(w.t, row.BranchID)
	}
	if row.Attempt == 1 {
		w.holdWay(node, row)
	} else {
		w.holdWait(node, row)
	}
}

// holdEnd holds a run that has ended to how it should have.
func (w *world) holdEnd(row *storage.NodeRun) {
	if row.FinishedAt.IsZero() {
		require.Empty(w.t, row.SubStatus)
		return
	}
	node, branch := w.at(row.Path)
	mark := ""
	switch {
	case branch && node.Foreach != nil:
		mark = itemComplete
	case branch:
		mark = branchComplete
	case strings.Contains(row.Path, "/"):
		mark = subNodeComplete
	}
	require.Contains(w.t, []string{"", mark}, row.SubStatus)
	if node.Wait != nil {
		w.signals.ended(w, node, row)
	}
	w.signals.wrote(w, row)
	if node.Kind == flow.KindExecutor || branch {
		w.holdRetry(row)
	}
	if (node.Parallel != nil || node.Foreach != nil) && !branch && row.Status == storage.RunError {
		w.holdFailed(row)
	}
	if row.Status != storage.RunOK {
		return
	}
	require.Equal(w.t, mark, row.SubStatus, "what ended well has ended")
	if node.Timer != nil {
		w.holdTime(node, row)
	}
	switch {
	case branch, node.Kind == flow.KindExecutor:
		require.NotNil(w.t, w.answers[row.ID], "run %d ended by its own result", row.No)
		require.Equal(w.t, string(w.answers[row.ID].output()), string(row.Output))
	case node.Parallel != nil, node.Foreach != nil:
		w.holdResults(row)
	}
}

// cutLast splits a path into that of the node around and the last key.
func cutLast(path string) (around, key string) {
	i := strings.LastIndexByte(path, '/')
	return path[:max(i, 0)], path[i+1:]
}

// holdEffects holds what the step asked for to the runs that it opened and
// closed. open are the runs that were open before it, opened is their number.
func (w *world) holdEffects(e Event, effects Effects, open map[int]bool) {
	aborted := map[string]bool{}
	for _, a := range effects.Abort {
		require.False(w.t, aborted[a.RunID], "aborted once")
		aborted[a.RunID] = true
		row := &w.rows[w.named[a.RunID]-1]
		require.False(w.t, row.FinishedAt.IsZero(), "what is aborted has ended")
		require.True(w.t, open[row.No] || row.FinishedAt.Equal(row.StartedAt), "what is aborted was open")
		if x, ok := w.asked[a.RunID]; ok {
			require.Equal(w.t, x.Exec.Type == flow.ExecQueue, a.Queued)
		}
	}
	executed := map[int]bool{}
	for _, x := range effects.Execute {
		row := &w.rows[x.RunNo-1]
		require.False(w.t, executed[x.RunNo] || open[x.RunNo], "executed once")
		executed[x.RunNo] = true
		require.Equal(w.t, []any{row.ID, row.NodeKey, row.Path, row.Visit, row.Attempt}, []any{x.RunID, x.NodeKey, x.Path, x.Visit, x.Attempt})
		switch {
		case !row.FinishedAt.IsZero():
			require.True(w.t, aborted[x.RunID], "what ends before it began is aborted")
		case x.Exec.Type == flow.ExecQueue:
			require.Equal(w.t, storage.RunQueued, row.Status)
		default:
			require.Equal(w.t, storage.RunRunning, row.Status)
		}
	}
	for no := range w.open {
		row := &w.rows[no-1]
		if node, branch := w.at(row.Path); !open[no] && (branch || node.Kind == flow.KindExecutor) {
			require.True(w.t, executed[no], "run %d is carried out", no)
		}
	}
	for no := range open {
		row := &w.rows[no-1]
		if _, asked := w.asked[row.ID]; asked && !w.open[no] && runOf(e) != row.ID {
			require.True(w.t, aborted[row.ID], "run %d ended without its result, and is aborted", no)
		}
	}
}

// holdReason holds that a task which has not ended says what moves it on.
func (w *world) holdReason() {
	state, resumed := w.state, w.resumed()
	if state.Status.Terminal() {
		require.Nil(w.t, state.Flow.Node)
		require.True(w.t, state.NextDue().IsZero())
		require.Equal(w.t, state.Status == storage.TaskFailed, state.Failure != nil)
		require.Equal(w.t, Effects{}, resumed)
		require.Equal(w.t, storage.WaitNone, w.program.WaitsFor(state))
		return
	}
	due, node := state.NextDue(), state.Innermost()
	isDue := !due.IsZero() && !due.After(state.Now.Time()) // by the task's own clock
	underWay := len(resumed.Execute)+len(resumed.Resolve) > 0
	queued := slices.ContainsFunc(w.executing(), func(id string) bool { return w.asked[id].Exec.Type == flow.ExecQueue })
	waitsFor := w.program.WaitsFor(state)
	switch state.Status {
	case storage.TaskPending:
		require.Zero(w.t, state.Steps)
	case storage.TaskRunning:
		require.True(w.t, underWay || isDue, "something runs, or is due")
		require.Equal(w.t, storage.WaitNone, waitsFor)
	case storage.TaskWaitingQueue:
		require.False(w.t, underWay)
		require.True(w.t, queued)
		require.Equal(w.t, storage.WaitQueue, waitsFor)
	case storage.TaskWaiting:
		require.False(w.t, underWay || queued)
		_, decides := w.program.Approval(state)
		awaits := w.waitKey() != "" && node.Phase == PhaseWaiting
		require.True(w.t, !due.IsZero() || awaits, "a time or a signal moves it on")
		require.Equal(w.t, waitsFor == storage.WaitApproval, decides)
		require.Equal(w.t, waitsFor == storage.WaitApproval || waitsFor == storage.WaitEvent, awaits)
	case storage.TaskCompleted, storage.TaskFailed, storage.TaskCanceling, storage.TaskCanceled:
		require.Fail(w.t, "not a status of a task that goes on", state.Status)
	}
}

// resumed is what whoever takes the task over carries out: exactly what is
// under way, as it was asked for first.
func (w *world) resumed() Effects {
	program := w.program
	state := w.load(&program, w.state, storedRuns{w.rows, nil})
	resumed := program.Resume(state)
	want := map[string]Execution{}
	for _, id := range w.executing() {
		if x := w.asked[id]; x.Exec.Type != flow.ExecQueue {
			want[id] = timeless(x)
		}
	}
	got := map[string]Execution{}
	for _, x := range resumed.Execute {
		got[x.RunID] = timeless(x)
	}
	require.Len(w.t, resumed.Execute, len(got))
	require.Equal(w.t, want, got, "resumed is what was under way")
	if node := w.state.Innermost(); node != nil && node.Phase == PhaseResolving {
		require.Equal(w.t, w.resolves[len(w.resolves)-1:], resumed.Resolve)
	} else {
		require.Empty(w.t, resumed.Resolve)
	}
	return resumed
}

// timeless leaves out a time-out that the shared state has by now another
// value for.
func timeless(x Execution) Execution {
	now, _ := x.Exec.Timeout.Resolve(expr.Scope{Params: x.Params, Shared: json.RawMessage(`{"` + enginetest.KeyWritten + `":77}`)})
	if now == 77*time.Millisecond {
		x.Timeout = 0
	}
	return x
}
