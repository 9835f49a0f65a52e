package engine

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Fan is a visit of a parallel or foreach node. However many branches it has,
// the state holds those that are open, and their number is bounded: what
// happens to one costs the same for the last branch as for the first. How a
// branch ended is in its run's row, and read again only when the last ones end.
//
// The branches run in rounds, of which there is one, but with the strategy
// retry: there each further round runs those that failed in the one before.
type Fan struct {
	N      int      `json:"n"`                // branches
	Round  int      `json:"round"`            // how many of them this round runs
	Next   int      `json:"next"`             // how many it has started
	Failed int      `json:"failed,omitempty"` // how many of those failed
	Final  bool     `json:"final,omitempty"`  // one of them for good
	Bytes  int      `json:"bytes,omitempty"`  // of the results so far
	First  int      `json:"first"`            // No of the node's first run, which those of the branches follow
	Open   []Branch `json:"open,omitempty"`

	laid *Laid       // nil after Load, until Attach
	todo []rerun     // what this round runs; nil: all branches
	ends []branchEnd // by index; nil after Load, until Attach
}

// Laid is what a fan runs. It stays the same through a round, so whoever reads
// it once may keep it: see State.Recall.
type Laid struct {
	input, params json.RawMessage // of the node

	base  rawjson.Base      // the params that the branches share
	execs []flow.Exec       // of the branches of a parallel node
	items []json.RawMessage // of a foreach node
}

// Size is about the bytes that it takes.
func (l *Laid) Size() int { return 2*len(l.input) + 2*len(l.params) + 100*len(l.items) }

// rerun is a branch that failed in the rounds before.
type rerun struct {
	index    int
	attempts int // so far
}

// branchEnd is how a branch ended last. All states of a round share the array
// that these are in. That is safe because a state reads the ends only once the
// round is over, and each step that ends a branch writes its end: what a step
// wrote that was never committed is overwritten by the one that is. A further
// round begins with a copy.
type branchEnd struct {
	attempts int
	output   json.RawMessage
	failure  *RunError // nil: it succeeded
}

// What one branch takes besides the values in it.
const (
	endSize  = 56
	openSize = 200
)

// size is about the bytes that it takes.
func (f *Fan) size() int {
	size := f.Bytes + endSize*len(f.ends)
	if f.laid != nil {
		size += f.laid.Size()
	}
	for i := range f.Open {
		size += openSize + len(f.Open[i].Input) + len(f.Open[i].Own)
	}
	return size
}

func (f *Fan) clone() *Fan {
	c := *f
	c.Open = slices.Clone(f.Open)
	return &c
}

// remaining is the number of branches that have not ended in this round.
func (f *Fan) remaining() int { return len(f.Open) + f.Round - f.Next }

// status is the task's while the fan's node is the innermost active one.
func (f *Fan) status(node *NodeFrame) storage.TaskStatus {
	status := storage.TaskWaiting // for the time of a branch's next attempt
	if node.Due != 0 {
		status = storage.TaskRunning // more branches are to be started
	}
	for i := range f.Open {
		switch f.Open[i].Phase {
		case PhaseRunning:
			return storage.TaskRunning
		case PhaseQueued:
			if status == storage.TaskWaiting {
				status = storage.TaskWaitingQueue
			}
		case PhaseBackoff, PhaseWaiting, PhaseResolving, PhaseInside, PhaseNext:
		}
	}
	return status
}

// fanStep is a visit of a node that fans out.
type fanStep struct {
	*visit
	fan *Fan
}

func (v *visit) fanStep() *fanStep { return &fanStep{visit: v, fan: v.frame.Fan} }

// group is how the branches run and fail.
func (s *fanStep) group() *flow.Group {
	if s.node.Parallel != nil {
		return &s.node.Parallel.Group
	}
	return &s.node.Foreach.Group
}

// window is the number of branches that may be open at once.
func (s *fanStep) window() int {
	group, limit := s.group(), max(1, s.limits().MaxParallel)
	switch {
	case group.Mode == flow.Sequential:
		return 1
	case group.MaxParallel > 0:
		return min(group.MaxParallel, limit)
	}
	return limit
}

// startFan begins a visit of a parallel or foreach node.
func (v *visit) startFan() *outcome {
	if v.node.Parallel != nil {
		if services := v.node.Parallel.Services(v.reads()); services != nil {
			// What they were when the node started holds for the visit.
			v.frame.Params = rawjson.Set(v.frame.Params, "services", services)
		}
	}
	laid, code, fault := v.lay()
	if fault != "" {
		v.frame.Attempt = 1
		return v.refuse(code, fault)
	}
	fan := &Fan{laid: laid, N: max(len(laid.execs), len(laid.items))}
	fan.ends = make([]branchEnd, fan.N)
	fan.First = v.state.Runs + 1
	v.frame.Fan = fan
	return v.fanStep().startRound(nil)
}

// lay finds the branches in the definition, the params and the input.
func (v *visit) lay() (laid *Laid, code, fault string) {
	laid = &Laid{input: v.frame.Input, params: v.frame.Params, base: rawjson.NewBase(v.sc.params)}
	if v.node.Parallel != nil {
		services, _ := rawjson.Field(v.frame.Params, "services")
		execs, err := v.node.Branches(services)
		if err != nil {
			return nil, CodeBadSetting, err.Error()
		}
		laid.execs = execs
		return laid, "", ""
	}
	if t := rawjson.TypeOf(v.frame.Input); t != rawjson.Array {
		return nil, CodeBadInput, fmt.Sprintf("a foreach needs an array as its input, this one is of the type %s", t)
	}
	laid.items = slices.Collect(rawjson.Items(v.frame.Input))
	return laid, "", ""
}

