package sqlstore

import "github.com/pocketflowgo/pocketflow/shared/storage"

func refuseNewTask(created *storage.NewTask) (storage.CreateOutcome, bool) {
	task := &created.Task
	if storable(task.ID, task.FlowID, task.FlowVersionID, task.RequestID, task.RequestHash, task.Lease.Owner) &&
		storableJSON(task.Params, task.Shared, task.State, task.Error) &&
		storableEvents(created.Events) && storableRuns(created.Started) && storableOutbox(created.Outbox) {
		return storage.CreateOutcome{}, false
	}
	return storage.CreateOutcome{Err: storage.ErrInvalidText}, true
}

func refuseStep(step *storage.TaskStep) (storage.StepOutcome, bool) {
	if !storable(step.Lease.TaskID) {
		return storage.StepOutcome{Err: notFound(step)}, true
	}
	if storableJSON(step.Shared, step.State, step.Error) && storableEvents(step.Events) &&
		storableRuns(step.Started) && storableFinishes(step.Finished) && storableOutbox(step.Outbox) {
		return storage.StepOutcome{}, false
	}
	return storage.StepOutcome{Err: storage.ErrInvalidText}, true
}

func refuseInboxEvent(event *storage.InboxEvent) (storage.AppendOutcome, bool) {
	switch {
	case !storable(event.TaskID):
		return storage.AppendOutcome{Err: storage.ErrNotFound}, true
	case !storable(event.SourceID) || !storableJSON(event.Data):
		return storage.AppendOutcome{Err: storage.ErrInvalidText}, true
	}
	return storage.AppendOutcome{}, false
}

func storableEvents(events []storage.TaskEvent) bool {
	for i := range events {
		if !storable(events[i].SourceID) || !storableJSON(events[i].Data) {
			return false
		}
	}
	return true
}

func storableRuns(runs []storage.NodeRun) bool {
	for i := range runs {
		if !storable(runs[i].TaskID, runs[i].ID) || !storableJSON(runs[i].Input, runs[i].Params, runs[i].Output) {
			return false
		}
	}
	return true
}

func storableFinishes(finishes []storage.RunFinish) bool {
	for i := range finishes {
		if !storableJSON(finishes[i].Output) {
			return false
		}
	}
	return true
}

func storableOutbox(messages []storage.OutboxMessage) bool {
	for i := range messages {
		if !storable(messages[i].ID, messages[i].TaskID) || !storableJSON(messages[i].Payload) {
			return false
		}
	}
	return true
}
