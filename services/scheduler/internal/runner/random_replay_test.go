package runner

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// replayed is a task as its definitions and its log give it.
type replayed struct {
	state engine.State
	runs  []storage.NodeRun
}

// holdReplay holds the task, as it stands at the very end, to its log.
func (p *player) holdReplay(t *testing.T) {
	t.Helper()
	task, err := p.store.GetTask(t.Context(), p.id)
	require.NoError(t, err)
	about := p.about()
	require.Equal(t, p.ended, task, "terminal is final: %s", about)
	require.Equal(t, task.InboxSeq, task.InboxDone, "the inbox is empty: %s", about)
	require.Empty(t, task.Lease.Owner, about)
	require.Zero(t, task.RunnableAt, about)

	log := p.log(t)
	require.Len(t, log, int(task.Seq), about)
	p.holdAccepted(t, log)
	again := p.replay(t, task.Params, log)
	require.Equal(t, task.Status, again.state.Status, about)
	require.Equal(t, string(task.Shared), string(again.state.Shared), about)
	state, err := again.state.JSON()
	require.NoError(t, err)
	require.Equal(t, string(task.State), string(state), about)
	failure := ""
	if again.state.Failure != nil {
		failure = string(again.state.Failure.JSON())
	}
	require.Equal(t, string(task.Error), failure, about)

	stored := runsOf(t, p.store, p.id)
	require.Len(t, stored, len(again.runs), about)
	for i := range stored {
		require.NotZero(t, stored[i].FinishedAt, "run %d has ended: %s", i+1, about)
		require.Equal(t, textOf(t, stored[i]), textOf(t, again.runs[i]), "run %d: %s", i+1, about)
	}
}

// log is what was applied to the task.
func (p *player) log(t *testing.T) []storage.TaskEvent {
	t.Helper()
	const page = 500
	var log []storage.TaskEvent
	for {
		events, err := p.store.ListEvents(t.Context(), p.id, int64(len(log)), page)
		require.NoError(t, err)
		for _, event := range events {
			log = append(log, event)
			require.Equal(t, int64(len(log)), event.Seq, "events are numbered without a gap")
		}
		if len(events) < page {
			return log
		}
	}
}

// holdAccepted holds that what somebody was told counts, counts once.
func (p *player) holdAccepted(t *testing.T, log []storage.TaskEvent) {
	t.Helper()
	logged := map[string]storage.TaskEvent{}
	for _, event := range log {
		require.NotContains(t, logged, event.SourceID, p.id)
		logged[event.SourceID] = event
	}
	for source, sent := range p.accepted {
		require.Contains(t, logged, source, "what was accepted is in the log: %s", p.id)
		require.Equal(t, sent.kind, logged[source].Kind)
		if sent.data != nil {
			require.Equal(t, string(sent.data), string(logged[source].Data), "%s of %s", source, p.id)
		}
	}
}

// replay executes the log, and nothing else: the limits that the task was
// started under, and the versions that it is pinned to, are in it.
func (p *player) replay(t *testing.T, params json.RawMessage, log []storage.TaskEvent) replayed {
	t.Helper()
	program := engine.Program{Plan: p.version.Plan, TaskID: p.id, Params: params, Flows: map[string]*flow.Plan{}}
	again := replayed{state: engine.NewState()}
	for _, logged := range log {
		event, err := engine.ReadEvent(logged)
		require.NoError(t, err)
		if event.Resolved != nil && event.Resolved.Error == nil {
			program.Flows[event.Resolved.VersionID] = p.catalog.versions[event.Resolved.VersionID].Plan
		}
		var effects engine.Effects
		again.state, effects = program.Step(again.state, event)
		again.runs = append(again.runs, effects.Started...)
		for _, finish := range effects.Finished {
			run := &again.runs[finish.No-1]
			require.Zero(t, run.FinishedAt, "run %d of %s is finished once", finish.No, p.id)
			finish.Close(run)
		}
	}
	return again
}

// textOf is a run as text, in which what is not there is the same as null.
func textOf(t *testing.T, run storage.NodeRun) string {
	t.Helper()
	for _, value := range []*json.RawMessage{&run.Input, &run.Params, &run.Output} {
		if len(*value) == 0 {
			*value = json.RawMessage("null")
		}
	}
	text, err := json.Marshal(run)
	require.NoError(t, err)
	return string(text)
}
