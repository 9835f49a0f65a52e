package engine

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"

	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Signals are what a task's waits have to do with the signals it was sent. A
// signal lets one visit pass: it is kept here until that visit comes, and the
// value that it leaves in the shared state lets no further visit pass. A value
// that a node wrote there lets every visit pass.
type Signals struct {
	// Kept are the values that no wait has taken yet, oldest first, by key.
	// Only keys that the plan waits for are kept.
	Kept map[string][]json.RawMessage `json:"kept,omitempty"`
	// Left are digests of what signals left in the shared state, by key.
	Left map[string]string `json:"left,omitempty"`
}

func (s *Signals) keep(key string, value json.RawMessage) {
	s.Kept = maps.Clone(s.Kept)
	if s.Kept == nil {
		s.Kept = map[string][]json.RawMessage{}
	}
	values := s.Kept[key]
	s.Kept[key] = append(values[:len(values):len(values)], value)
}

// take removes the oldest value kept for the key.
func (s *Signals) take(key string) (json.RawMessage, bool) {
	values := s.Kept[key]
	if len(values) == 0 {
		return nil, false
	}
	s.Kept = maps.Clone(s.Kept)
	s.Kept[key] = values[1:]
	if len(values) == 1 {
		delete(s.Kept, key)
	}
	if len(s.Kept) == 0 {
		s.Kept = nil // as it is read back
	}
	return values[0], true
}

// leave remembers that the value under the key is a signal's.
func (s *Signals) leave(key string, shared json.RawMessage) {
	value, _ := rawjson.Field(shared, key)
	s.Left = maps.Clone(s.Left)
	if s.Left == nil {
		s.Left = map[string]string{}
	}
	s.Left[key] = digest(value)
}

// left reports whether the value under the key is one that a signal left.
func (s *Signals) left(key string, shared json.RawMessage) bool {
	value, ok := rawjson.Field(shared, key)
	return ok && s.Left[key] == digest(value)
}

// size is the bytes of what is kept.
func (s *Signals) size() int {
	n := 0
	for _, values := range s.Kept {
		for _, value := range values {
			n += len(value)
		}
	}
	return n
}

