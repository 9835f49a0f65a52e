package engine

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

func TestCancel_EndsTheTaskAndItsRun(t *testing.T) {
	t.Parallel()
	p := play(t, branching, `{}`)
	x := p.take()
	p.apply(Event{Kind: storage.EventCancel})
	require.Equal(t, storage.TaskCanceled, p.state.Status)
	require.Equal(t, storage.RunCanceled, p.runs[0].Status)
	require.Equal(t, []Abort{{RunID: x.RunID}}, p.aborted)

	before := p.state
	p.answer(x, `{"action":"goB"}`)
	p.wait(time.Hour)
	p.apply(Event{Kind: storage.EventSignal, Signal: &Signal{Key: "k", Value: json.RawMessage("1")}})
	require.Equal(t, before, p.state, "terminal is final")
}

func TestCancel_BeforeTheStartRunsNothing(t *testing.T) {
	t.Parallel()
	p := load(t, branching, `{}`)
	p.apply(Event{Kind: storage.EventCancel})
	p.apply(Event{Kind: storage.EventStarted})
	require.Equal(t, storage.TaskCanceled, p.state.Status)
	require.Empty(t, p.runs)
}

func TestCancel_DuringBackoffLeavesTheFinishedRunAlone(t *testing.T) {
	t.Parallel()
	p := play(t, retrying, `{}`)
	p.fail(p.take(), RunError{Code: "worker_error", Message: "boom"})
	p.apply(Event{Kind: storage.EventCancel})
	require.Equal(t, storage.TaskCanceled, p.state.Status)
	require.Equal(t, storage.RunError, p.runs[0].Status)
	require.Empty(t, p.aborted)
}

func TestSignal_WritesItsKeyOnly(t *testing.T) {
	t.Parallel()
	p := play(t, branching, `{}`)
	p.apply(Event{Kind: storage.EventSignal, Signal: &Signal{Key: "a", Value: json.RawMessage(`{"n": 1.50}`)}})
	p.apply(Event{Kind: storage.EventSignal, Signal: &Signal{Key: "b", Value: json.RawMessage(`null`)}})
	require.Equal(t, `{"a":{"n": 1.50},"b":null}`, string(p.state.Shared))
	require.Equal(t, storage.TaskRunning, p.state.Status)
	require.Len(t, p.pending, 1)
}

func TestSignal_ThatIsTooMuchFailsTheTask(t *testing.T) {
	t.Parallel()
	p := play(t, branching, `{}`)
	p.apply(Event{Kind: storage.EventSignal, Signal: &Signal{Key: "k", Value: json.RawMessage(`"` + strings.Repeat("x", 1<<20) + `"`)}})
	require.Equal(t, CodeTooLarge, p.state.Failure.Code)
	require.Equal(t, storage.RunCanceled, p.runs[0].Status)
}
