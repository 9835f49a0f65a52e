package sqlstore

import (
	"context"
	"fmt"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

const (
	countResultsSQL = `SELECT COUNT(*) FROM (SELECT 1 FROM job_results LIMIT $1 + 0) r`

	// A subquery for each message, not a join: a join's planner may think that
	// all jobs are few.
	oldestResultSQL = `
SELECT MIN((SELECT j.finished_at FROM jobs j WHERE j.id = r.job_id))
FROM (SELECT job_id FROM job_results ORDER BY next_at, job_id LIMIT $1 + 0) r`

	// oldestAmong is how many messages are looked at for the oldest.
	oldestAmong = 1000
)

// Undelivered implements storage.Queue.
func (q *Queue) Undelivered(ctx context.Context) (storage.UndeliveredResults, error) {
	var results storage.UndeliveredResults
	var batch Batch
	batch.Query(func(row Row) error { return row.Scan(&results.Count) }, countResultsSQL, storage.MaxCounted)
	batch.Query(func(row Row) error { return row.Scan(intoTime(&results.Oldest)) }, oldestResultSQL, oldestAmong)
	if err := q.Read().Run(ctx, &batch); err != nil {
		return storage.UndeliveredResults{}, fmt.Errorf("count results: %w", err)
	}
	return results, nil
}
