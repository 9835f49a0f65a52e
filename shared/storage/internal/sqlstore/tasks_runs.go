package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

const (
	runColumns = runNameColumns + `, input, params, ` + runEndColumns

	runNameColumns = `task_id, no, id, node_key, path, visit, attempt, status, sub_status, branch_id`
	runEndColumns  = `output, error_code, error_text, action, worker_id, worker_url, log_path, decided_by, comment,
	started_at, finished_at`
)

func scanRun(row Row) (storage.NodeRun, error) {
	var run storage.NodeRun
	var status string
	err := row.Scan(&run.TaskID, &run.No, &run.ID, &run.NodeKey, &run.Path, &run.Visit, &run.Attempt,
		&status, &run.SubStatus, &run.BranchID,
		(*[]byte)(&run.Input), (*[]byte)(&run.Params), (*[]byte)(&run.Output),
		&run.ErrorCode, &run.ErrorText, &run.Action, &run.WorkerID, &run.WorkerURL, &run.LogPath,
		&run.DecidedBy, &run.Comment, intoTime(&run.StartedAt), intoTime(&run.FinishedAt))
	run.Status = storage.RunStatus(status)
	return run, err
}

const listRunsSQL = `SELECT ` + runColumns + ` FROM node_runs WHERE task_id = $1 ORDER BY no`

// ListRuns implements storage.Tasks.
func (t *Tasks) ListRuns(ctx context.Context, taskID string) ([]storage.NodeRun, error) {
	runs, err := queryAll(ctx, t.Read(), scanRun, listRunsSQL, taskID)
	if err != nil {
		return nil, fmt.Errorf("list runs of task %s: %w", taskID, err)
	}
	return runs, nil
}

const loadRunSQL = `SELECT ` + runColumns + ` FROM node_runs WHERE task_id = $1 AND no = $2`

// LoadRuns implements storage.Tasks.
func (t *Tasks) LoadRuns(ctx context.Context, taskID string, nos []int) ([]storage.NodeRun, error) {
	nos = slices.Clone(nos)
	slices.Sort(nos)
	nos = slices.Compact(nos)
	names := make([]runName, len(nos))
	for i, no := range nos {
		names[i] = runName{taskID, no}
	}
	loaded, err := t.loads.Do(ctx, names)
	if err != nil {
		return nil, fmt.Errorf("load runs of task %s: %w", taskID, err)
	}
	runs := make([]storage.NodeRun, 0, len(loaded))
	for _, run := range loaded {
		switch {
		case run.err == nil:
			runs = append(runs, run.value)
		case !errors.Is(run.err, storage.ErrNotFound):
			return nil, fmt.Errorf("load runs of task %s: %w", taskID, run.err)
		}
	}
	return runs, nil
}

type runName struct {
	taskID string
	no     int
}

func (t *Tasks) loadRuns(ctx context.Context, names []runName) ([]sought[storage.NodeRun], error) {
	runs := make([]sought[storage.NodeRun], len(names))
	var batch Batch
	for i, name := range names {
		runs[i].seek(&batch, scanRun, loadRunSQL, name.taskID, name.no)
	}
	return runs, t.Read().Run(ctx, &batch)
}

const loadEndedRunsSQL = `
SELECT ` + runNameColumns + `, NULL, NULL, ` + runEndColumns + ` FROM node_runs
WHERE task_id = $1 AND no > $2 AND sub_status <> '' ORDER BY no`

// LoadEndedRuns implements storage.Tasks.
func (t *Tasks) LoadEndedRuns(ctx context.Context, taskID string, afterNo int) ([]storage.NodeRun, error) {
	runs, err := queryAll(ctx, t.Read(), scanRun, loadEndedRunsSQL, taskID, afterNo)
	if err != nil {
		return nil, fmt.Errorf("load ended runs of task %s: %w", taskID, err)
	}
	return runs, nil
}

// A repeated step writes the same row again, but leaves to a queued run what a
// worker that has got its job since has marked.
const insertRunSQL = `
INSERT INTO node_runs (` + runColumns + `)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)
ON CONFLICT (task_id, no) DO UPDATE SET id = excluded.id, node_key = excluded.node_key, path = excluded.path,
	visit = excluded.visit, attempt = excluded.attempt,
	status = CASE WHEN ` + markedSQL + ` THEN node_runs.status ELSE excluded.status END, sub_status = excluded.sub_status,
	branch_id = excluded.branch_id, input = excluded.input, params = excluded.params, output = excluded.output,
	error_code = excluded.error_code, error_text = excluded.error_text, action = excluded.action,
	worker_id = CASE WHEN ` + markedSQL + ` THEN node_runs.worker_id ELSE excluded.worker_id END,
	worker_url = excluded.worker_url, log_path = excluded.log_path,
	decided_by = excluded.decided_by, comment = excluded.comment,
	started_at = excluded.started_at, finished_at = excluded.finished_at`

