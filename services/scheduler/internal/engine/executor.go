package engine

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// attempt starts the next attempt of a node's execution. It returns an outcome
// only when the attempt cannot even start.
func (s *step) attempt(sc scope, node *flow.PlanNode, frame *NodeFrame) *outcome {
	frame.Attempt++
	timeout, err := s.timeout(sc, frame)
	if err != nil {
		return s.refuse(sc, node, frame, CodeBadSetting, fmt.Sprintf("timeout_ms: %s", err))
	}
	frame.Phase, frame.Due = PhaseRunning, 0
	status := storage.RunRunning
	if node.Type == flow.ExecQueue {
		frame.Phase = PhaseQueued
		status = storage.RunQueued
		if timeout > 0 {
			frame.Due = micros(s.at.Add(timeout))
		}
	}
	s.startRun(sc, frame, status)
	s.effects.Execute = append(s.effects.Execute, s.execution(sc, frame, timeout))
	return nil
}

// refuse fails a node that cannot even start, with a run that says why and
// without the input and params, which may be what is wrong.
func (s *step) refuse(sc scope, node *flow.PlanNode, frame *NodeFrame, code, message string) *outcome {
	frame.Input, frame.Params = nil, nil
	s.startRun(sc, frame, storage.RunRunning)
	s.finishRun(frame, storage.RunFinish{Status: storage.RunError, ErrorCode: code, ErrorText: message})
	return &outcome{node: node, failure: &Failure{
		Node: sc.pathOf(frame.Key), Code: code, Message: message, Attempts: frame.Attempt,
	}}
}

// timeout is how long one attempt may take; 0 is without bound. A definition
// that sets none, or 0, or a reference that finds nothing, takes the default. A
// queued job has no default: it may have to wait long for a worker, and that is
// no fault.
func (s *step) timeout(sc scope, frame *NodeFrame) (time.Duration, error) {
	exec := &sc.plan.Node(frame.Key).Exec
	timeout, err := exec.Timeout.Resolve(sc.reads(frame))
	if timeout == 0 && exec.Type != flow.ExecQueue {
		timeout = s.program.Limits.AttemptTimeout
	}
	return timeout, err
}

func (s *step) execution(sc scope, frame *NodeFrame, timeout time.Duration) Execution {
	return Execution{
		RunNo: frame.Run, RunID: frame.RunID,
		NodeKey: frame.Key, Path: sc.pathOf(frame.Key), Visit: frame.Visit, Attempt: frame.Attempt,
		Exec:  &sc.plan.Node(frame.Key).Exec,
		Input: frame.Input, Params: frame.Params,
		Timeout: timeout,
	}
}

// startRun numbers the frame's attempt and records it.
func (s *step) startRun(sc scope, frame *NodeFrame, status storage.RunStatus) {
	path := sc.pathOf(frame.Key)
	s.state.Runs++
	frame.Run = s.state.Runs
	frame.RunID = runID(s.program.TaskID, address{path: path, visit: frame.Visit, attempt: frame.Attempt}, s.at)
	s.effects.Started = append(s.effects.Started, storage.NodeRun{
		TaskID: s.program.TaskID, No: frame.Run, ID: frame.RunID,
		NodeKey: frame.Key, Path: path, Visit: frame.Visit, Attempt: frame.Attempt,
		Status: status, Input: frame.Input, Params: frame.Params, StartedAt: s.at,
	})
}

// finishRun closes the frame's run: in place when this step started it, so
// that it is written once.
func (s *step) finishRun(frame *NodeFrame, finish storage.RunFinish) {
	finish.No, finish.FinishedAt = frame.Run, s.at
	if n := len(s.effects.Started); n > 0 && s.effects.Started[n-1].No == frame.Run {
		finish.Close(&s.effects.Started[n-1])
		return
	}
	s.effects.Finished = append(s.effects.Finished, finish)
}

func (s *step) abort(frame *NodeFrame) {
	execType := flow.ExecHTTP
	if frame.Phase == PhaseQueued {
		execType = flow.ExecQueue
	}
	s.effects.Abort = append(s.effects.Abort, Abort{RunID: frame.RunID, ExecType: execType})
}

// runFinished applies the result of the run that is active under its id; any
// other result comes too late and changes nothing.
func (s *step) runFinished(result *RunResult) {
	sc := s.root()
	frame := sc.frame.Node
	if frame == nil || frame.RunID != result.RunID || !frame.Phase.executing() {
		return
	}
	node := sc.plan.Node(frame.Key)
	if result.Error != nil {
		s.attemptFailed(sc, node, frame, result)
		return
	}
	if done := s.succeed(sc, node, frame, result); done != nil {
		s.resume(sc, *done)
	}
}

