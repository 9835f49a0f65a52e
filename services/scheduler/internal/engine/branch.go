package engine

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/flow/expr"
	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Branch is a branch that has started and not ended.
type Branch struct {
	Index   int    `json:"i"`
	Before  int    `json:"b,omitempty"` // attempts in earlier rounds
	Attempt int    `json:"a"`           // from 1, over all rounds
	Phase   Phase  `json:"p"`
	Run     int    `json:"r"`
	RunID   string `json:"id"`
	Due     Micros `json:"d,omitempty"`

	// What the run's row holds, see Attach. Own are the params besides those
	// that all nodes of the flow share, an object once it is here: rows of ten
	// thousand branches that each held the task's params would grow with the
	// square of their number.
	Input json.RawMessage `json:"-"`
	Own   json.RawMessage `json:"-"`
}

// exec is what the branch of that index executes.
func (s *fanStep) exec(index int) (*flow.Exec, bool) {
	if s.node.Parallel != nil {
		return &s.fan.laid.execs[index], true
	}
	item, ok := s.node.Item(index)
	return &item, ok
}

func (s *fanStep) readsOf(b *Branch) expr.Scope {
	return expr.Scope{Params: s.fan.laid.base.Merge(b.Own), Shared: *s.sc.shared, Input: b.Input}
}

// startBranch gives a branch its input and starts its first attempt of the
// round. Like all that follow it, it returns an outcome when that ends the node.
func (s *fanStep) startBranch(which rerun) *outcome {
	b := Branch{Index: which.index, Before: which.attempts, Attempt: which.attempts, Input: s.frame.Input, Own: json.RawMessage("{}")}
	var index json.RawMessage // $params.index, of an item
	if s.node.Foreach != nil {
		b.Input = s.fan.laid.items[b.Index]
		index = strconv.AppendInt(nil, int64(b.Index), 10)
		b.Own = rawjson.Set(nil, "index", index)
	}
	exec, ok := s.exec(b.Index)
	reads := expr.Scope{Params: s.sc.params, Shared: *s.sc.shared, Input: b.Input, Budget: s.budget()}
	b.Own = exec.OwnParams(reads, &s.fan.laid.base, b.Own)
	if index != nil {
		b.Own = rawjson.Set(b.Own, "index", index) // whatever the params say
	}
	reads.Params = s.fan.laid.base.Merge(b.Own)
	if !exec.Prep.Empty() {
		b.Input = exec.Prep.Input(reads)
	}
	if !ok {
		return s.refuseBranch(&b, CodeBadSetting, "neither the node nor its foreach_execs say what to execute for this item")
	}
	if fault := s.tooLarge(reads.Budget, b.Input, reads.Params); fault != "" {
		return s.refuseBranch(&b, CodeTooLarge, fault)
	}
	reads.Input, reads.Budget = b.Input, nil
	return s.attemptBranch(b, reads)
}

func (s *fanStep) retryBranch(b Branch) *outcome { return s.attemptBranch(b, s.readsOf(&b)) }

// attemptBranch starts the next attempt of a branch, which reads what is given.
func (s *fanStep) attemptBranch(b Branch, reads expr.Scope) *outcome {
	exec, _ := s.exec(b.Index)
	timeout, err := s.timeout(exec, reads)
	if err != nil {
		return s.refuseBranch(&b, CodeBadSetting, badTimeout(err))
	}
	b.Attempt++
	run := s.branchRun(&b)
	b.Phase, b.Due, run.Status = s.send(exec, timeout)
	run.Input, run.Params = b.Input, b.Own
	b.Run, b.RunID = s.recordRun(run)
	s.fan.Open = append(s.fan.Open, b)
	s.executeBranch(&b, reads)
	return nil
}

func (s *fanStep) branchRun(b *Branch) storage.NodeRun {
	index := strconv.Itoa(b.Index)
	return storage.NodeRun{
		NodeKey: s.frame.Key, Path: s.path() + "/" + index, BranchID: index,
		Visit: s.frame.Visit, Attempt: b.Attempt, Status: storage.RunRunning,
	}
}

// executeBranch asks for the execution of a branch's attempt.
func (s *fanStep) executeBranch(b *Branch, reads expr.Scope) {
	exec, _ := s.exec(b.Index)
	run := s.branchRun(b)
	s.effects.Execute = append(s.effects.Execute, Execution{
		RunNo: b.Run, RunID: b.RunID,
		NodeKey: run.NodeKey, Path: run.Path, Visit: run.Visit, Attempt: run.Attempt,
		Exec:  exec,
		Input: b.Input, Params: reads.Params,
		Timeout: s.timeoutAgain(exec, reads),
	})
}

// resumeBranches carries the branches out again that were running.
func (s *fanStep) resumeBranches() {
	for i := range s.fan.Open {
		if b := &s.fan.Open[i]; b.Phase == PhaseRunning {
			s.executeBranch(b, s.readsOf(b))
		}
	}
}

// refuseBranch fails a branch whose attempt cannot even start.
func (s *fanStep) refuseBranch(b *Branch, code, message string) *outcome {
	b.Attempt++
	no, _ := s.recordRun(s.branchRun(b))
	s.finishRun(no, storage.RunFinish{Status: storage.RunError, SubStatus: s.endMark(), ErrorCode: code, ErrorText: message})
	return s.branchFailed(b, &RunError{Code: code, Message: message, Final: true})
}

