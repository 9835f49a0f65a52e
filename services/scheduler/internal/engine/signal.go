package engine

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"

	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
)

// A signal lets one visit pass: it is kept until that visit comes, and the value
// that it leaves in the shared state lets no further visit pass. A value that a
// node wrote there lets every visit pass.

// keep puts a signal by for a wait that may come.
func (s *State) keep(signal *Signal) {
	s.Kept = append(s.Kept, *signal)
	s.KeptBytes += signal.size()
}

// take removes the oldest signal kept for the node's key that tells the node
// something. Those before it that do not are kept only if they may tell another
// node something.
func (v *visit) take() (found heard, ok bool) {
	key, state := v.node.Wait.Signal, v.state
	elsewhere := v.program.Plan.WaitsElsewhere(key)
	var left []Signal
	for i := range state.Kept {
		signal := &state.Kept[i]
		if signal.Key == key && !ok {
			var said json.RawMessage
			if said, ok = v.told(signal); ok {
				found = heard{signal, said}
			}
			if ok || !elsewhere {
				state.KeptBytes -= signal.size()
				continue
			}
		}
		left = append(left, *signal)
	}
	state.Kept = left
	return found, ok
}

func (s *Signal) size() int { return len(s.Key) + len(s.Value) + len(s.DecidedBy) + len(s.Comment) }

// maxKept bounds the signals that wait for their visit.
const maxKept = 10_000

// leave remembers that the value under the key is a signal's.
func (f *FlowFrame) leave(key string, shared json.RawMessage) {
	value, _ := rawjson.Field(shared, key)
	f.Left = maps.Clone(f.Left)
	if f.Left == nil {
		f.Left = map[string]string{}
	}
	f.Left[key] = digest(value)
}

// forget is for a value that a node wrote.
func (f *FlowFrame) forget(key string) {
	if _, ok := f.Left[key]; !ok {
		return
	}
	f.Left = maps.Clone(f.Left)
	delete(f.Left, key)
	if len(f.Left) == 0 {
		f.Left = nil // as it is read back
	}
}

// hasLeft reports whether the value under the key is one that a signal left.
func (f *FlowFrame) hasLeft(key string, shared json.RawMessage) bool {
	value, ok := rawjson.Field(shared, key)
	return ok && f.Left[key] == digest(value)
}

// digest tells values apart without keeping them twice.
func digest(value json.RawMessage) string {
	sum := sha256.Sum256(rawjson.Trim(value))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// signal writes the value to the shared state, and lets the wait for it pass or
// keeps it for one that may come.
func (s *step) signal(signal *Signal) {
	v := s.innermost()
	if v != nil && (v.frame.Phase != PhaseWaiting || v.node.Wait == nil) {
		v = nil // it waits for something else
	}
	if signal.RunID != "" && (v == nil || v.frame.RunID != signal.RunID) {
		return // a decision about what is no longer to be decided
	}
	shared := rawjson.Set(s.state.Shared, signal.Key, signal.Value)
	if v != nil {
		shared = v.write(signal, s.state.Shared)
	}
	if !s.signalWritten(signal.Key, shared) {
		return
	}
	if v != nil && (v.node.Wait.Signal == signal.Key || signal.RunID != "") {
		said, ok := v.told(signal)
		if ok {
			s.goOn(v.pass(heard{signal, said}))
		}
		if ok || !s.program.Plan.WaitsElsewhere(signal.Key) {
			return
		}
	}
	full := len(s.state.Kept) >= maxKept || s.state.KeptBytes+signal.size() > s.limits().MaxValue
	switch plan := s.program.Plan; {
	case !full && plan.MayWaitFor(signal.Key):
		s.state.keep(signal)
	case full && plan.WaitsFor(signal.Key):
		// Of what a subflow by reference may wait for, the first ones are kept.
		s.fail(Failure{Code: CodeTooLarge, Message: fmt.Sprintf("too many signals, or too many bytes of them, came that no wait has taken; the last one was %q", signal.Key)})
	}
}

// write gives a shared state with the signal in it: its value under its key. A
// decision is about one place, which may be inside the value that the key has.
func (v *visit) write(signal *Signal, shared json.RawMessage) json.RawMessage {
	if ref, ok := v.node.Wait.Value.Ref(); ok && signal.RunID != "" {
		return ref.Path.Set(shared, signal.Value)
	}
	return rawjson.Set(shared, signal.Key, signal.Value)
}

// signalWritten is false when that has failed the task.
func (s *step) signalWritten(key string, shared json.RawMessage) bool {
	if fault := s.sharedTooLarge(s.state.Shared, shared); fault != "" {
		s.fail(Failure{Code: CodeTooLarge, Message: fmt.Sprintf("with the signal %q %s", key, fault)})
		return false
	}
	s.state.Shared = shared
	if s.program.Plan.WaitsFor(key) {
		s.state.Flow.leave(key, shared)
	}
	return true
}
