package engine

import (
	"fmt"
	"strings"

	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/flow/expr"
	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// What a run says about its place in a node around it.
const (
	subNodeComplete = "sub_node_complete" // the end of a visit inside a subflow
	branchComplete  = "branch_complete"   // the end of a branch of a parallel node
	itemComplete    = "item_complete"     // the end of an item of a foreach node
)

// startRun numbers the frame's attempt and records it.
func (s *step) startRun(sc *scope, frame *NodeFrame, status storage.RunStatus) {
	run := storage.NodeRun{
		NodeKey: frame.Key, Path: sc.pathOf(frame.Key), Visit: frame.Visit, Attempt: frame.Attempt,
		Status: status, Input: frame.Input, Params: frame.Params,
	}
	if sc.up != nil {
		run.BranchID = frame.Key
	}
	frame.Run, frame.RunID = s.recordRun(run)
}

func (s *step) recordRun(run storage.NodeRun) (no int, id string) {
	s.state.Runs++
	run.TaskID, run.No, run.StartedAt = s.program.TaskID, s.state.Runs, s.at
	run.ID = runID(run.TaskID, address{path: run.Path, visit: run.Visit, attempt: run.Attempt}, s.at)
	s.effects.Started = append(s.effects.Started, run)
	s.bytes += len(run.Input) + len(run.Params)
	return run.No, run.ID
}

// finishRun closes a run: in place when this step started it, so that it is
// written once.
func (s *step) finishRun(no int, finish storage.RunFinish) {
	finish.No, finish.FinishedAt = no, s.at
	if started := s.effects.Started; len(started) > 0 && no >= started[0].No {
		finish.Close(&started[no-started[0].No])
		return
	}
	s.effects.Finished = append(s.effects.Finished, finish)
}

// finishVisit closes the last run of a visit.
func (s *step) finishVisit(sc *scope, frame *NodeFrame, finish storage.RunFinish) {
	if sc.up != nil {
		finish.SubStatus = subNodeComplete
	}
	s.finishRun(frame.Run, finish)
}

// refuse fails a node that cannot even start, with a run that says why and
// without the input and params, which may be what is wrong.
func (s *step) refuse(sc *scope, node *flow.PlanNode, frame *NodeFrame, code, message string) *outcome {
	frame.Input, frame.Params = nil, nil
	s.startRun(sc, frame, storage.RunRunning)
	return s.failed(sc, node, frame, code, message)
}

// failed ends a visit whose run is open by a failure of the node itself.
func (s *step) failed(sc *scope, node *flow.PlanNode, frame *NodeFrame, code, message string) *outcome {
	failure := &Failure{Node: sc.pathOf(frame.Key), Code: code, Message: message, Attempts: frame.Attempt}
	s.finishVisit(sc, frame, failure.finish())
	return &outcome{node: node, failure: failure}
}

// finish is the end of a run that failed so.
func (f *Failure) finish() storage.RunFinish {
	status := storage.RunError
	if f.Code == CodeTimeout {
		status = storage.RunTimeout
	}
	return storage.RunFinish{Status: status, ErrorCode: f.Code, ErrorText: f.Message}
}

// finishOf is the end of a run that had the output.
func finishOf(done *outcome, output []byte) storage.RunFinish {
	finish := storage.RunFinish{Status: storage.RunOK, Output: output, Action: done.action}
	if f := done.failure; f != nil {
		finish.Status, finish.ErrorCode, finish.ErrorText = storage.RunError, f.Code, f.Message
	}
	return finish
}

// success gives a node that succeeded its action and writes the shared state,
// unless one of the two makes it fail after all.
func (s *step) success(sc *scope, node *flow.PlanNode, frame *NodeFrame, action string, shared []byte) *outcome {
	done := &outcome{node: node, action: brief(action)}
	failure := func(code, format string, args ...any) {
		done.failure = &Failure{Node: sc.pathOf(frame.Key), Code: code, Attempts: frame.Attempt, Message: fmt.Sprintf(format, args...)}
	}
	if fault := s.sharedTooLarge(*sc.shared, shared); fault != "" {
		failure(CodeTooLarge, "%s", fault)
		return done
	}
	sc.write(&node.Post, shared)
	if _, exit := sc.plan.Next(frame.Key, action); exit == flow.ExitNone {
		failure(CodeNoEdge, "the node ended with the action %q, which no edge takes", done.action)
	}
	return done
}

// sharedTooLarge says what is wrong with a shared state that has grown over the
// limit. One that is over it already, by the error of a node, still serves the
// nodes that deal with that error.
func (s *step) sharedTooLarge(before, shared []byte) string {
	if limit := s.limits().MaxValue; shared == nil || len(shared) > limit && len(shared) > len(before) {
		return fmt.Sprintf("the shared state would have more than %d bytes", limit)
	}
	if rawjson.TooDeep(shared) {
		return fmt.Sprintf("the shared state would have more than %d levels", rawjson.MaxDepth)
	}
	return ""
}

// written is the shared state with what post writes of a result; nil when that
// is far more than fits.
func (s *step) written(post *flow.PostPlan, reads expr.Scope, result []byte) []byte {
	reads.Budget = expr.NewBudget(s.limits().MaxValue)
	shared := post.Write(reads, result)
	if reads.Budget.Exceeded() {
		return nil
	}
	return shared
}

// maxAction is the most bytes of an action that an edge can name.
const maxAction = 256

// brief cuts an action that a worker made too long for any edge, for the
// record. The mark at its end keeps it from becoming one that an edge takes.
func brief(action string) string {
	if len(action) <= maxAction {
		return action
	}
	return strings.ToValidUTF8(action[:maxAction], "") + "…"
}
