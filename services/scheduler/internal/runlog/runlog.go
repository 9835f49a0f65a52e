// Package runlog keeps what executions write besides their results, and who
// carries queued runs out. It owns how much of it is kept; it refuses to
// interpret it, and nothing of it ever gets into the service's own log.
package runlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/ids"
	"github.com/pocketflowgo/pocketflow/shared/pause"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Book is where logs are kept.
type Book struct {
	Store storage.Tasks
	Most  int // bytes of one run's log
	Now   func() time.Time
}

// Read returns the log of a run, or storage.ErrNotFound.
func (b Book) Read(ctx context.Context, query storage.RunLogQuery) (storage.RunLog, error) {
	return b.Store.ReadRunLog(ctx, query)
}

// Report records what pull workers tell of their runs, and is nil once it is
// durable. What is told of runs that are gone is left out, and that an ended
// one is running; the last lines of one may well come after its result.
func (b Book) Report(ctx context.Context, reports []schedulerapi.RunProgress) error {
	var marks []storage.RunningMark
	var entries []storage.LogEntry
	now := b.Now()
	for _, report := range reports {
		run := storage.RunRef{TaskID: report.TaskID, No: report.RunNo, ID: report.RunID}
		if report.Status == schedulerapi.ProgressRunning {
			marks = append(marks, storage.RunningMark{Run: run, WorkerID: report.WorkerID})
		}
		if report.Log != "" {
			entries = append(entries, storage.LogEntry{Run: run, SourceID: report.LogID, Text: report.Log, At: now})
		}
	}
	if len(marks) > 0 {
		outcomes, err := b.Store.MarkRunning(ctx, marks)
		if err := failure(outcomes, err); err != nil {
			return fmt.Errorf("mark runs: %w", err)
		}
	}
	if len(entries) > 0 {
		outcomes, err := b.Store.AppendRunLogs(ctx, entries, b.Most)
		if err := failure(outcomes, err); err != nil {
			return fmt.Errorf("append logs: %w", err)
		}
	}
	return nil
}

// failure is what is left of the outcomes without what is expected.
func failure(outcomes storage.Outcomes, err error) error {
	for _, outcome := range outcomes {
		if !errors.Is(outcome, storage.ErrNotFound) && !errors.Is(outcome, storage.ErrEnded) {
			err = errors.Join(err, outcome)
		}
	}
	return err
}

// The waits between the tries of an entry that the database did not take.
const (
	firstPause = 50 * time.Millisecond
	mostPause  = time.Second
)

// Append adds text to a run's log, trying again until ctx ends. An empty text
// makes the log known, as one in which nothing was written.
func (b Book) Append(ctx context.Context, run storage.RunRef, text string) error {
	entry := storage.LogEntry{Run: run, SourceID: ids.New(ids.Event), Text: text, At: b.Now()}
	wait := pause.Backoff{First: firstPause, Most: mostPause}
	for {
		outcomes, err := b.Store.AppendRunLogs(ctx, []storage.LogEntry{entry}, b.Most)
		switch {
		case err == nil:
			return outcomes[0]
		case errors.Is(err, storage.ErrInvalidData), !pause.For(ctx, wait.Next()):
			return err
		}
	}
}
