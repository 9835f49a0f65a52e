package engine

import (
	"encoding/json"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/flow"
)

// Approval is a decision that a task waits for.
type Approval struct {
	RunNo   int
	RunID   string
	NodeKey string
	Path    string
	Visit   int
	Attempt int
	Key     string // of the signal that decides
	// Input is what is to be decided about: what the node's prep makes of the
	// state as it is now, not as it was when the wait began.
	Input json.RawMessage
	Due   time.Time // when the wait times out; zero: it does not
}

// Approval is the decision that the state waits for, if it waits for one.
func (p *Program) Approval(state State) (Approval, bool) {
	s := step{program: p, state: &state}
	v := s.innermost()
	if v == nil || v.node.Kind != flow.KindApproval || v.frame.Phase != PhaseWaiting {
		return Approval{}, false
	}
	reads := v.reads()
	reads.Input, reads.Budget = nil, s.budget()
	return Approval{
		RunNo: v.frame.Run, RunID: v.frame.RunID, NodeKey: v.frame.Key, Path: v.path(),
		Visit: v.frame.Visit, Attempt: v.frame.Attempt, Key: v.node.Wait.Signal,
		Input: v.node.Prep.Input(reads), Due: v.frame.Due.Time(),
	}, true
}
