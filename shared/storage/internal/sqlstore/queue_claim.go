package sqlstore

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Reads the index jobs_ready from its front. The status is spelled out, as a
// partial index serves only a query that contains its condition.
const readyJobsSQL = selectJobSQL + `
WHERE status = 'pending' AND service = $1 AND available_at <= $2
ORDER BY priority DESC, available_at, id LIMIT $3`

// The same rows, but only what the index holds.
const peekJobsSQL = `
SELECT id, priority, available_at FROM jobs
WHERE status = 'pending' AND service = $1 AND available_at <= $2
ORDER BY priority DESC, available_at, id LIMIT $3`

const claimJobSQL = `
UPDATE jobs SET status = 'claimed', deliveries = deliveries + 1, worker_id = $2, token = $3, started_at = $4, timeout_at = $5
WHERE id = $1`

// ClaimJobs implements storage.Queue.
func (q *Queue) ClaimJobs(ctx context.Context, claim storage.ClaimJobs) ([]storage.Job, error) {
	claim.WorkerID = clean(claim.WorkerID)
	wanted := slices.DeleteFunc(slices.Sorted(slices.Values(claim.Services)), func(s string) bool { return !storable(s) })
	var claimed []storage.Job
	err := q.Write(ctx, func(ctx context.Context, tx Tx) error {
		claimed = []storage.Job{}
		services := slices.Compact(slices.Clone(wanted))
		turn := q.turns.of(services)
		for len(services) > 0 && len(claimed) < claim.Max {
			shares, err := q.shareOut(ctx, tx, claim, services, claim.Max-len(claimed), turn)
			if err != nil {
				return err
			}
			locked, err := q.lockReady(ctx, tx, claim, shares)
			if err != nil {
				return err
			}
			jobs := takeTurns(locked, claim.Max-len(claimed), turn)
			if err := markClaimed(ctx, tx, claim, jobs); err != nil {
				return err
			}
			claimed = append(claimed, jobs...)
			turn.serve(jobs...)

			// A service that gave less than its share has nothing left that
			// others are not claiming; its share goes to the rest.
			rest := slices.DeleteFunc(services, func(s string) bool { return len(locked[s]) < shares[s] })
			if len(rest) == len(services) {
				break
			}
			services = rest
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("claim jobs: %w", err)
	}
	q.turns.served(claimed)
	return claimed, nil
}

// shareOut says how many jobs to take of each service. It looks without locks:
// a lock on a job that is not taken in the end would hide it from another
// claimer, which might then go away empty-handed.
func (q *Queue) shareOut(ctx context.Context, tx Tx, claim storage.ClaimJobs, services []string, want int, turn *turnOrder) (map[string]int, error) {
	if len(services) == 1 {
		return map[string]int{services[0]: want}, nil
	}
	var batch Batch
	ready := make(map[string][]storage.Job, len(services))
	for _, service := range services {
		batch.Query(func(row Row) error {
			job := storage.Job{Service: service}
			err := row.Scan(&job.ID, &job.Priority, intoTime(&job.AvailableAt))
			ready[service] = append(ready[service], job)
			return err
		}, peekJobsSQL, service, micros(claim.Now), want)
	}
	if err := tx.Run(ctx, &batch); err != nil {
		return nil, err
	}
	shares := map[string]int{}
	for _, job := range takeTurns(ready, want, turn) {
		shares[job.Service]++
	}
	return shares, nil
}

// lockReady reads each service's share of jobs for claiming.
func (q *Queue) lockReady(ctx context.Context, tx Tx, claim storage.ClaimJobs, shares map[string]int) (map[string][]storage.Job, error) {
	var batch Batch
	locked := make(map[string][]storage.Job, len(shares))
	for _, service := range slices.Sorted(maps.Keys(shares)) {
		batch.Query(func(row Row) error {
			job, err := scanJob(row)
			locked[service] = append(locked[service], job)
			return err
		}, readyJobsSQL+q.Dialect().SkipLocked, service, micros(claim.Now), shares[service])
	}
	if len(batch.Statements) == 0 {
		return locked, nil
	}
	return locked, tx.Run(ctx, &batch)
}

// markClaimed writes the claims, and sets the jobs to what they are after it.
func markClaimed(ctx context.Context, tx Tx, claim storage.ClaimJobs, jobs []storage.Job) error {
	if len(jobs) == 0 {
		return nil
	}
	var batch Batch
	for i := range jobs {
		job := &jobs[i]
		job.Status = storage.JobClaimed
		job.Deliveries++
		job.WorkerID, job.Token = claim.WorkerID, claim.NewToken()
		job.StartedAt, job.TimeoutAt = claim.Now, claim.VisibleUntil
		batch.Exec(claimJobSQL, job.ID, job.WorkerID, job.Token, micros(job.StartedAt), micros(job.TimeoutAt))
	}
	return tx.Run(ctx, &batch)
}
