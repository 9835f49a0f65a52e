package engine

import (
	"fmt"

	"github.com/pocketflowgo/pocketflow/shared/errs"
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
func (v *visit) startRun(status storage.RunStatus) {
	run := storage.NodeRun{
		NodeKey: v.frame.Key, Path: v.path(), Visit: v.frame.Visit, Attempt: v.frame.Attempt,
		Status: status, Input: v.frame.Input, Params: v.frame.Params,
	}
	if v.sc.owner != nil {
		run.BranchID = v.frame.Key
	}
	v.frame.Run, v.frame.RunID = v.recordRun(run)
}

func (s *step) recordRun(run storage.NodeRun) (no int, id string) {
	s.state.Runs++
	run.TaskID, run.No, run.StartedAt = s.program.TaskID, s.state.Runs, s.now
	run.ID = runID(run.TaskID, address{path: run.Path, visit: run.Visit, attempt: run.Attempt}, s.now)
	s.effects.Started = append(s.effects.Started, run)
	s.bytes += len(run.Input) + len(run.Params)
	return run.No, run.ID
}

// finishRun closes a run: in place when this step started it, so that it is
// written once.
func (s *step) finishRun(no int, finish storage.RunFinish) {
	finish.No, finish.FinishedAt = no, s.now
	if started := s.effects.Started; len(started) > 0 && no >= started[0].No {
		finish.Close(&started[no-started[0].No])
		return
	}
	s.effects.Finished = append(s.effects.Finished, finish)
}

// finishVisit closes the last run of a visit.
func (v *visit) finishVisit(finish storage.RunFinish) {
	if v.sc.owner != nil {
		finish.SubStatus = subNodeComplete
	}
	v.finishRun(v.frame.Run, finish)
}

// refuse fails a node that cannot even start, with a run that says why and
// without the input and params, which may be what is wrong.
func (v *visit) refuse(code, message string) *outcome {
	v.frame.Input, v.frame.Params = nil, nil
	v.startRun(storage.RunRunning)
	return v.failed(code, message)
}

// failed ends a visit whose run is open by a failure of the node itself.
func (v *visit) failed(code, message string) *outcome {
	failure := v.failure(code, message)
	v.finishVisit(failure.finish())
	return v.ended(failure)
}

// failure is one of the node.
func (v *visit) failure(code, message string) *Failure {
	return &Failure{Node: v.path(), Code: code, Message: message, Attempts: v.frame.Attempt}
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
func (v *visit) success(action string, shared []byte) *outcome {
	done := &outcome{sc: v.sc, node: v.node, action: brief(action)}
	if fault := v.sharedTooLarge(*v.sc.shared, shared); fault != "" {
		done.failure = v.failure(CodeTooLarge, fault)
		return done
	}
	v.sc.write(&v.node.Post, shared)
	if _, exit := v.sc.plan.Next(v.frame.Key, action); exit == flow.ExitNone {
		done.failure = v.failure(CodeNoEdge, fmt.Sprintf("the node ended with the action %q, which no edge takes", done.action))
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
func brief(action string) string { return errs.Shorten(action, maxAction) }
