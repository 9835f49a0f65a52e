package outbox

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
	"github.com/pocketflowgo/pocketflow/shared/ids"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Origin is the task that a message comes from, and the trace that it belongs to.
type Origin struct{ TaskID, Trace string }

// jobInput is what a worker gets.
type jobInput struct {
	Input  json.RawMessage `json:"input"`
	Params json.RawMessage `json:"params"`
	RunID  string          `json:"run_id"`
}

// PutJob is the message that enqueues an execution.
func PutJob(from Origin, x engine.Execution, at time.Time) (storage.OutboxMessage, error) {
	input, err := rawjson.Marshal(jobInput{Input: x.Input, Params: x.Params, RunID: x.RunID})
	if err != nil {
		return storage.OutboxMessage{}, fmt.Errorf("encode job input: %w", err)
	}
	payload, err := rawjson.Marshal(queueapi.NewJob{
		ID: queueapi.JobID(x.RunID), TaskID: from.TaskID, RunID: x.RunID,
		NodeKey: x.NodeKey, Path: x.Path, Visit: x.Visit, Attempt: x.Attempt, RunNo: x.RunNo,
		Service: x.Exec.Service, Input: input, Priority: flow.Priority(x.Params), AvailableAt: availableAt(x.Params, at),
		Traceparent: from.Trace,
	})
	if err != nil {
		return storage.OutboxMessage{}, fmt.Errorf("encode job: %w", err)
	}
	return message(from.TaskID, storage.OutboxPutJob, payload, at), nil
}

// availableAt is when workers may first get a job, in unix ms; 0: at once. A
// part of a millisecond counts as one, so that it is never too early.
func availableAt(params json.RawMessage, at time.Time) int64 {
	delay := flow.Delay(params)
	if delay == 0 {
		return 0
	}
	return at.Add(delay + time.Millisecond - time.Nanosecond).UnixMilli()
}

// Withdraw is the message that takes a run's job back.
func Withdraw(taskID, runID string, at time.Time) storage.OutboxMessage {
	// A string always encodes.
	payload, _ := json.Marshal(queueapi.JobID(runID))
	return message(taskID, storage.OutboxWithdrawJob, payload, at)
}

func message(taskID string, kind storage.OutboxKind, payload json.RawMessage, at time.Time) storage.OutboxMessage {
	return storage.OutboxMessage{
		ID: ids.New(ids.Message), TaskID: taskID, Kind: kind, Payload: payload, NextAt: at.Add(firstDelivery),
	}
}
