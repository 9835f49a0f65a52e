package results_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/results"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/connect"
)

func TestDeliverResults_EachEndsItsRunOnce(t *testing.T) {
	t.Parallel()
	store, err := connect.Tasks(t.Context(), filepath.Join(t.TempDir(), "scheduler.db"), connect.Options{Migration: connect.MigrateOnOpen})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	now := storage.Now()
	outcomes, err := store.CreateTasks(t.Context(), []storage.NewTask{{Task: storage.Task{
		ID: "task-1", FlowID: "f", FlowVersionID: "v", Status: storage.TaskWaitingQueue,
		Params: json.RawMessage(`{}`), Shared: json.RawMessage(`{}`), State: json.RawMessage(`{}`), CreatedAt: now, UpdatedAt: now,
	}}})
	require.NoError(t, err)
	require.NoError(t, outcomes[0].Err)

	no := false
	intake := results.Intake{Store: store, Now: storage.Now}
	for range 2 {
		require.NoError(t, intake.DeliverResults(t.Context(), []schedulerapi.JobResult{
			{TaskID: "task-1", RunID: "run-1", Result: json.RawMessage(`{"n":1}`), WorkerID: "w", LogPath: "/l"},
			{TaskID: "task-gone", RunID: "run-2", Result: json.RawMessage(`1`)},
			{TaskID: "task-1", RunID: "run-3", Result: json.RawMessage(`2`), ErrorCode: "job_refused", Error: "too large", Retryable: &no},
			{TaskID: "task-1", RunID: "run-4", ErrorCode: "worker_error", Error: strings.Repeat("é", engine.MaxMessage)},
		}))
	}
	logged, err := store.LoadInbox(t.Context(), "task-1", 10)
	require.NoError(t, err)
	var got []engine.RunResult
	for _, event := range logged {
		require.Equal(t, storage.EventRunFinished, event.Kind)
		read, err := engine.ReadEvent(event)
		require.NoError(t, err)
		got = append(got, *read.Result)
	}
	require.Equal(t, []engine.RunResult{
		{RunID: "run-1", Result: json.RawMessage(`{"n":1}`), WorkerID: "w", LogPath: "/l"},
		{RunID: "run-3", Error: &engine.RunError{Code: "job_refused", Message: "too large", Final: true}},
		{RunID: "run-4", Error: &engine.RunError{Code: "worker_error", Message: strings.Repeat("é", engine.MaxMessage/2) + "…"}},
	}, got)
}
