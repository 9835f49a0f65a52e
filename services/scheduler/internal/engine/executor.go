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
func (v *visit) attempt() *outcome {
	v.frame.Attempt++
	timeout, err := v.timeout(&v.node.Exec, v.reads())
	if err != nil {
		return v.refuse(CodeBadSetting, badTimeout(err))
	}
	var status storage.RunStatus
	v.frame.Phase, v.frame.Due, status = v.send(&v.node.Exec, timeout)
	v.startRun(status)
	v.effects.Execute = append(v.effects.Execute, v.execution(timeout))
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
		return PhaseQueued, micros(s.now.Add(timeout)), storage.RunQueued
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

func (v *visit) execution(timeout time.Duration) Execution {
	return Execution{
		RunNo: v.frame.Run, RunID: v.frame.RunID,
		NodeKey: v.frame.Key, Path: v.path(), Visit: v.frame.Visit, Attempt: v.frame.Attempt,
		Exec:  &v.node.Exec,
		Input: v.frame.Input, Params: v.frame.Params,
		Timeout: timeout,
	}
}

// runFinished applies the result of the run that is active under its id; any
// other result comes too late and changes nothing.
func (s *step) runFinished(result *RunResult) {
	v := s.innermost()
	switch {
	case v == nil:
	case v.frame.Fan != nil:
		s.goOn(v.fanStep().branchFinished(result))
	case !s.state.Awaits(result.RunID):
	case result.Error != nil:
		s.goOn(v.attemptFailed(result))
	default:
		s.goOn(v.succeed(result))
	}
}

// succeed writes what post says and picks the action.
func (v *visit) succeed(result *RunResult) *outcome {
	output := result.output()
	reads := v.reads()
	done := v.success(v.node.Post.Action(reads, output), v.written(&v.node.Post, reads, output))
	finish := finishOf(done, output)
	result.sign(&finish)
	v.finishVisit(finish)
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
func (v *visit) attemptFailed(result *RunResult) *outcome {
	failure := v.failure(result.Error.Code, result.Error.Message)
	finish := failure.finish()
	result.sign(&finish)
	if result.Error.Final || v.frame.Attempt > v.node.Retry.Max {
		v.finishVisit(finish)
		return v.ended(failure)
	}
	v.finishRun(v.frame.Run, finish)
	return v.backOff()
}

// unanswered is the error of a job that no worker has answered in time.
func unanswered() *RunError {
	return &RunError{Code: CodeTimeout, Message: "no worker answered within the attempt's time-out"}
}
