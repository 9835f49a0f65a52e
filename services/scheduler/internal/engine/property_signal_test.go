package engine

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine/enginetest"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// ledger keeps account of the signals: what came, and what it let pass.
type ledger struct {
	last   map[string]json.RawMessage // value of the last one, by key
	came   map[string]int             // that a wait may take, by key
	passed map[string]int             // waits that one let pass, by key
	spent  map[string]bool            // by sender
	nodes  bool                       // what is under enginetest.KeyWritten is a node's, not a signal's
}

func newLedger() ledger {
	return ledger{last: map[string]json.RawMessage{}, came: map[string]int{}, passed: map[string]int{}, spent: map[string]bool{}}
}

// note takes in a signal that is about to be applied.
func (l *ledger) note(w *world, state State, e Event) {
	if e.Signal == nil || state.Status.Terminal() {
		return
	}
	key := e.Signal.Key
	if id := e.Signal.RunID; id != "" {
		node := state.Innermost()
		if node == nil || node.RunID != id || node.Phase != PhaseWaiting || w.waitKey() == "" {
			return // a decision that comes too late
		}
		waits, _ := w.at(w.activePath())
		place, _ := waits.Wait.Value.Ref()
		after := place.Path.Set(state.Shared, e.Signal.Value)
		l.last[key], _ = rawjson.Field(after, key)
	} else {
		l.last[key] = e.Signal.Value
	}
	l.nodes = l.nodes && e.Signal.Key != enginetest.KeyWritten
	if w.program.Plan.MayWaitFor(key) {
		l.came[key]++
	}
}

// ended takes in a wait that has ended.
func (l *ledger) ended(w *world, node *flow.PlanNode, row *storage.NodeRun) {
	key, sender := node.Wait.Signal, row.DecidedBy
	if sender != "" {
		require.False(w.t, l.spent[sender], "%s lets one visit pass", sender)
		l.spent[sender] = true
		l.passed[key]++
		return
	}
	if row.Status == storage.RunOK && key != enginetest.KeyWritten && string(row.Output) != "null" {
		require.True(w.t, w.brought(row, key), "run %d passes by a signal", row.No)
	}
}

// wrote takes in what a node of the task's own flow, or a branch of it, wrote
// when its run ended.
func (l *ledger) wrote(w *world, row *storage.NodeRun) {
	node, branch := w.at(row.Path)
	around, _ := cutLast(row.Path)
	// It may have written and then found no way on, unless that was inside it.
	noWay := (row.ErrorCode == CodeNoEdge || row.ErrorCode == CodeNoChoice) && (node.Subflow == nil || len(row.Output) > 0)
	ended := row.Status == storage.RunOK || noWay
	if !ended || branch && strings.Contains(around, "/") || !branch && around != "" {
		return
	}
	post := node.Post
	if branch {
		post = w.branchExec(row).Post
	}
	switch {
	case node.Wait != nil && node.Wait.Signal == enginetest.KeyWritten && row.DecidedBy != "":
		l.nodes = false
	case slices.Contains(slices.Collect(post.Keys()), enginetest.KeyWritten):
		l.nodes = true
	}
}

// brought reports whether the value was in what the subflow was given.
func (w *world) brought(row *storage.NodeRun, key string) bool {
	if !strings.Contains(row.Path, "/") {
		return false
	}
	_, found := rawjson.Field(w.around(row).Input, key)
	return found
}

// hold holds that each signal counts once, and none is lost.
func (l *ledger) hold(w *world) {
	if w.state.Failure != nil {
		return // it may have been by a signal, which is in no state then
	}
	for key, value := range l.last {
		if key != enginetest.KeyWritten {
			found, _ := rawjson.Field(w.state.Shared, key)
			require.Equal(w.t, string(value), string(found), "the last signal's value is under %s", key)
		}
	}
	if w.state.Status.Terminal() {
		return
	}
	if node := w.state.Innermost(); node != nil && node.Phase == PhaseWaiting {
		waits, _ := w.at(w.activePath())
		for _, kept := range keptOf(w.state, w.waitKey()) {
			_, tells := (&visit{node: waits}).told(&kept)
			require.False(w.t, tells, "nothing waits for a signal that is there")
		}
		if value, _ := rawjson.Field(w.state.Shared, enginetest.KeyWritten); l.nodes && w.state.Flow.Node == node && w.waitKey() == enginetest.KeyWritten {
			require.False(w.t, lets(value), "nothing waits for a value that a node wrote")
		}
	}
	for _, key := range []string{enginetest.KeyPlain, enginetest.KeyOther, enginetest.KeyWritten} {
		used := l.passed[key] + len(keptOf(w.state, key))
		require.LessOrEqual(w.t, used, l.came[key])
		if w.program.Limits.MaxValue == testLimits.MaxValue {
			require.Equal(w.t, l.came[key], used, "every signal %s is kept or has let a wait pass", key)
		}
	}
}

func keptOf(state State, key string) []Signal {
	return slices.DeleteFunc(slices.Clone(state.Kept), func(s Signal) bool { return s.Key != key })
}
