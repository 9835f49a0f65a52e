package engine

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Needs are runs whose rows a state must be given, by Attach, before it can go
// on: a state that was loaded holds numbers only. The zero value is nothing.
type Needs struct {
	Runs []int // by No
	// EndedAfter, when it is not 0, stands for all runs after that No which
	// ended a branch (they have a SubStatus).
	EndedAfter int
}

// None reports whether nothing is needed.
func (n Needs) None() bool { return len(n.Runs) == 0 && n.EndedAfter == 0 }

// Needs are what Step needs to apply the events, one after the other.
func (s *State) Needs(events []Event) Needs {
	needs, fan := s.chain()
	if fan == nil {
		return needs
	}
	latest := fired(events)
	ending := 0 // open branches that the events may end
	for i := range fan.Open {
		if b := &fan.Open[i]; b.Due != 0 && b.Due <= latest || b.endsWith(events) {
			ending++
			if b.Own == nil {
				needs.Runs = append(needs.Runs, b.Run)
			}
		}
	}
	if fan.ends == nil && (s.Innermost().Attempt > 1 || ending == len(fan.Open) && fan.mayStartLast(events)) {
		needs.EndedAfter = fan.First
	}
	return needs
}

// Awaits reports whether the state waits for the end of that execution.
func (s *State) Awaits(runID string) bool {
	node := s.Innermost()
	switch {
	case node == nil:
		return false
	case node.Fan != nil:
		return slices.ContainsFunc(node.Fan.Open, func(b Branch) bool { return b.RunID == runID && b.Phase.executing() })
	}
	return node.RunID == runID && node.Phase.executing()
}

// mayStartLast reports whether all branches of the round have started, or may
// do so and end while the events are applied: branches that cannot start end
// without an event of their own, and then it takes one more to end the round.
func (f *Fan) mayStartLast(events []Event) bool {
	left := f.Round - f.Next
	return left == 0 || len(events) > 1 && left <= visitsPerStep*len(events)
}

// NeedsToResume are what Resume needs.
func (s *State) NeedsToResume() Needs {
	needs, fan := s.chain()
	if fan == nil {
		return needs
	}
	for i := range fan.Open {
		if b := &fan.Open[i]; b.Phase == PhaseRunning && b.Own == nil {
			needs.Runs = append(needs.Runs, b.Run)
		}
	}
	return needs
}

// chain is what is needed of the active nodes, and the fan among them, which is
// the innermost.
func (s *State) chain() (Needs, *Fan) {
	var needs Needs
	var fan *Fan
	for node := s.Flow.Node; node != nil; node = node.inner() {
		if node.Params == nil && node.Phase != PhaseNext {
			needs.Runs = append(needs.Runs, node.Run)
		}
		fan = node.Fan
	}
	return needs, fan
}

// fired is the latest time at which one of the events looks at what is due; 0
// when none does.
func fired(events []Event) Micros {
	latest := Micros(0)
	for _, e := range events {
		if e.Kind == storage.EventTimerFired {
			latest = max(latest, micros(e.At))
		}
	}
	return latest
}

// endsWith reports whether one of the events is a result of the branch.
func (b *Branch) endsWith(events []Event) bool {
	return slices.ContainsFunc(events, func(e Event) bool {
		return e.Result != nil && e.Result.RunID == b.RunID
	})
}

// Fan is the run of the fan that the state is in, and what it runs when that is
// here; "" when it is in none.
func (s *State) Fan() (runID string, laid *Laid) {
	node := s.Innermost()
	if node == nil || node.Fan == nil {
		return "", nil
	}
	return node.RunID, node.Fan.laid
}

// Recall gives a loaded state what was kept of the fan that it is in, and spares
// it the row and the reading.
func (s *State) Recall(laid *Laid) {
	node := s.Innermost()
	node.Input, node.Params, node.Fan.laid = laid.input, laid.params, laid
}

// Versions are the flow versions that subflows of the state are pinned to.
func (s *State) Versions() []string {
	var versions []string
	for node := s.Flow.Node; node != nil; node = node.inner() {
		if node.Version != "" {
			versions = append(versions, node.Version)
		}
	}
	return versions
}

// Attach gives a loaded state the rows that it needs, and the plans of the
// subflows that it is in. It changes the state in place, but nothing that its
// JSON holds.
func (p *Program) Attach(state *State, needs Needs, runs []storage.NodeRun) error {
	s := step{program: p, state: state}
	for v := s.at(s.root()); v != nil; v = s.at(v.inside()) {
		if v.frame.Params == nil && v.frame.Phase != PhaseNext {
			run := find(runs, v.frame.Run)
			if run == nil {
				return fmt.Errorf("run %d of node %q is not in storage", v.frame.Run, v.path())
			}
			v.frame.Input, v.frame.Params = run.Input, run.Params
		}
		if v.frame.Fan != nil {
			return v.fanStep().attach(needs, runs)
		}
		if v.frame.Sub == nil {
			return nil
		}
		if v.frame.Sub.plan == nil {
			plan, err := p.subPlan(v.node, v.frame.Version)
			if err != nil {
				return fmt.Errorf("subflow %q: %w", v.path(), err)
			}
			v.frame.Sub.plan = plan
		}
	}
	return nil
}

// find returns the run of that No of runs in order of No.
func find(runs []storage.NodeRun, no int) *storage.NodeRun {
	at, ok := slices.BinarySearchFunc(runs, no, func(run storage.NodeRun, no int) int { return run.No - no })
	if !ok {
		return nil
	}
	return &runs[at]
}

func (s *fanStep) attach(needs Needs, runs []storage.NodeRun) error {
	fan := s.fan
	if fan.laid == nil {
		laid, _, fault := s.lay()
		if fault != "" {
			return fmt.Errorf("branches of node %q: %s", s.frame.Key, fault)
		}
		fan.laid = laid
	}
	for i := range fan.Open {
		b := &fan.Open[i]
		if b.Own != nil || !slices.Contains(needs.Runs, b.Run) {
			continue
		}
		run := find(runs, b.Run)
		if run == nil {
			return fmt.Errorf("run %d of branch %d of node %q is not in storage", b.Run, b.Index, s.frame.Key)
		}
		b.Input, b.Own = run.Input, run.Params
	}
	if needs.EndedAfter == 0 {
		return nil
	}
	return fan.attachEnds(runs, s.frame)
}

// attachEnds reads from the runs that ended branches, in order, how the
// branches ended, and what the round is about.
func (f *Fan) attachEnds(runs []storage.NodeRun, frame *NodeFrame) error {
	f.ends = make([]branchEnd, f.N)
	for i := range runs {
		run := &runs[i]
		if run.No <= f.First || run.SubStatus == "" {
			continue
		}
		if f.todo == nil && frame.Attempt > 1 && run.No > frame.Run {
			f.todo = f.failed() // as it was when the round began
		}
		index, err := strconv.Atoi(run.BranchID)
		if err != nil || index < 0 || index >= f.N {
			return fmt.Errorf("run %d is of no branch: %q", run.No, run.BranchID)
		}
		end := branchEnd{attempts: run.Attempt, output: rawjson.Trim(run.Output)}
		if run.Status != storage.RunOK {
			end.failure = &RunError{Code: run.ErrorCode, Message: run.ErrorText}
		}
		f.ends[index] = end
	}
	if f.todo == nil && frame.Attempt > 1 {
		f.todo = f.failed()
	}
	return nil
}
