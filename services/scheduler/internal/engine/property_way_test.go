package engine

import (
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/flow/expr"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// holdWay holds a visit that begins to the way that led to it: from the start,
// or along the edge that the end of the visit before it takes.
func (w *world) holdWay(node *flow.PlanNode, row *storage.NodeRun) {
	plan, began := w.program.Plan, 0
	around, _ := cutLast(row.Path)
	if around != "" {
		subflow, _ := w.at(around)
		plan, began = w.inside(subflow), w.around(row).No
	}
	before := w.lastIn(around, w.rows[began:row.No-1])
	if before == nil {
		require.Equal(w.t, plan.Start(), node.Key)
		return
	}
	require.False(w.t, before.FinishedAt.IsZero(), "one visit after the other")
	var to string
	if before.Status == storage.RunOK {
		to, _ = plan.Next(before.NodeKey, before.Action)
	} else {
		to, _ = plan.ErrorEdge(before.NodeKey)
		if key, ok := plan.TimeoutEdge(before.NodeKey); ok && before.ErrorCode == CodeTimeout {
			to = key
		}
	}
	require.Equal(w.t, node.Key, to, "the way from run %d, which ended with %q", before.No, before.Action+before.ErrorCode)
}

// lastIn is the last run of a node of the flow at that path; nil for none.
func (w *world) lastIn(flowPath string, rows []storage.NodeRun) *storage.NodeRun {
	for i := len(rows) - 1; i >= 0; i-- {
		if around, _ := cutLast(rows[i].Path); around == flowPath {
			return &rows[i]
		}
	}
	return nil
}

// holdWait holds that an attempt begins no earlier than the definition says.
func (w *world) holdWait(node *flow.PlanNode, row *storage.NodeRun) {
	before := &w.rows[w.named[place(row, row.Attempt-1)]-1]
	wait := time.Duration(0)
	if node.Wait == nil { // which begins again at once
		wait = node.Retry.Delay(before.Attempt, 1)
	}
	require.GreaterOrEqual(w.t, row.StartedAt.Sub(before.FinishedAt), wait)
}

// holdTime holds that a timer is never early.
func (w *world) holdTime(node *flow.PlanNode, row *storage.NodeRun) {
	if node.Timer.Until.IsSet() {
		return
	}
	delay, err := node.Timer.Delay.Resolve(expr.Scope{Params: row.Params})
	require.NoError(w.t, err)
	require.GreaterOrEqual(w.t, row.FinishedAt.Sub(row.StartedAt), delay)
}

// holdRetry holds that a failed execution is tried again while it may be, and
// no longer.
func (w *world) holdRetry(row *storage.NodeRun) {
	node, branch := w.at(row.Path)
	retry, before := node.Retry, 0
	if branch {
		retry = w.branchExec(row).Retry
		before = w.attemptsBefore(row)
	}
	tries := row.Attempt - before
	require.LessOrEqual(w.t, tries, 1+retry.Max)
	answer := w.answers[row.ID]
	if answer == nil || answer.Error == nil || answer.Error.Final || tries > retry.Max {
		return
	}
	require.Empty(w.t, row.SubStatus, "run %d has tries left, and is not the last", row.No)
	again := slices.ContainsFunc(w.active(), func(f frameAt) bool { return f.path == row.Path })
	next := w.named[place(row, row.Attempt+1)]
	require.True(w.t, again || next > 0, "run %d has %d tries left", row.No, 1+retry.Max-tries)
}
