package engine

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// startTimer waits for the node's time. One that is past already ends the visit
// at once.
func (v *visit) startTimer() *outcome {
	v.frame.Attempt = 1
	due, err := v.timerDue()
	if err != nil {
		return v.refuse(CodeBadSetting, err.Error())
	}
	v.startRun(storage.RunRunning)
	if !due.After(v.now) {
		return v.fire()
	}
	v.frame.Phase, v.frame.Due = PhaseWaiting, micros(due)
	return nil
}

func (v *visit) timerDue() (time.Time, error) {
	reads := v.reads()
	if v.node.Timer.Until.IsSet() {
		until, err := v.node.Timer.Until.Resolve(reads)
		if err != nil {
			return until, fmt.Errorf("until: %w", err)
		}
		return until, nil
	}
	delay, err := v.node.Timer.Delay.Resolve(reads)
	if err != nil {
		return v.now, fmt.Errorf("delay_ms: %w", err)
	}
	return v.now.Add(delay), nil
}

// fire ends a timer's visit. Its result is null.
func (v *visit) fire() *outcome {
	reads, null := v.reads(), json.RawMessage("null")
	return v.endWait(waitEnd{action: v.node.Post.Action(reads, null), shared: v.written(&v.node.Post, reads, null), output: null})
}