// startRound runs all branches, or again those that failed.
func (s *fanStep) startRound(todo []rerun) *outcome {
	s.frame.Attempt++
	s.frame.Phase, s.frame.Due = PhaseInside, 0
	s.startRun(storage.RunRunning)
	s.fan.todo, s.fan.Round = todo, s.fan.N
	if todo != nil {
		s.fan.Round, s.fan.ends = len(todo), slices.Clone(s.fan.ends)
	}
	s.fan.Next, s.fan.Failed, s.fan.Final = 0, 0, false
	return s.fill()
}

// failed are the branches that failed last.
func (f *Fan) failed() []rerun {
	var failed []rerun
	for i := range f.ends {
		if end := &f.ends[i]; end.failure != nil {
			failed = append(failed, rerun{index: i, attempts: end.attempts})
		}
	}
	return failed
}

// fill starts branches while the window has room, and ends the round when the
// last one has ended: not at once when that was one which could not start, since
// nothing foretold it, see Needs.
func (s *fanStep) fill() *outcome {
	fan, window := s.fan, s.window()
	first := fan.Next
	for fan.Next < fan.Round && len(fan.Open) < window {
		if s.long() {
			s.frame.Due = s.clock // the next step starts more
			return nil
		}
		s.visits++
		which := rerun{index: fan.Next}
		if fan.todo != nil {
			which = fan.todo[fan.Next]
		}
		fan.Next++
		if done := s.startBranch(which); done != nil {
			return done
		}
	}
	switch {
	case fan.remaining() > 0:
		return nil
	case fan.Next > first:
		s.frame.Due = s.clock
		return nil
	}
	return s.endRound()
}

// endRound is what becomes of the node when all branches have ended.
func (s *fanStep) endRound() *outcome {
	if s.fan.Failed == 0 {
		return s.succeedFan(nil)
	}
	failure := s.failure(s.fan.failures())
	switch s.group().Strategy {
	case flow.IgnoreErrors, flow.Continue:
		return s.succeedFan(failure)
	case flow.RetryFailed:
		if s.frame.Attempt <= s.node.Retry.Max && !s.fan.Final {
			s.finishRun(s.frame.Run, failure.finish())
			return s.backOff()
		}
	case flow.CollectErrors, flow.FailFast:
	}
	return s.failFan(failure)
}

// failFan ends the node by a failure, whatever is still open.
func (s *fanStep) failFan(failure *Failure) *outcome {
	s.closeBranches(s.fan, storage.RunCanceled)
	s.finishVisit(failure.finish())
	return s.ended(failure)
}

// succeedFan makes the array of the results, null for a branch whose failure
// was passed over.
func (s *fanStep) succeedFan(passed *Failure) *outcome {
	result := make([]byte, 0, s.fan.Bytes+len("null,")*(s.fan.Failed+1)+len("[]"))
	result = append(result, '[')
	for i := range s.fan.ends {
		if i > 0 {
			result = append(result, ',')
		}
		if end := &s.fan.ends[i]; end.failure == nil {
			result = append(result, end.output...)
		} else {
			result = append(result, "null"...)
		}
	}
	result = append(result, ']')

	var subject json.RawMessage
	if !s.node.Post.ActionKey.IsZero() {
		subject = rawjson.Set(nil, "result", result)
	}
	reads := s.reads()
	done := s.success(s.node.Post.Action(reads, subject), s.written(&s.node.Post, reads, result))
	finish := finishOf(done, result)
	if passed != nil && done.failure == nil {
		finish.ErrorCode, finish.ErrorText = passed.Code, passed.Message
	}
	s.finishVisit(finish)
	return done
}

// Bounds of what a failure tells about branches, whose number has none.
const (
	maxListed = 100 // branches in a failure's list
	maxNamed  = 5   // of them in its message
	maxTold   = 300 // bytes of the message of one branch
)

// failures are the first branches that failed, in order.
func (f *Fan) failures() []BranchFailure {
	failed := f.failed()
	list := make([]BranchFailure, 0, min(len(failed), maxListed))
	for _, b := range failed[:min(len(failed), maxListed)] {
		list = append(list, f.ends[b.index].failure.of(b))
	}
	return list
}

func (e *RunError) of(b rerun) BranchFailure {
	return BranchFailure{Index: b.index, Code: e.Code, Message: errs.Shorten(e.Message, maxTold), Attempts: b.attempts}
}

// failure is the node's: of the code that all listed branches share, or of one
// that says that they differ.
func (s *fanStep) failure(failed []BranchFailure) *Failure {
	out := &Failure{Node: s.path(), Code: failed[0].Code, Attempts: s.frame.Attempt, Branches: failed}
	var named []string
	for i, b := range failed {
		if b.Code != out.Code {
			out.Code = CodeBranchesFailed
		}
		if i < maxNamed {
			named = append(named, fmt.Sprintf("%d: %s", b.Index, b.Message))
		}
	}
	if s.fan.Failed > len(named) {
		named = append(named, "…")
	}
	out.Message = fmt.Sprintf("%d of %d branches failed: %s", s.fan.Failed, s.fan.N, strings.Join(named, "; "))
	return out
}
