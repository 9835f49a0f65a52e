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
	sc := s.innermost()
	frame := sc.frame.Node
	if frame == nil || frame.Phase != PhaseWaiting {
		return Approval{}, false
	}
	node := sc.plan.Node(frame.Key)
	if node.Kind != flow.KindApproval {
		return Approval{}, false
	}
	reads := sc.reads(frame)
	reads.Input, reads.Budget = nil, s.budget()
	return Approval{
		RunNo: frame.Run, RunID: frame.RunID, NodeKey: frame.Key, Path: sc.pathOf(frame.Key),
		Visit: frame.Visit, Attempt: frame.Attempt, Key: node.Wait.Signal,
		Input: node.Prep.Input(reads), Due: frame.Due.Time(),
	}, true
}