// resume goes on after a node that had waited has ended.
func (s *step) resume(sc scope, done outcome) {
	if key, more := s.leave(sc, done); more {
		s.advance(sc, key)
	}
}

// succeed writes what post says and picks the action.
func (s *step) succeed(sc scope, node *flow.PlanNode, frame *NodeFrame, result *RunResult) *outcome {
	output := result.Result
	if len(output) == 0 {
		output = []byte("null")
	}
	reads := sc.reads(frame)
	done := s.finish(sc, node, frame, node.Post.Action(reads, output), node.Post.Write(reads, output))
	finish := finishOf(done, output)
	finish.WorkerID, finish.WorkerURL, finish.LogPath = result.WorkerID, result.WorkerURL, result.LogPath
	s.finishRun(frame, finish)
	return done
}

// finishOf is the end of a run that had the output.
func finishOf(done *outcome, output json.RawMessage) storage.RunFinish {
	finish := storage.RunFinish{Status: storage.RunOK, Output: output, Action: done.action}
	if f := done.failure; f != nil {
		finish.Status, finish.ErrorCode, finish.ErrorText = storage.RunError, f.Code, f.Message
	}
	return finish
}

// finish gives a node that succeeded its action and writes the shared state,
// unless one of the two makes it fail after all.
func (s *step) finish(sc scope, node *flow.PlanNode, frame *NodeFrame, action string, shared json.RawMessage) *outcome {
	done := &outcome{node: node, action: brief(action)}
	failure := func(code, format string, args ...any) {
		done.failure = &Failure{Node: sc.pathOf(frame.Key), Code: code, Attempts: frame.Attempt, Message: fmt.Sprintf(format, args...)}
	}
	if limit := s.program.Limits.MaxValue; len(shared) > limit {
		failure(CodeTooLarge, "the shared state would have %d bytes, the most is %d", len(shared), limit)
		return done
	}
	*sc.shared = shared
	if _, exit := sc.plan.Next(frame.Key, action); exit == flow.ExitNone {
		failure(CodeNoEdge, "the node ended with the action %q, which no edge takes", done.action)
	}
	return done
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

// attemptFailed closes the attempt and either plans the next or ends the node.
func (s *step) attemptFailed(sc scope, node *flow.PlanNode, frame *NodeFrame, result *RunResult) {
	status := storage.RunError
	if result.Error.Code == CodeTimeout {
		status = storage.RunTimeout
	}
	s.finishRun(frame, storage.RunFinish{
		Status: status, ErrorCode: result.Error.Code, ErrorText: result.Error.Message,
		WorkerID: result.WorkerID, WorkerURL: result.WorkerURL, LogPath: result.LogPath,
	})
	if result.Error.Final || frame.Attempt > node.Retry.Max {
		s.resume(sc, outcome{node: node, failure: &Failure{
			Node: sc.pathOf(frame.Key), Code: result.Error.Code, Message: result.Error.Message, Attempts: frame.Attempt,
		}})
		return
	}
	frame.Phase = PhaseBackoff
	wait := node.Retry.Delay(frame.Attempt, chance(frame.RunID))
	if wait <= 0 {
		s.retry(sc, node, frame)
		return
	}
	frame.Due = micros(s.at.Add(wait))
}

func (s *step) retry(sc scope, node *flow.PlanNode, frame *NodeFrame) {
	if done := s.attempt(sc, node, frame); done != nil {
		s.resume(sc, *done)
	}
}

// due acts on a node whose time has come.
func (s *step) due(sc scope, frame *NodeFrame) {
	node := sc.plan.Node(frame.Key)
	switch frame.Phase {
	case PhaseBackoff:
		s.retry(sc, node, frame)
	case PhaseQueued:
		s.abort(frame)
		s.attemptFailed(sc, node, frame, &RunResult{RunID: frame.RunID, Error: &RunError{
			Code: CodeTimeout, Message: "no worker answered within the attempt's time-out",
		}})
	case PhaseNext:
		s.advance(sc, frame.Key)
	case PhaseWaiting:
		end := s.fire
		if node.Wait != nil {
			end = s.waitTimedOut
		}
		if done := end(sc, node, frame); done != nil {
			s.resume(sc, *done)
		}
	case PhaseRunning:
		// Whoever carries the execution out keeps its time.
	}
}
