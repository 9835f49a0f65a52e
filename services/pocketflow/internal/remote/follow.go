package remote

import (
	"context"
	"fmt"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/pause"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// How often a task that is followed is read: soon after its start, when most
// tasks end, and then ever more slowly, so that watching one for hours costs
// the server two reads a second.
const (
	firstLook   = 20 * time.Millisecond
	slowestLook = 500 * time.Millisecond
)

// patience is how long a server may be away, restarting say, while one of its
// tasks is followed.
const patience = 15 * time.Second

// Follow reads a task until it has ended and returns it as it then is. See is
// called at every look, also when nothing changed.
func (s *Server) Follow(ctx context.Context, taskID string, see func(schedulerapi.Task)) (schedulerapi.Task, error) {
	wait := firstLook
	reached := time.Now()
	for {
		task, err := s.Tasks.GetTask(ctx, taskID)
		switch {
		case err == nil:
			reached = time.Now()
			see(task)
			if storage.TaskStatus(task.Status).Terminal() {
				return task, nil
			}
		case errs.CodeOf(err) != errs.Unavailable || time.Since(reached) > patience || ctx.Err() != nil:
			return schedulerapi.Task{}, err
		}
		if !pause.For(ctx, wait) {
			return schedulerapi.Task{}, fmt.Errorf("follow task %s: %w", taskID, ctx.Err())
		}
		wait = min(wait*5/4, slowestLook)
	}
}

// FollowLog reads the log of a run until the run has ended and returns it as it
// then is. See is called at every look, also when nothing changed; its error
// ends the following.
func (s *Server) FollowLog(ctx context.Context, query schedulerapi.RunLogQuery, see func(schedulerapi.RunLog) error) (schedulerapi.RunLog, error) {
	wait := firstLook
	reached := time.Now()
	for {
		log, err := s.Tasks.GetLogs(ctx, query)
		switch {
		case err == nil:
			reached = time.Now()
			if err := see(log); err != nil {
				return schedulerapi.RunLog{}, err
			}
			if status := storage.RunStatus(log.Status); status != storage.RunQueued && status != storage.RunRunning {
				return log, nil
			}
		case errs.CodeOf(err) != errs.Unavailable || time.Since(reached) > patience || ctx.Err() != nil:
			return schedulerapi.RunLog{}, err
		}
		if !pause.For(ctx, wait) {
			return schedulerapi.RunLog{}, fmt.Errorf("follow the log of run %s: %w", query.RunID, ctx.Err())
		}
		wait = min(wait*5/4, slowestLook)
	}
}
