package queue

import (
	"context"
	"sync"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// maxRemembered bounds the claims that are remembered, which come to some
// megabytes. Those of workers that are slower than so many others are read.
const maxRemembered = 8192

// claimed remembers the jobs that were claimed here, without their inputs, so
// that an answer need not read its job before it can be written. What is
// remembered of a claim does not change as long as the claim lasts; whether it
// does is for the database to say.
//
// The older half is forgotten at once when both are full.
type claimed struct {
	mu         sync.Mutex
	newer, old map[string]storage.Job // by token
}

func newClaimed() *claimed { return &claimed{newer: map[string]storage.Job{}} }

func (c *claimed) remember(jobs []storage.Job) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, job := range jobs {
		if len(c.newer) >= maxRemembered/2 {
			c.old, c.newer = c.newer, map[string]storage.Job{}
		}
		job.Input = nil
		c.newer[job.Token] = job
	}
}

// find is the job as it was claimed with the token.
func (c *claimed) find(ref storage.ClaimRef) (storage.Job, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	job, known := c.newer[ref.Token]
	if !known {
		job, known = c.old[ref.Token]
	}
	return job, known && job.ID == ref.JobID
}

func (c *claimed) forget(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.newer, token)
	delete(c.old, token)
}

// jobsOf are the jobs that are answered, by id: as they were claimed here, else
// as they are in the database. Unknown ones are left out.
func (q *Queue) jobsOf(ctx context.Context, answers []Answer) (map[string]storage.Job, error) {
	jobs := make(map[string]storage.Job, len(answers))
	var others []string
	for _, a := range answers {
		if job, known := q.claimed.find(a.Claim); known {
			jobs[job.ID] = job
		} else {
			others = append(others, a.Claim.JobID)
		}
	}
	if len(others) == 0 {
		return jobs, nil
	}
	stored, err := q.store.GetJobs(ctx, others)
	for id, job := range stored {
		jobs[id] = job
	}
	return jobs, err
}
