package engine

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

func TestState_SurvivesStorage(t *testing.T) {
	t.Parallel()
	p := play(t, retrying, `{"k":[1,2]}`)
	p.fail(p.take(), RunError{Code: "worker_error", Message: "boom"})

	back := reload(t, &p.program, p.state, storedRuns{runs: p.runs})
	require.Equal(t, p.state, back)
	require.True(t, back.Needs([]Event{{Kind: storage.EventTimerFired}}).None())

	text, err := p.state.JSON()
	require.NoError(t, err)
	bare, err := Load(storage.Task{ID: "task-1", Status: p.state.Status, Shared: p.state.Shared, State: text})
	require.NoError(t, err)
	require.Equal(t, []int{1}, bare.NeedsToResume().Runs)
	require.Error(t, p.program.Attach(&bare, bare.NeedsToResume(), nil), "a run that is missing is not papered over")

	p.state = back
	p.wait(time.Second)
	require.Equal(t, []Execution{p.take()}, p.program.Resume(p.state).Execute, "whoever takes the task over repeats the same execution")
}

func TestLoad_RefusesAnotherFormat(t *testing.T) {
	t.Parallel()
	_, err := Load(storage.Task{ID: "task-1", State: json.RawMessage(`{"v":1}`)})
	require.ErrorContains(t, err, "format 1")
}

func TestEvent_SurvivesTheLog(t *testing.T) {
	t.Parallel()
	p := play(t, retrying, `{}`)
	p.fail(p.take(), RunError{Code: "worker_error", Message: "boom"})
	p.apply(Event{Kind: storage.EventSignal, Signal: &Signal{Key: "k", Value: json.RawMessage(`12345678901234567890`)}})
	p.wait(time.Second)
	p.apply(Event{Kind: storage.EventCancel})

	replayed := NewState()
	for i, e := range p.events {
		data, err := e.Data()
		require.NoError(t, err)
		back, err := ReadEvent(storage.TaskEvent{TaskID: "task-1", Seq: int64(i + 1), Kind: e.Kind, Data: data, At: e.At})
		require.NoError(t, err)
		replayed, _ = p.program.Step(replayed, back)
	}
	require.Equal(t, p.state, replayed)
}

func TestRunID_IsAUUIDv7OfTheStart(t *testing.T) {
	t.Parallel()
	at := address{path: "a", visit: 1, attempt: 1}
	id := runID("task-1", at, epoch)
	require.Regexp(t, `^run-[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, id)
	require.Equal(t, id, runID("task-1", at, epoch))
	require.NotEqual(t, id, runID("task-2", at, epoch))
	require.Less(t, id, runID("task-1", at, epoch.Add(time.Millisecond)))
}
