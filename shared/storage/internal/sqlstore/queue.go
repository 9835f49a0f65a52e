package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Queue implements storage.Queue.
type Queue struct {
	*DB
	turns     *serviceTurns
	puts      *group[storage.Job, struct{}]
	completes *group[storage.JobCompletion, error]
}

var _ storage.Queue = (*Queue)(nil)

// NewQueue makes the queue-gateway's role of its database.
func NewQueue(db *DB) *Queue {
	q := &Queue{DB: db, turns: newServiceTurns()}
	pipelines := db.Dialect().Pipelines
	q.puts = newGroup(pipelines, q.putJobs)
	q.completes = newGroup(pipelines, q.completeJobs)
	return q
}

const putJobSQL = `
INSERT INTO jobs (id, task_id, run_id, node_key, path, visit, attempt, run_no, service, input, priority,
    status, deliveries, available_at, worker_id, token, created_at, result_hash, log_path, traceparent)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'pending', 0, $12, '', '', $13, '', '', $14)
ON CONFLICT DO NOTHING`

// PutJobs implements storage.Queue.
func (q *Queue) PutJobs(ctx context.Context, jobs []storage.Job) error {
	if _, err := q.puts.Do(ctx, jobs); err != nil {
		return fmt.Errorf("put jobs: %w", err)
	}
	return nil
}

func (q *Queue) putJobs(ctx context.Context, jobs []storage.Job) ([]struct{}, error) {
	err := q.TryWrite(ctx, func(ctx context.Context, tx Tx) error {
		var batch Batch
		added := make([]int64, len(jobs))
		for _, i := range keyOrder(len(jobs), func(i int) string { return jobs[i].ID }) {
			job := jobs[i]
			batch.ExecCount(&added[i], putJobSQL, job.ID, job.TaskID, job.RunID, clean(job.NodeKey), clean(job.Path), job.Visit,
				job.Attempt, job.RunNo, job.Service, text(job.Input), job.Priority, micros(job.AvailableAt), micros(job.CreatedAt),
				clean(job.Trace))
		}
		if err := tx.Finish(ctx, &batch); err != nil {
			return err
		}
		hints := newJobHints(tx)
		delayed := map[string]time.Time{} // the first of each service
		for i, job := range jobs {
			first, known := delayed[job.Service]
			switch {
			case added[i] == 0:
			case !job.AvailableAt.After(job.CreatedAt):
				hints.ready(job.Service)
			case !known || job.AvailableAt.Before(first):
				delayed[job.Service] = job.AvailableAt
			}
		}
		for service, at := range delayed {
			hints.readyAt(service, at)
		}
		return nil
	})
	return make([]struct{}, len(jobs)), err
}

const (
	columnsBeforeInput = `id, task_id, run_id, node_key, path, visit, attempt, run_no, service, `
	columnsAfterInput  = `, priority,
    status, deliveries, available_at, worker_id, token, timeout_at, created_at, started_at, finished_at,
    result_hash, log_path, traceparent`

	// An input may be large, and is read only for those who work with it.
	columnsWithoutInput = columnsBeforeInput + `''` + columnsAfterInput
)

const selectJobSQL = `SELECT ` + columnsWithoutInput + ` FROM jobs `

const getJobSQL = selectJobSQL + `WHERE id = $1`

// GetJobs implements storage.Queue.
func (q *Queue) GetJobs(ctx context.Context, ids []string) (map[string]storage.Job, error) {
	jobs := make(map[string]storage.Job, len(ids))
	var batch Batch
	for _, id := range ids {
		batch.Query(func(row Row) error {
			job, err := scanJob(row)
			jobs[id] = job
			return err
		}, getJobSQL, id)
	}
	if err := q.Read().Run(ctx, &batch); err != nil {
		return nil, fmt.Errorf("get jobs: %w", err)
	}
	return jobs, nil
}

// What changes a job may end its claim, and make room in its service's limit:
// the number of claims that it may have comes along, which costs less than a
// statement of its own.
const lockJobSQL = `
SELECT id, task_id, run_id, service, status, worker_id, token, timeout_at, result_hash,
    (SELECT max_claimed FROM service_limits WHERE service_limits.service = jobs.service)
FROM jobs WHERE id = $1`

// lockedJob is a job that the transaction goes on to change: what decides about
// that.
type lockedJob struct {
	ID, TaskID, RunID, Service string
	Status                     storage.JobStatus
	WorkerID, Token            string
	TimeoutAt                  time.Time
	ResultHash                 string
	maxClaimed                 *int64 // nil for a service without a limit
}

