package simulate

import (
	"strconv"
	"strings"
	"time"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/flow/expr"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

func (s *simulation) offset(at time.Time) *Offset {
	offset := Offset(at.Sub(s.start))
	return &offset
}

func (s *simulation) step(step Step) {
	step.At = *s.offset(s.now)
	s.trace.Steps = append(s.trace.Steps, step)
}

// record tells what a step of the engine did: the runs that ended, then those
// that began, but a run after what was inside it.
func (s *simulation) record(effects engine.Effects) {
	r := recording{simulation: s, chain: s.chain(), executions: map[int]*engine.Execution{}}
	for i := range effects.Execute {
		r.executions[effects.Execute[i].RunNo] = &effects.Execute[i]
	}
	told := len(s.trace.Runs)
	s.trace.Runs = append(s.trace.Runs, effects.Started...)
	for _, finish := range effects.Finished {
		run := &s.trace.Runs[finish.No-1]
		for ; told < len(s.trace.Runs) && strings.HasPrefix(s.trace.Runs[told].Path, run.Path+"/"); told++ {
			r.began(&s.trace.Runs[told])
		}
		finish.Close(run)
		r.ended(run)
	}
	for ; told < len(s.trace.Runs); told++ {
		r.began(&s.trace.Runs[told])
	}
}

// recording is the telling of one step of the engine.
type recording struct {
	*simulation
	executions map[int]*engine.Execution // that the step asks for, by No of the run
	chain      []active                  // after the step
}

func (r *recording) began(run *storage.NodeRun) {
	step := r.about(run)
	step.Input, step.Params = run.Input, run.Params
	if x := r.executions[run.No]; x != nil {
		step.ExecType, step.Target = x.Exec.Type, targetOf(x.Exec)
	}
	since := run.StartedAt
	if before, ok := r.last[run.Path]; ok && run.Attempt > 1 {
		since = before.since
	}
	r.last[run.Path] = visit{no: run.No, since: since}
	if !run.FinishedAt.IsZero() {
		r.end(&step, run)
		r.step(step)
		return
	}
	step.What = Began
	if at := r.activeAt(run.Path); at != nil {
		node := at.plan.Node(at.frame.Key)
		if at.frame.Due != 0 {
			step.Until = r.offset(at.frame.Due.Time())
		}
		if node.Wait != nil {
			step.WaitsFor = node.Wait.Signal
		}
	}
	r.step(step)
}

func (r *recording) ended(run *storage.NodeRun) {
	step := r.about(run)
	r.end(&step, run)
	r.step(step)
}

func (r *recording) about(run *storage.NodeRun) Step {
	step := Step{Path: run.Path, Visit: run.Visit, Attempt: run.Attempt}
	if at := r.locate(run.Path); at.node != nil && !at.part {
		step.Kind = at.node.Kind
	}
	return step
}

// end adds how a run ended, and where that leads.
func (r *recording) end(step *Step, run *storage.NodeRun) {
	step.What = Ended
	step.Status, step.Result, step.Action = run.Status, run.Output, run.Action
	step.Code, step.Message = run.ErrorCode, run.ErrorText
	if run.Status == storage.RunCanceled {
		return
	}
	at := r.locate(run.Path)
	switch {
	case at.node == nil:
	case r.triedAgain(step, run, at):
	case at.part:
	case run.Status == storage.RunOK:
		key, _ := at.plan.Next(at.node.Key, run.Action)
		step.lead(at, key)
	case run.ErrorCode != "": // else the task itself took too long
		r.failed(step, run, at)
	}
}

// lead goes to the node of the flow, or to the flow's end.
func (s *Step) lead(at place, key string) {
	s.Then = ThenEnds
	if key != "" {
		s.Then, s.To = ThenGoes, at.within+key
	}
}

// failed tells which way a node takes that failed for good.
func (r *recording) failed(step *Step, run *storage.NodeRun, at place) {
	step.Action = ""
	if run.ErrorCode == engine.CodeTimeout {
		if key, ok := at.plan.TimeoutEdge(at.node.Key); ok {
			step.Action = flow.ActionTimeout
			step.lead(at, key)
			return
		}
	}
	if key, ok := at.plan.ErrorEdge(at.node.Key); ok {
		step.Action = flow.ActionError
		step.lead(at, key)
		return
	}
	step.Then = ThenFails
}

// triedAgain tells of the attempt that follows, when one does.
func (r *recording) triedAgain(step *Step, run *storage.NodeRun, at place) bool {
	if run.Status == storage.RunOK {
		return false
	}
	path := run.Path
	if at.part {
		path = strings.TrimSuffix(at.within, "/")
	}
	around := r.activeAt(path)
	if around == nil || around.frame.Visit != run.Visit {
		return false
	}
	next := attempt{phase: around.frame.Phase, number: around.frame.Attempt, due: around.frame.Due}
	if at.part {
		var ok bool
		if next, ok = branchOf(around.frame, run.Path[len(at.within):]); !ok {
			return false
		}
	}
	switch {
	case next.phase == engine.PhaseBackoff && next.number == run.Attempt:
		step.AgainAt = r.offset(next.due.Time())
	case next.number > run.Attempt:
		step.AgainAt = r.offset(r.now)
	default:
		return false
	}
	step.Then = ThenAgain
	return true
}

// attempt is where a node or a branch stands.
type attempt struct {
	phase  engine.Phase
	number int
	due    engine.Micros
}

func branchOf(frame *engine.NodeFrame, index string) (attempt, bool) {
	if frame.Fan == nil {
		return attempt{}, false
	}
	for i := range frame.Fan.Open {
		if b := &frame.Fan.Open[i]; strconv.Itoa(b.Index) == index {
			return attempt{phase: b.Phase, number: b.Attempt, due: b.Due}, true
		}
	}
	return attempt{}, false
}

// finished is the trace with what the task came to.
func (s *simulation) finished() *Trace {
	t := s.trace
	t.Status, t.Shared, t.Error = s.state.Status, s.state.Shared, s.state.Failure
	t.Took = *s.offset(s.now)
	for _, pattern := range s.answers.unused() {
		t.Unused = append(t.Unused, expr.JoinPath("answers", pattern)+": nothing asked for it")
	}
	for i := range s.script.Signals {
		if signal := &s.script.Signals[i]; !s.sent[i] {
			t.Unused = append(t.Unused, "signals["+strconv.Itoa(i)+"], "+signal.Key+" "+signal.String()+": never sent")
		}
	}
	if c := s.script.Cancel; c != nil && !s.canceled {
		t.Unused = append(t.Unused, "cancel "+c.String()+": never sent")
	}
	return t
}