// endMark tells the run that ends a branch from those before it.
func (s *fanStep) endMark() string {
	if s.node.Foreach != nil {
		return itemComplete
	}
	return branchComplete
}

// branchFinished applies a result to the branch whose run it is, and starts
// what has room now.
func (s *fanStep) branchFinished(result *RunResult) *outcome {
	at := slices.IndexFunc(s.fan.Open, func(b Branch) bool { return b.RunID == result.RunID && b.Phase.executing() })
	if at < 0 {
		return nil
	}
	b := s.take(at)
	end := s.branchSucceeded
	if result.Error != nil {
		end = s.branchAttemptFailed
	}
	if done := end(b, result); done != nil || s.frame.Due != 0 {
		return done
	}
	return s.fill()
}

// take removes an open branch. The slice is this state's own.
func (s *fanStep) take(at int) Branch {
	b := s.fan.Open[at]
	s.fan.Open = slices.Delete(s.fan.Open, at, at+1)
	return b
}

func (s *fanStep) branchSucceeded(b Branch, result *RunResult) *outcome {
	output := result.output()
	finish := storage.RunFinish{Status: storage.RunOK, SubStatus: s.endMark(), Output: output}
	result.sign(&finish)
	if exec, _ := s.exec(b.Index); !exec.Post.Empty() {
		shared := s.written(&exec.Post, s.readsOf(&b), output)
		if fault := s.sharedTooLarge(*s.sc.shared, shared); fault != "" {
			finish.Status, finish.ErrorCode, finish.ErrorText = storage.RunError, CodeTooLarge, fault
			s.finishRun(b.Run, finish)
			return s.branchFailed(&b, &RunError{Code: CodeTooLarge, Message: fault, Final: true})
		}
		s.sc.write(&exec.Post, shared)
	}
	s.finishRun(b.Run, finish)
	s.branchEnded(&b, branchEnd{output: output})
	s.fan.Bytes += len(output) + len(",")
	if limit := s.limits().MaxValue; s.fan.Bytes > limit {
		return s.failFan(&Failure{
			Node: s.path(), Code: CodeTooLarge, Attempts: s.frame.Attempt,
			Message: fmt.Sprintf("the results have %d bytes, the most is %d", s.fan.Bytes, limit),
		})
	}
	return nil
}

// branchAttemptFailed plans the branch's next attempt, or ends it.
func (s *fanStep) branchAttemptFailed(b Branch, result *RunResult) *outcome {
	e := result.Error
	finish := (&Failure{Code: e.Code, Message: e.Message}).finish()
	result.sign(&finish)
	exec, _ := s.exec(b.Index)
	tries := b.Attempt - b.Before
	if e.Final || tries > exec.Retry.Max {
		finish.SubStatus = s.endMark()
		s.finishRun(b.Run, finish)
		return s.branchFailed(&b, e)
	}
	s.finishRun(b.Run, finish)
	wait := exec.Retry.Delay(tries, chance(b.RunID))
	b.Due = 0
	if wait <= 0 {
		return s.retryBranch(b)
	}
	b.Phase, b.Due = PhaseBackoff, micros(s.now.Add(wait))
	s.fan.Open = append(s.fan.Open, b)
	return nil
}

// branchFailed counts a branch that has used up its attempts.
func (s *fanStep) branchFailed(b *Branch, e *RunError) *outcome {
	s.fan.Failed++
	s.fan.Final = s.fan.Final || e.Final
	s.branchEnded(b, branchEnd{failure: e})
	if s.group().Strategy != flow.FailFast {
		return nil
	}
	return s.failFan(s.failure([]BranchFailure{e.of(rerun{index: b.Index, attempts: b.Attempt})}))
}

// branchEnded keeps how a branch ended for the end of the round. When the ends
// are not here, no event of this batch ends the round: they will be read from
// the runs, this one's included.
func (s *fanStep) branchEnded(b *Branch, end branchEnd) {
	end.attempts = b.Attempt
	if s.fan.ends != nil {
		s.fan.ends[b.Index] = end
	}
}

// branchesDue acts on the branches whose time has come, and starts what has
// room.
func (s *fanStep) branchesDue() *outcome {
	isDue := func(b Branch) bool { return b.Due != 0 && b.Due <= s.clock }
	// What becomes due again becomes so later than now: each turn leaves one
	// less.
	for at := slices.IndexFunc(s.fan.Open, isDue); at >= 0; at = slices.IndexFunc(s.fan.Open, isDue) {
		b := s.take(at)
		again := s.retryBranch
		if b.Phase == PhaseQueued {
			s.abort(b.RunID, b.Phase)
			again = func(b Branch) *outcome {
				return s.branchAttemptFailed(b, &RunResult{RunID: b.RunID, Error: unanswered()})
			}
		}
		b.Due = 0
		if done := again(b); done != nil {
			return done
		}
	}
	return s.fill()
}

// closeBranches closes the open branches with the status and starts no more.
func (s *step) closeBranches(fan *Fan, status storage.RunStatus) {
	for i := range fan.Open {
		if b := &fan.Open[i]; b.Phase.executing() {
			s.abort(b.RunID, b.Phase)
			s.finishRun(b.Run, storage.RunFinish{Status: status})
		}
	}
	fan.Open, fan.Next = nil, fan.Round
}
