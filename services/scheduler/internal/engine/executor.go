package engine

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/flow/expr"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// attempt starts the next attempt of a node's execution. It returns an outcome
// only when the attempt cannot even start.
func (s *step) attempt(sc *scope, node *flow.PlanNode, frame *NodeFrame) *outcome {
	frame.Attempt++
	timeout, err := s.timeout(&node.Exec, sc.reads(frame))
	if err != nil {
		return s.refuse(sc, node, frame, CodeBadSetting, badTimeout(err))
	}
	var status storage.RunStatus
	frame.Phase, frame.Due, status = s.send(&node.Exec, timeout)
	s.startRun(sc, frame, status)
	s.effects.Execute = append(s.effects.Execute, s.execution(sc, frame, timeout))
	return nil
}

func badTimeout(err error) string { return fmt.Sprintf("timeout_ms: %s", err) }

// send is where an execution that begins now stands, and when that ends by
// itself.
func (s *step) send(exec *flow.Exec, timeout time.Duration) (Phase, Micros, storage.RunStatus) {
	switch {
	case exec.Type != flow.ExecQueue:
		return PhaseRunning, 0, storage.RunRunning
	case timeout > 0:
		return PhaseQueued, micros(s.at.Add(timeout)), storage.RunQueued
	}
	return PhaseQueued, 0, storage.RunQueued
}

// timeout is how long one attempt may take; 0 is without bound. A definition
// that sets none, or 0, or a reference that finds nothing, takes the default. A
// queued job has no default: it may have to wait long for a worker, and that is
// no fault.
func (s *step) timeout(exec *flow.Exec, reads expr.Scope) (time.Duration, error) {
	timeout, err := exec.Timeout.Resolve(reads)
	if timeout == 0 && exec.Type != flow.ExecQueue {
		timeout = s.limits().AttemptTimeout
	}
	return timeout, err
}

// timeoutAgain is the same for an attempt that has begun: it was fit then, and
// if a signal has changed it since, the default has to do.
func (s *step) timeoutAgain(exec *flow.Exec, reads expr.Scope) time.Duration {
	timeout, err := s.timeout(exec, reads)
	if err != nil {
		return s.limits().AttemptTimeout
	}
	return timeout
}

func (s *step) execution(sc *scope, frame *NodeFrame, timeout time.Duration) Execution {
	return Execution{
		RunNo: frame.Run, RunID: frame.RunID,
		NodeKey: frame.Key, Path: sc.pathOf(frame.Key), Visit: frame.Visit, Attempt: frame.Attempt,
		Exec:  &sc.plan.Node(frame.Key).Exec,
		Input: frame.Input, Params: frame.Params,
		Timeout: timeout,
	}
}

// runFinished applies the result of the run that is active under its id; any
// other result comes too late and changes nothing.
func (s *step) runFinished(result *RunResult) {
	sc := s.innermost()
	frame := sc.frame.Node
	switch {
	case frame == nil:
	case frame.Fan != nil:
		s.goOn(sc, s.fanStep(sc, frame).branchFinished(result))
	case frame.RunID == result.RunID && frame.Phase.executing():
		node := sc.plan.Node(frame.Key)
		if result.Error != nil {
			s.goOn(sc, s.attemptFailed(sc, node, frame, result))
			return
		}
		s.goOn(sc, s.succeed(sc, node, frame, result))
	}
}

// succeed writes what post says and picks the action.
func (s *step) succeed(sc *scope, node *flow.PlanNode, frame *NodeFrame, result *RunResult) *outcome {
	output := result.output()
	reads := sc.reads(frame)
	done := s.success(sc, node, frame, node.Post.Action(reads, output), s.written(&node.Post, reads, output))
	finish := finishOf(done, output)
	result.sign(&finish)
	s.finishVisit(sc, frame, finish)
	return done
}

func (r *RunResult) output() json.RawMessage {
	if len(r.Result) == 0 {
		return json.RawMessage("null")
	}
	return r.Result
}

// sign notes who gave the result.
func (r *RunResult) sign(finish *storage.RunFinish) {
	finish.WorkerID, finish.WorkerURL, finish.LogPath = r.WorkerID, r.WorkerURL, r.LogPath
}

// attemptFailed closes the attempt and either plans the next or ends the node.
func (s *step) attemptFailed(sc *scope, node *flow.PlanNode, frame *NodeFrame, result *RunResult) *outcome {
	failure := &Failure{Node: sc.pathOf(frame.Key), Code: result.Error.Code, Message: result.Error.Message, Attempts: frame.Attempt}
	finish := failure.finish()
	result.sign(&finish)
	if result.Error.Final || frame.Attempt > node.Retry.Max {
		s.finishVisit(sc, frame, finish)
		return &outcome{node: node, failure: failure}
	}
	s.finishRun(frame.Run, finish)
	_, done := s.backOff(sc, node, frame)
	return done
}

// unanswered is the error of a job that no worker has answered in time.
func unanswered() *RunError {
	return &RunError{Code: CodeTimeout, Message: "no worker answered within the attempt's time-out"}
}
