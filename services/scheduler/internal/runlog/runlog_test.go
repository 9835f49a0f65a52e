package runlog

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/connect"
)

// flaky is a store that fails as often as there are errors; what it was asked
// for is done all the same, as when only the answer is lost.
type flaky struct {
	storage.Tasks
	errors []error
}

func (f *flaky) next() error {
	if len(f.errors) == 0 {
		return nil
	}
	err := f.errors[0]
	f.errors = f.errors[1:]
	return err
}

func (f *flaky) AppendRunLogs(ctx context.Context, entries []storage.LogEntry, most int) (storage.Outcomes, error) {
	outcomes, err := f.Tasks.AppendRunLogs(ctx, entries, most)
	return outcomes, errors.Join(err, f.next())
}

func (f *flaky) MarkRunning(ctx context.Context, marks []storage.RunningMark) (storage.Outcomes, error) {
	outcomes, err := f.Tasks.MarkRunning(ctx, marks)
	return outcomes, errors.Join(err, f.next())
}

var run = storage.RunRef{TaskID: "task-1", No: 1, ID: "run-1"}

func setup(t *testing.T, errs ...error) Book {
	t.Helper()
	store, err := connect.Tasks(t.Context(), filepath.Join(t.TempDir(), "scheduler.db"), connect.Options{Migration: connect.MigrateOnOpen})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	now := storage.Now()
	_, err = store.CreateTasks(t.Context(), []storage.NewTask{{
		Task:    storage.Task{ID: run.TaskID, Status: storage.TaskWaitingQueue, Params: []byte(`{}`), Shared: []byte(`{}`), CreatedAt: now, UpdatedAt: now},
		Started: []storage.NodeRun{{TaskID: run.TaskID, No: run.No, ID: run.ID, Status: storage.RunQueued, StartedAt: now}},
	}})
	require.NoError(t, err)
	return Book{Store: &flaky{Tasks: store, errors: errs}, Most: 1 << 20, Now: storage.Now}
}

func (b Book) text(t *testing.T) string {
	t.Helper()
	log, err := b.Read(t.Context(), storage.RunLogQuery{RunID: run.ID})
	require.NoError(t, err)
	return log.Text
}

var errLost = errors.New("the answer is lost")

func TestAppend_IsKeptOnceHoweverOftenItIsTried(t *testing.T) {
	t.Parallel()
	book := setup(t, errLost, errLost)
	require.NoError(t, book.Append(t.Context(), run, "once"))
	require.NoError(t, book.Append(t.Context(), run, "once"))
	require.Equal(t, "once\nonce\n", book.text(t))
}

func TestAppend_GivesUpWithItsContextAndOnWhatIsRefused(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.Error(t, setup(t).Append(ctx, run, "x"))
	require.ErrorIs(t, setup(t, storage.ErrInvalidData).Append(t.Context(), run, "x"), storage.ErrInvalidData)
	other := run
	other.ID = "run-none"
	require.ErrorIs(t, setup(t).Append(t.Context(), other, "x"), storage.ErrNotFound)
}

func TestReport_FailsWhenItIsNotDurable(t *testing.T) {
	t.Parallel()
	report := []schedulerapi.RunProgress{{
		TaskID: run.TaskID, RunID: run.ID, RunNo: run.No, Status: schedulerapi.ProgressRunning, WorkerID: "w", Log: "once", LogID: "1",
	}}
	book := setup(t, errLost, nil, errLost)
	for range 2 {
		require.ErrorIs(t, book.Report(t.Context(), report), errLost)
	}
	require.NoError(t, book.Report(t.Context(), report))
	require.Equal(t, "once\n", book.text(t))

	report[0].LogID = "\x00"
	require.ErrorIs(t, book.Report(t.Context(), report), storage.ErrInvalidText)
}
