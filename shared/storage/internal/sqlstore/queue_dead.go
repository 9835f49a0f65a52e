package sqlstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// ListDead implements storage.Queue.
func (q *Queue) ListDead(ctx context.Context, query storage.DeadQuery) (storage.Page[storage.Job], error) {
	page := storage.Page[storage.Job]{Items: []storage.Job{}}
	count, list := listDead(query)
	count.Row = func(row Row) error { return row.Scan(&page.Total) }
	sizes := map[string]int{}
	list.Row = func(row Row) error {
		job, err := scanSizedJob(row)
		page.Items = append(page.Items, job.Job)
		sizes[job.ID] = job.size
		return err
	}
	if err := q.Read().Run(ctx, &Batch{Statements: []Statement{count, list}}); err != nil {
		return storage.Page[storage.Job]{}, fmt.Errorf("list dead jobs: %w", err)
	}
	fit := min(len(page.Items), query.Limit)
	if query.MaxBytes > 0 && fit > 0 {
		fit = max(fitting(page.Items[:fit], sizes, query.MaxBytes), 1)
	}
	if fit < len(page.Items) {
		page.Items = page.Items[:fit]
		page.Next = page.Items[fit-1].ID
	}
	if err := readInputs(ctx, q.Read(), page.Items, sizes); err != nil {
		return storage.Page[storage.Job]{}, fmt.Errorf("read the inputs of dead jobs: %w", err)
	}
	return page, nil
}

// listDead makes the two statements of a query. Each spells out the conditions
// of its partial index, jobs_dead_service or jobs_dead_newest.
func listDead(query storage.DeadQuery) (count, page Statement) {
	dead := func(args ...any) conditions {
		where := conditions{terms: []string{`status = 'dead'`}, args: args}
		if query.Service == "" {
			where.terms = append(where.terms, `result_hash = ''`)
		}
		where.equal("service", query.Service)
		return where
	}
	where := dead()
	count = Statement{SQL: `SELECT COUNT(*) FROM jobs` + where.String(), Args: where.args}

	where = dead(smallInput(query.MaxBytes, query.Limit+1))
	where.less("id", query.Cursor)
	page.SQL = selectSizedJobSQL + where.String() +
		fmt.Sprintf(` ORDER BY id DESC LIMIT $%d OFFSET $%d`, len(where.args)+1, len(where.args)+2)
	// One more than asked for tells whether the page is the last.
	page.Args = append(slices.Clone(where.args), query.Limit+1, query.Offset)
	return count, page
}

const requeueJobSQL = `
UPDATE jobs SET status = 'pending', deliveries = 0, available_at = $2, worker_id = '', token = '',
    timeout_at = NULL, started_at = NULL, finished_at = NULL
WHERE id = $1`

// RequeueJobs implements storage.Queue.
func (q *Queue) RequeueJobs(ctx context.Context, ids []string, at time.Time) (storage.Outcomes, error) {
	outcomes := make(storage.Outcomes, len(ids))
	if len(ids) == 0 {
		return outcomes, nil
	}
	err := q.Write(ctx, func(ctx context.Context, tx Tx) error {
		return q.changeIn(ctx, tx, ids, func(batch *Batch, jobs map[string]*lockedJob) {
			hints := newJobHints(tx)
			for i, id := range ids {
				job := jobs[id]
				if outcomes[i] = judgeDead(job); outcomes[i] != nil {
					continue
				}
				if job.Status == storage.JobWithdrawn {
					outcomes[i] = storage.ErrEnded
					continue
				}
				job.Status = storage.JobPending
				batch.Exec(requeueJobSQL, id, micros(at))
				// A job has one message at most; its next end writes another.
				batch.Exec(ackResultSQL, id)
				hints.ready(job.Service)
			}
		})
	})
	if err != nil {
		return nil, fmt.Errorf("requeue jobs: %w", err)
	}
	return outcomes, nil
}

// DiscardJobs implements storage.Queue.
func (q *Queue) DiscardJobs(ctx context.Context, ids []string, at time.Time) (storage.Outcomes, error) {
	outcomes := make(storage.Outcomes, len(ids))
	if len(ids) == 0 {
		return outcomes, nil
	}
	err := q.change(ctx, ids, func(batch *Batch, jobs map[string]*lockedJob) {
		for i, id := range ids {
			job := jobs[id]
			if outcomes[i] = judgeDead(job); outcomes[i] == nil && job.Status == storage.JobDead {
				job.Status = storage.JobWithdrawn
				batch.Exec(withdrawJobSQL, id, micros(at))
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("discard jobs: %w", err)
	}
	return outcomes, nil
}

// judgeDead is nil for a job that is dead, or withdrawn.
func judgeDead(job *lockedJob) error {
	if job == nil {
		return storage.ErrNotFound
	}
	switch job.Status {
	case storage.JobPending, storage.JobClaimed:
		return storage.ErrConflict
	case storage.JobCompleted, storage.JobFailed:
		return storage.ErrEnded
	case storage.JobDead, storage.JobWithdrawn:
	}
	return nil
}
