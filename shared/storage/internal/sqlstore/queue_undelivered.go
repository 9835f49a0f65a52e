package sqlstore

import (
	"context"
	"fmt"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// A subquery for each message, not a join: a join's planner may think that all
// jobs are few.
const undeliveredSQL = `
SELECT COUNT(*), MIN((SELECT j.finished_at FROM jobs j WHERE j.id = r.job_id)) FROM job_results r`

// Undelivered implements storage.Queue.
func (q *Queue) Undelivered(ctx context.Context) (storage.UndeliveredResults, error) {
	var results storage.UndeliveredResults
	var batch Batch
	batch.Query(func(row Row) error { return row.Scan(&results.Count, intoTime(&results.Oldest)) }, undeliveredSQL)
	if err := q.Read().Run(ctx, &batch); err != nil {
		return storage.UndeliveredResults{}, fmt.Errorf("count results: %w", err)
	}
	return results, nil
}