const markedSQL = `node_runs.id = excluded.id AND node_runs.status = 'running' AND excluded.status = 'queued'`

func addRuns(batch *Batch, runs []storage.NodeRun) {
	for i := range runs {
		run := &runs[i]
		if run.Status == storage.RunQueued {
			batch.Exec(expectRunLogSQL, run.ID, run.TaskID, run.No)
		}
		batch.Exec(insertRunSQL, run.TaskID, run.No, run.ID, clean(run.NodeKey), clean(run.Path), run.Visit, run.Attempt,
			string(run.Status), clean(run.SubStatus), clean(run.BranchID), text(run.Input), text(run.Params),
			text(run.Output), clean(run.ErrorCode), clean(run.ErrorText), clean(run.Action),
			clean(run.WorkerID), clean(run.WorkerURL), clean(run.LogPath),
			clean(run.DecidedBy), clean(run.Comment), micros(run.StartedAt), micros(run.FinishedAt))
	}
}

const finishRunSQL = `
UPDATE node_runs SET status = $3, sub_status = $4, output = $5, error_code = $6, error_text = $7, action = $8,
	worker_id = COALESCE(NULLIF($9, ''), worker_id), worker_url = $10, log_path = $11, decided_by = $12, comment = $13, finished_at = $14
WHERE task_id = $1 AND no = $2`

func addFinishes(batch *Batch, taskID string, finishes []storage.RunFinish) {
	for i := range finishes {
		finish := &finishes[i]
		batch.Exec(finishRunSQL, taskID, finish.No, string(finish.Status), clean(finish.SubStatus), text(finish.Output),
			clean(finish.ErrorCode), clean(finish.ErrorText), clean(finish.Action),
			clean(finish.WorkerID), clean(finish.WorkerURL), clean(finish.LogPath),
			clean(finish.DecidedBy), clean(finish.Comment), micros(finish.FinishedAt))
	}
}

const (
	runStatusSQL = `SELECT status, worker_id FROM node_runs WHERE task_id = $1 AND no = $2 AND id = $3`

	// The run may have ended since it was read.
	markRunningSQL = `
UPDATE node_runs SET status = 'running', worker_id = COALESCE(NULLIF($4, ''), worker_id)
WHERE task_id = $1 AND no = $2 AND id = $3 AND status IN ('queued', 'running')`
)

// MarkRunning implements storage.Tasks. A mark that is on record costs no write.
func (t *Tasks) MarkRunning(ctx context.Context, marks []storage.RunningMark) (storage.Outcomes, error) {
	// Steps write the runs of one task in this order, and so do marks that meet.
	order := orderBy(marks, func(mark storage.RunningMark) string { return fmt.Sprintf("%s/%08d", mark.Run.TaskID, mark.Run.No) })
	var outcomes storage.Outcomes
	err := t.Write(ctx, func(ctx context.Context, tx Tx) error {
		outcomes = make(storage.Outcomes, len(marks))
		due, marked := make([]bool, len(marks)), make([]int64, len(marks))
		var reads, writes Batch
		for i := range marks {
			run := marks[i].Run
			outcomes[i] = storage.ErrNotFound // unless the query finds it
			if storable(run.TaskID, run.ID) {
				reads.Query(markable(&outcomes[i], &due[i], clean(marks[i].WorkerID)), runStatusSQL, run.TaskID, run.No, run.ID)
			}
		}
		if err := tx.Run(ctx, &reads); err != nil {
			return err
		}
		for _, i := range order {
			if run := marks[i].Run; due[i] {
				writes.ExecCount(&marked[i], markRunningSQL, run.TaskID, run.No, run.ID, clean(marks[i].WorkerID))
			}
		}
		if err := tx.Run(ctx, &writes); err != nil {
			return err
		}
		for i := range marks {
			if due[i] && marked[i] == 0 {
				outcomes[i] = storage.ErrEnded
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("mark runs as running: %w", err)
	}
	return outcomes, nil
}

// markable sets the outcome of a mark by the run as it is, and whether there is
// something to write.
func markable(outcome *error, due *bool, workerID string) func(Row) error {
	return func(row Row) error {
		var status, on string
		if err := row.Scan(&status, &on); err != nil {
			return err
		}
		*outcome = nil
		switch storage.RunStatus(status) {
		case storage.RunQueued:
			*due = true
		case storage.RunRunning:
			*due = workerID != "" && workerID != on
		case storage.RunOK, storage.RunError, storage.RunCanceled, storage.RunTimeout:
			*outcome = storage.ErrEnded
		}
		return nil
	}
}
