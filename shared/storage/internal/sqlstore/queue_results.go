package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

const (
	dueResultsSQL = `
SELECT job_id, task_id, run_id, payload, next_at, attempts FROM job_results
WHERE next_at <= $1 ORDER BY next_at, job_id LIMIT $2 + 0`

	claimResultSQL = `UPDATE job_results SET next_at = $2, attempts = attempts + 1 WHERE job_id = $1`
)

// ClaimResults implements storage.Queue.
func (q *Queue) ClaimResults(ctx context.Context, now, until time.Time, limit int) ([]storage.JobResult, error) {
	var results []storage.JobResult
	err := q.Write(ctx, func(ctx context.Context, tx Tx) error {
		var err error
		results, err = queryAll(ctx, tx, scanResult, dueResultsSQL+q.Dialect().SkipLocked, micros(now), limit)
		if err != nil || len(results) == 0 {
			return err
		}
		var batch Batch
		for i := range results {
			results[i].NextAt = until
			results[i].Attempts++
			batch.Exec(claimResultSQL, results[i].JobID, micros(until))
		}
		return tx.Finish(ctx, &batch)
	})
	if err != nil {
		return nil, fmt.Errorf("claim results: %w", err)
	}
	return results, nil
}

const heldResultSQL = `SELECT job_id FROM job_results WHERE job_id = $1 AND next_at = $2`

// HeldResults implements storage.Queue.
func (q *Queue) HeldResults(ctx context.Context, results []storage.HeldResult) ([]string, error) {
	held := []string{}
	var batch Batch
	for _, result := range results {
		if storable(result.JobID) {
			batch.Query(appendTo(&held, scanText), heldResultSQL, result.JobID, micros(result.Until))
		}
	}
	if err := q.Read().Run(ctx, &batch); err != nil {
		return nil, fmt.Errorf("look after results: %w", err)
	}
	return held, nil
}

const ackResultSQL = `DELETE FROM job_results WHERE job_id = $1`

// AckResults implements storage.Queue.
func (q *Queue) AckResults(ctx context.Context, jobIDs []string) error {
	if len(jobIDs) == 0 {
		return nil
	}
	var batch Batch
	for _, i := range keyOrder(len(jobIDs), func(i int) string { return jobIDs[i] }) {
		if storable(jobIDs[i]) {
			batch.Exec(ackResultSQL, jobIDs[i])
		}
	}
	err := q.Write(ctx, func(ctx context.Context, tx Tx) error { return tx.Finish(ctx, &batch) })
	if err != nil {
		return fmt.Errorf("acknowledge results: %w", err)
	}
	return nil
}

func scanResult(row Row) (storage.JobResult, error) {
	var result storage.JobResult
	var payload string
	err := row.Scan(&result.JobID, &result.TaskID, &result.RunID, &payload, intoTime(&result.NextAt), &result.Attempts)
	result.Payload = json.RawMessage(payload)
	return result, err
}
