package engine

import (
	"slices"
	"strconv"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// holdItem holds a branch to the item that it is about.
func (w *world) holdItem(node *flow.PlanNode, row *storage.NodeRun) {
	if node.Foreach == nil || row.ErrorCode == CodeTooLarge {
		return
	}
	if exec := w.branchExec(row); !exec.Prep.Empty() {
		return
	}
	index, err := strconv.Atoi(row.BranchID)
	require.NoError(w.t, err)
	items := slices.Collect(rawjson.Items(w.around(row).Input))
	require.Less(w.t, index, len(items))
	if len(row.Input) > 0 || row.FinishedAt.IsZero() { // else it was refused, and has none
		require.Equal(w.t, string(items[index]), string(row.Input))
	}
}

// branchExec is what a branch executes.
func (w *world) branchExec(row *storage.NodeRun) flow.Exec {
	node, _ := w.at(row.Path)
	index, err := strconv.Atoi(row.BranchID)
	require.NoError(w.t, err)
	if node.Foreach != nil {
		exec, _ := node.Item(index)
		return exec
	}
	services, _ := rawjson.Field(w.around(row).Params, "services")
	execs, err := node.Branches(services)
	require.NoError(w.t, err)
	return execs[index]
}

// around is the latest run of the node that a run is inside of.
func (w *world) around(row *storage.NodeRun) *storage.NodeRun {
	path, _ := cutLast(row.Path)
	for i := row.No - 1; i > 0; i-- {
		if w.rows[i-1].Path == path {
			return &w.rows[i-1]
		}
	}
	require.Fail(w.t, "a run inside nothing", row.Path)
	return nil
}

// holdResults holds the result of a fan to those of its branches, each in its
// place.
func (w *world) holdResults(fan *storage.NodeRun) {
	ended, failed := map[string]string{}, map[string]bool{}
	passesOver := slices.Contains([]flow.FailureStrategy{flow.IgnoreErrors, flow.Continue}, w.group(fan.Path).Strategy)
	for i := range w.rows {
		row := &w.rows[i]
		path, index := cutLast(row.Path)
		if path != fan.Path || row.Visit != fan.Visit || row.SubStatus == "" {
			continue
		}
		ended[index], failed[index] = "null", row.Status != storage.RunOK && !passesOver
		if row.Status == storage.RunOK {
			ended[index] = string(row.Output)
		}
	}
	n := 0
	for item := range rawjson.Items(fan.Output) {
		require.Equal(w.t, ended[strconv.Itoa(n)], string(item), "%s holds the result of its branch %d", fan.Path, n)
		require.False(w.t, failed[strconv.Itoa(n)], "%s passes over no failure", fan.Path)
		n++
	}
	require.Len(w.t, ended, n)
	require.LessOrEqual(w.t, len(fan.Output), w.program.Limits.MaxValue+len("null,")*(n+1), "results are bounded, but for nulls")
	if node, _ := w.at(fan.Path); node.Foreach != nil {
		for range rawjson.Items(fan.Input) {
			n--
		}
		require.Zero(w.t, n, "a result for each item")
	}
}

// group is how the branches of the node of that path run.
func (w *world) group(path string) flow.Group {
	node, _ := w.at(path)
	if node.Parallel != nil {
		return node.Parallel.Group
	}
	return node.Foreach.Group
}

// holdWindow holds that no more branches are open than may be.
func (w *world) holdWindow() {
	frame := w.state.Innermost()
	if frame == nil || frame.Fan == nil {
		return
	}
	group, window := w.group(w.activePath()), w.program.Limits.MaxParallel
	if group.MaxParallel > 0 {
		window = min(window, group.MaxParallel)
	}
	if group.Mode == flow.Sequential {
		window = 1
	}
	require.LessOrEqual(w.t, len(frame.Fan.Open), window)
}

// holdFailed holds a fan that failed by its branches to its strategy.
func (w *world) holdFailed(fan *storage.NodeRun) {
	group := w.group(fan.Path)
	if !strings.Contains(fan.ErrorText, "branches failed") {
		return
	}
	require.NotContains(w.t, []flow.FailureStrategy{flow.IgnoreErrors, flow.Continue}, group.Strategy)
	if node, _ := w.at(fan.Path); node.Foreach != nil && group.Strategy != flow.FailFast {
		items := len(slices.Collect(rawjson.Items(fan.Input)))
		ended := map[string]bool{}
		for i := range w.rows {
			if around, index := cutLast(w.rows[i].Path); around == fan.Path && w.rows[i].Visit == fan.Visit && w.rows[i].SubStatus != "" {
				ended[index] = true
			}
		}
		require.Len(w.t, ended, items, "all have run")
	}
}

// attemptsBefore is the number of a branch's attempts in the rounds before.
func (w *world) attemptsBefore(row *storage.NodeRun) int {
	round, before := w.around(row).No, 0
	for no := round; no > 0; no-- {
		if run := &w.rows[no-1]; run.Path == row.Path && run.Visit == row.Visit {
			before = max(before, run.Attempt)
		}
	}
	return before
}