// digest tells values apart without keeping them twice.
func digest(value json.RawMessage) string {
	sum := sha256.Sum256(rawjson.Trim(value))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// startWait passes by a signal that came before, or by a value that is there
// already; otherwise it waits.
func (s *step) startWait(sc scope, node *flow.PlanNode, frame *NodeFrame) *outcome {
	frame.Attempt++
	timeout, err := node.Timeout.Resolve(sc.reads(frame))
	if err != nil {
		return s.refuse(sc, node, frame, CodeBadSetting, fmt.Sprintf("timeout_ms: %s", err))
	}
	s.startRun(sc, frame, storage.RunRunning)
	if value, ok := s.kept(node); ok {
		return s.pass(sc, node, frame, value)
	}
	value := node.Wait.Value.Resolve(sc.reads(frame))
	if lets(value) && !s.state.Signals.left(node.Wait.Signal, *sc.shared) {
		return s.goOn(sc, node, frame, value)
	}
	frame.Phase, frame.Due = PhaseWaiting, 0
	if timeout > 0 {
		frame.Due = micros(s.at.Add(timeout))
	}
	return nil
}

// kept takes a signal that came before the visit. For a wait on a place inside a
// value, those that left nothing there are passed over.
func (s *step) kept(node *flow.PlanNode) (json.RawMessage, bool) {
	for {
		value, ok := s.state.Signals.take(node.Wait.Signal)
		if !ok {
			return nil, false
		}
		if found, ok := told(node, value); ok {
			return found, true
		}
	}
}

// told is what a signal says to the node: its value, whatever that is, or what
// stands at the place inside it that the node waits for.
func told(node *flow.PlanNode, value json.RawMessage) (json.RawMessage, bool) {
	if node.Wait.Inside.Len() == 0 {
		return value, true
	}
	found, ok := node.Wait.Inside.Lookup(value)
	return found, ok && lets(found)
}

// lets reports whether a value in the shared state lets a wait pass.
func lets(value json.RawMessage) bool {
	switch rawjson.TypeOf(value) {
	case rawjson.Missing, rawjson.Null:
		return false
	case rawjson.Bool:
		return string(rawjson.Trim(value)) == "true"
	case rawjson.String:
		return rawjson.Text(value) != ""
	case rawjson.Number, rawjson.Array, rawjson.Object:
	}
	return true
}

// pass ends the visit by a signal. What the key holds after it, written by the
// signal or by the node's own post, is that signal's.
func (s *step) pass(sc scope, node *flow.PlanNode, frame *NodeFrame, value json.RawMessage) *outcome {
	done := s.goOn(sc, node, frame, value)
	s.state.Signals.leave(node.Wait.Signal, *sc.shared)
	return done
}

// goOn ends the visit with the value that it waited for.
func (s *step) goOn(sc scope, node *flow.PlanNode, frame *NodeFrame, value json.RawMessage) *outcome {
	reads := sc.reads(frame)
	subject := rawjson.Set(nil, "signal", value)
	return s.endWait(sc, node, frame, waitEnd{
		action: node.Post.Action(reads, subject), shared: node.Post.Write(reads, value), output: value,
	})
}

// waitEnd is how a wait ends that does not fail.
type waitEnd struct {
	action string
	shared json.RawMessage
	output json.RawMessage
}

func (s *step) endWait(sc scope, node *flow.PlanNode, frame *NodeFrame, end waitEnd) *outcome {
	done := s.finish(sc, node, frame, end.action, end.shared)
	s.finishRun(frame, finishOf(done, end.output))
	return done
}

// waitTimedOut is what becomes of a wait whose time is up: failure_strategy
// first (retry begins again, continue goes on with null), then the timeout
// edge, then an action_static of the node's own, else it is a failure.
func (s *step) waitTimedOut(sc scope, node *flow.PlanNode, frame *NodeFrame) *outcome {
	failure := &Failure{
		Node: sc.pathOf(node.Key), Code: CodeTimeout, Attempts: frame.Attempt,
		Message: fmt.Sprintf("no signal %q came in time", node.Wait.Signal),
	}
	closed := storage.RunFinish{Status: storage.RunTimeout, ErrorCode: failure.Code, ErrorText: failure.Message}
	_, caught := sc.plan.TimeoutEdge(node.Key)
	goesOn := node.Wait.Strategy == flow.Continue || node.Wait.Strategy == flow.IgnoreErrors
	switch {
	case node.Wait.Strategy == flow.RetryFailed && frame.Attempt <= node.Retry.Max:
		s.finishRun(frame, closed)
		return s.startWait(sc, node, frame)
	case goesOn || !caught && node.Post.ActionStatic != "":
		reads, null := sc.reads(frame), json.RawMessage("null")
		return s.endWait(sc, node, frame, waitEnd{action: node.Post.ActionStatic, shared: node.Post.Write(reads, null), output: null})
	}
	s.finishRun(frame, closed)
	return &outcome{node: node, failure: failure}
}

// signal writes the value to the shared state, and lets the wait for it pass or
// keeps it for one that may come.
func (s *step) signal(signal *Signal) {
	shared := rawjson.Set(s.state.Shared, signal.Key, signal.Value)
	if limit := s.program.Limits.MaxValue; len(shared) > limit {
		s.fail(Failure{Code: CodeTooLarge, Message: fmt.Sprintf("with the signal %q the shared state would have %d bytes, the most is %d", signal.Key, len(shared), limit)})
		return
	}
	s.state.Shared = shared
	sc := s.root()
	if !sc.plan.WaitsFor(signal.Key) {
		return
	}
	s.state.Signals.leave(signal.Key, shared)
	if frame := sc.frame.Node; frame != nil && frame.Phase == PhaseWaiting {
		if node := sc.plan.Node(frame.Key); node.Wait != nil && node.Wait.Signal == signal.Key {
			s.heard(sc, node, frame, signal.Value)
			return
		}
	}
	if len(s.state.Signals.Kept[signal.Key]) >= maxKept || s.state.Signals.size()+len(signal.Value) > s.program.Limits.MaxValue {
		s.fail(Failure{Code: CodeTooLarge, Message: fmt.Sprintf("too many signals came that no wait has taken, the last one %q", signal.Key)})
		return
	}
	s.state.Signals.keep(signal.Key, signal.Value)
}

// heard gives the waiting node its signal. A wait on a place inside the value
// goes on waiting when the signal left nothing there.
func (s *step) heard(sc scope, node *flow.PlanNode, frame *NodeFrame, value json.RawMessage) {
	value, ok := told(node, value)
	if !ok {
		return
	}
	if done := s.pass(sc, node, frame, value); done != nil {
		s.resume(sc, *done)
	}
}

// maxKept bounds the signals of one key that wait for their visit.
const maxKept = 1000