func scanLocked(row Row) (*lockedJob, error) {
	var job lockedJob
	err := row.Scan(&job.ID, &job.TaskID, &job.RunID, &job.Service, (*string)(&job.Status), &job.WorkerID, &job.Token,
		intoTime(&job.TimeoutAt), &job.ResultHash, &job.maxClaimed)
	return &job, err
}

// lockJobs reads the jobs of a batch for changing, each once and in order of
// their ids; unknown ones are left out.
func (q *Queue) lockJobs(ctx context.Context, tx Tx, ids []string) (map[string]*lockedJob, error) {
	var batch Batch
	jobs := make(map[string]*lockedJob, len(ids))
	keep := func(row Row) error {
		job, err := scanLocked(row)
		jobs[job.ID] = job
		return err
	}
	last := -1
	for _, i := range keyOrder(len(ids), func(i int) string { return ids[i] }) {
		if storable(ids[i]) && (last < 0 || ids[last] != ids[i]) {
			batch.Query(keep, lockJobSQL+q.Dialect().ForUpdate, ids[i])
		}
		last = i
	}
	if err := tx.Run(ctx, &batch); err != nil {
		return nil, err
	}
	return jobs, nil
}

// Subscribe implements storage.Queue.
func (q *Queue) Subscribe(ctx context.Context, hint func(storage.JobHint)) error {
	return q.Listen(ctx, func(heard Hint) {
		if told, ok := parseJobHint(heard.Payload); ok {
			hint(told)
		}
	})
}

// The conditions are those of the partial indexes jobs_delayed and jobs_claims.
const (
	nextDelayedSQL = `SELECT MIN(available_at) FROM jobs WHERE status = 'pending' AND available_at > 0 AND available_at > $1`
	nextTimeoutSQL = `SELECT MIN(timeout_at) FROM jobs WHERE status = 'claimed'`

	// Reads all limits, of which there are as many as an operator has set.
	filledLaterSQL = selectLimitSQL + `WHERE full_at > $1`
)

// NextChange implements storage.Queue.
func (q *Queue) NextChange(ctx context.Context, now time.Time) (time.Time, error) {
	var next time.Time
	sooner := func(at time.Time) {
		if !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	var ready, timeout time.Time
	var batch Batch
	batch.Query(func(row Row) error { return row.Scan(intoTime(&ready)) }, nextDelayedSQL, micros(now))
	batch.Query(func(row Row) error { return row.Scan(intoTime(&timeout)) }, nextTimeoutSQL)
	batch.Query(func(row Row) error {
		limit, err := scanLimit(row)
		if bucket := limit.bucket(); err == nil && bucket.tokens(now) == 0 {
			sooner(bucket.nextToken(now))
		}
		return err
	}, filledLaterSQL, now.UnixNano())
	if err := q.Read().Run(ctx, &batch); err != nil {
		return time.Time{}, fmt.Errorf("next change of the queue: %w", err)
	}
	sooner(ready)
	sooner(timeout)
	return next, nil
}

// Reads the first entries of jobs_ready.
const readyServiceSQL = `
SELECT service FROM jobs WHERE status = 'pending' AND service = $1 AND available_at <= $2
ORDER BY priority DESC, available_at, id LIMIT 1`

// ReadyServices implements storage.Queue.
func (q *Queue) ReadyServices(ctx context.Context, services []string, now time.Time) ([]string, error) {
	ready := []string{}
	var batch Batch
	for _, service := range services {
		if storable(service) {
			batch.Query(appendTo(&ready, scanText), readyServiceSQL, service, micros(now))
		}
	}
	if err := q.Read().Run(ctx, &batch); err != nil {
		return nil, fmt.Errorf("look for ready jobs: %w", err)
	}
	return ready, nil
}

func scanJob(row Row) (storage.Job, error) {
	var job storage.Job
	err := scanJobInto(row, &job)
	return job, err
}

// scanJobInto scans a job's columns, and those that follow them.
func scanJobInto(row Row, job *storage.Job, more ...any) error {
	var input, status string
	err := row.Scan(append([]any{
		&job.ID, &job.TaskID, &job.RunID, &job.NodeKey, &job.Path, &job.Visit, &job.Attempt,
		&job.RunNo, &job.Service, &input, &job.Priority, &status, &job.Deliveries, intoTime(&job.AvailableAt),
		&job.WorkerID, &job.Token, intoTime(&job.TimeoutAt), intoTime(&job.CreatedAt), intoTime(&job.StartedAt),
		intoTime(&job.FinishedAt), &job.ResultHash, &job.LogPath, &job.Trace,
	}, more...)...)
	if input != "" {
		job.Input = json.RawMessage(input)
	}
	job.Status = storage.JobStatus(status)
	return err
}
