package engine

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// startTimer waits for the node's time. One that is past already ends the visit
// at once.
func (s *step) startTimer(sc *scope, node *flow.PlanNode, frame *NodeFrame) *outcome {
	frame.Attempt = 1
	due, err := s.timerDue(sc, node, frame)
	if err != nil {
		return s.refuse(sc, node, frame, CodeBadSetting, err.Error())
	}
	s.startRun(sc, frame, storage.RunRunning)
	if !due.After(s.at) {
		return s.fire(sc, node, frame)
	}
	frame.Phase, frame.Due = PhaseWaiting, micros(due)
	return nil
}

func (s *step) timerDue(sc *scope, node *flow.PlanNode, frame *NodeFrame) (time.Time, error) {
	reads := sc.reads(frame)
	if node.Timer.Until.IsSet() {
		until, err := node.Timer.Until.Resolve(reads)
		if err != nil {
			return until, fmt.Errorf("until: %w", err)
		}
		return until, nil
	}
	delay, err := node.Timer.Delay.Resolve(reads)
	if err != nil {
		return s.at, fmt.Errorf("delay_ms: %w", err)
	}
	return s.at.Add(delay), nil
}

// fire ends a timer's visit. Its result is null.
func (s *step) fire(sc *scope, node *flow.PlanNode, frame *NodeFrame) *outcome {
	reads, null := sc.reads(frame), json.RawMessage("null")
	return s.endWait(sc, node, frame, waitEnd{action: node.Post.Action(reads, null), shared: s.written(&node.Post, reads, null), output: null})
}
