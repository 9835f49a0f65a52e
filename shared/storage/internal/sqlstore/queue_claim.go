package sqlstore

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Reads the index jobs_ready from its front. The status is spelled out, as a
// partial index serves only a query that contains its condition. For a bare
// parameter as LIMIT, here as in the other statements of this package that run
// all the time, SQLite prepares the statement anew whenever it is bound.
const readyJobsSQL = selectSizedJobSQL + `
WHERE status = 'pending' AND service = $2 AND available_at <= $3
ORDER BY priority DESC, available_at, id LIMIT $4 + 0`

// The same, but none of a service with a limit: who claims those locks the
// limit first. Planners leave a count as it is, to be taken once; of NOT EXISTS
// they make a join.
const freelyReadyJobsSQL = selectSizedJobSQL + `
WHERE status = 'pending' AND service = $2 AND available_at <= $3
    AND (SELECT COUNT(*) FROM service_limits WHERE service = $2) = 0
ORDER BY priority DESC, available_at, id LIMIT $4 + 0`

// The same rows, but only what the index holds, and whether there is a limit.
const peekJobsSQL = `
SELECT id, priority, available_at, (SELECT COUNT(*) FROM service_limits WHERE service = $1) FROM jobs
WHERE status = 'pending' AND service = $1 AND available_at <= $2
ORDER BY priority DESC, available_at, id LIMIT $3 + 0`

const claimJobSQL = `
UPDATE jobs SET status = 'claimed', deliveries = deliveries + 1, worker_id = $2, token = $3, started_at = $4, timeout_at = $5
WHERE id = $1`

// ClaimJobs implements storage.Queue.
func (q *Queue) ClaimJobs(ctx context.Context, claim storage.ClaimJobs) ([]storage.Job, error) {
	claim.WorkerID = clean(claim.WorkerID)
	wanted := slices.DeleteFunc(slices.Sorted(slices.Values(claim.Services)), func(s string) bool { return !storable(s) })
	var done *claiming
	err := q.Write(ctx, func(ctx context.Context, tx Tx) error {
		services := slices.Compact(slices.Clone(wanted))
		done = newClaiming(tx, q.Dialect(), claim, q.turns.of(services))
		for len(services) > 0 && len(done.claimed) < claim.Max && !done.full {
			rest, err := done.round(ctx, services)
			if err != nil {
				return err
			}
			services = rest
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("claim jobs: %w", err)
	}
	q.turns.served(done.claimed)
	done.tellHeldBack()
	return done.claimed, nil
}

// claiming is one ClaimJobs in its transaction.
type claiming struct {
	tx      Tx
	dialect Dialect
	claim   storage.ClaimJobs
	turn    *turnOrder

	claimed []storage.Job
	sizes   map[string]int // of the inputs, by job
	bytes   int            // the inputs of what is claimed
	full    bool           // no room for the input of the next job

	// A claim for one service is tried without a look at what is ready. When
	// that gives nothing, the service may have a limit.
	emptyHanded, looked bool

	limited  map[string]bool      // the services found to have a limit
	limits   map[string]*limitRow // those that are locked; nil for one that is gone
	lastLock string
	heldBack map[string]*limitRow // those whose rate cut a share
}

func newClaiming(tx Tx, dialect Dialect, claim storage.ClaimJobs, turn *turnOrder) *claiming {
	return &claiming{
		tx: tx, dialect: dialect, claim: claim, turn: turn, claimed: []storage.Job{}, sizes: map[string]int{},
		limited: map[string]bool{}, limits: map[string]*limitRow{}, heldBack: map[string]*limitRow{},
	}
}

// round claims each service's share of what is still wanted and returns the
// services for another round; none when it would claim nothing more.
func (c *claiming) round(ctx context.Context, services []string) ([]string, error) {
	want := c.claim.Max - len(c.claimed)
	shares, err := c.shareOut(ctx, services, want)
	if err != nil {
		return nil, err
	}
	if err := c.lockLimits(ctx, shares); err != nil {
		return nil, err
	}
	locked, err := c.lockReady(ctx, shares)
	if err != nil {
		return nil, err
	}
	if len(locked) == 0 && !c.looked {
		c.emptyHanded = true
		return services, nil
	}
	jobs := c.withinBytes(takeTurns(locked, want, c.turn))
	if err := c.markClaimed(ctx, jobs); err != nil {
		return nil, err
	}
	c.claimed = append(c.claimed, jobs...)
	c.turn.serve(jobs...)

	// A service that gave less than its share has nothing left that others are
	// not claiming; its share goes to the rest.
	rest := slices.DeleteFunc(slices.Clone(services), func(s string) bool { return len(locked[s]) < shares[s] })
	if len(rest) == len(services) {
		return nil, nil
	}
	return rest, nil
}

// withinBytes cuts from the jobs those whose inputs would be too much. A claimer
// that passed them over while they were locked here may wait for a hint.
func (c *claiming) withinBytes(jobs []storage.Job) []storage.Job {
	if c.claim.MaxBytes > 0 {
		n := fitting(jobs, c.sizes, c.claim.MaxBytes-c.bytes)
		if n == 0 && len(c.claimed) == 0 && len(jobs) > 0 {
			n = 1
		}
		c.full = n < len(jobs)
		hints := newJobHints(c.tx)
		for _, job := range jobs[n:] {
			hints.ready(job.Service)
		}
		jobs = jobs[:n]
	}
	for _, job := range jobs {
		c.bytes += c.sizes[job.ID]
	}
	return jobs
}

// shareOut says how many jobs to take of each service. It looks without locks:
// a lock on a job that is not taken in the end would hide it from another
// claimer, which might then go away empty-handed.
func (c *claiming) shareOut(ctx context.Context, services []string, want int) (map[string]int, error) {
	if len(services) == 1 && !c.limited[services[0]] && !c.emptyHanded {
		return map[string]int{services[0]: want}, nil
	}
	ready, err := c.peek(ctx, services, want)
	if err != nil {
		return nil, err
	}
	if err := c.hold(ctx, ready); err != nil {
		return nil, err
	}
	shares := map[string]int{}
	for _, job := range takeTurns(ready, want, c.turn) {
		shares[job.Service]++
	}
	return shares, nil
}

func (c *claiming) peek(ctx context.Context, services []string, want int) (map[string][]storage.Job, error) {
	c.looked = true
	var batch Batch
	ready := make(map[string][]storage.Job, len(services))
	for _, service := range services {
		batch.Query(func(row Row) error {
			job := storage.Job{Service: service}
			var limits int
			err := row.Scan(&job.ID, &job.Priority, intoTime(&job.AvailableAt), &limits)
			ready[service] = append(ready[service], job)
			if limits > 0 {
				c.limited[service] = true
			}
			return err
		}, peekJobsSQL, service, micros(c.claim.Now), want)
	}
	return ready, c.tx.Run(ctx, &batch)
}

// hold cuts what is ready of the services with a limit down to what it allows.
// It looks without locks here too: a limit that is used up, of which there are
// many polls while it lasts, makes nobody wait.
func (c *claiming) hold(ctx context.Context, ready map[string][]storage.Job) error {
	var unlocked []string
	for service := range ready {
		if _, locked := c.limits[service]; c.limited[service] && !locked {
			unlocked = append(unlocked, service)
		}
	}
	looked, err := readLimits(ctx, c.tx, unlocked, "")
	if err != nil {
		return err
	}
	for service, jobs := range ready {
		limit := c.limits[service]
		if limit == nil {
			limit = looked[service]
		}
		if limit != nil {
			ready[service] = jobs[:c.places(limit, len(jobs))]
		}
	}
	return nil
}

// places is how many jobs of a service the limit lets this claim have, up to
// most. It remembers when the rate is what holds some back.
func (c *claiming) places(limit *limitRow, most int) int {
	if limit.tokens(c.claim.Now, most) < most {
		c.heldBack[limit.Service] = limit
	}
	return limit.places(c.claim.Now, most)
}

// lockLimits locks the limits of services that have a share, and cuts from the
// shares what others have taken of them since.
func (c *claiming) lockLimits(ctx context.Context, shares map[string]int) error {
	// Limits are locked in order of their services. One that comes too late for
	// that, in a later round, is taken only if nobody else has it.
	var inOrder, late []string
	for service := range shares {
		if _, locked := c.limits[service]; locked || !c.limited[service] {
			continue
		}
		if service > c.lastLock {
			inOrder = append(inOrder, service)
		} else {
			late = append(late, service)
		}
	}
	limits, err := readLimits(ctx, c.tx, inOrder, c.dialect.ForUpdate)
	if err != nil {
		return err
	}
	for _, service := range inOrder {
		c.limits[service] = limits[service]
		c.lastLock = max(c.lastLock, service)
	}
	limits, err = readLimits(ctx, c.tx, late, c.dialect.SkipLocked)
	if err != nil {
		return err
	}
	for service, limit := range limits {
		c.limits[service] = limit
	}
	return nil
}

// lockReady reads each service's share of jobs for claiming. Inputs that may be
// too much together are left to markClaimed.
func (c *claiming) lockReady(ctx context.Context, shares map[string]int) (map[string][]storage.Job, error) {
	var batch Batch
	small := smallInput(c.claim.MaxBytes, c.claim.Max)
	jobs := make(map[string][]storage.Job, len(shares))
	for _, service := range slices.Sorted(maps.Keys(shares)) {
		statement, share := freelyReadyJobsSQL, shares[service]
		if c.looked {
			statement = readyJobsSQL
		}
		if c.limited[service] {
			limit, locked := c.limits[service]
			if !locked {
				continue // another claimer has it
			}
			if limit != nil {
				share = c.places(limit, share)
			}
		}
		if share == 0 {
			continue
		}
		batch.Query(func(row Row) error {
			job, err := scanSizedJob(row)
			jobs[service] = append(jobs[service], job.Job)
			c.sizes[job.ID] = job.size
			return err
		}, statement+c.dialect.SkipLocked, small, service, micros(c.claim.Now), share)
	}
	if len(batch.Statements) == 0 {
		return jobs, nil
	}
	return jobs, c.tx.Run(ctx, &batch)
}

// markClaimed writes the claims and what they take of the limits, and sets the
// jobs to what they are after it.
func (c *claiming) markClaimed(ctx context.Context, jobs []storage.Job) error {
	if len(jobs) == 0 {
		return nil
	}
	var batch Batch
	addInputs(&batch, jobs, c.sizes)
	taken := map[string]int{}
	for i := range jobs {
		job := &jobs[i]
		job.Status = storage.JobClaimed
		job.Deliveries++
		job.WorkerID, job.Token = c.claim.WorkerID, c.claim.NewToken()
		job.StartedAt, job.TimeoutAt = c.claim.Now, c.claim.VisibleUntil
		batch.Exec(claimJobSQL, job.ID, job.WorkerID, job.Token, micros(job.StartedAt), micros(job.TimeoutAt))
		taken[job.Service]++
	}
	for service, count := range taken {
		limit := c.limits[service]
		if limit == nil {
			continue
		}
		limit.claimed += count
		if limit.RatePerSecond > 0 {
			bucket := limit.bucket()
			bucket.take(c.claim.Now, count)
			limit.fullAt = bucket.fullAt
			batch.Exec(spendSQL, service, bucket.fullAt)
		}
	}
	return c.tx.Run(ctx, &batch)
}

// tellHeldBack tells the caller of the rates that are used up now.
func (c *claiming) tellHeldBack() {
	if c.claim.HeldBack == nil {
		return
	}
	for service, limit := range c.heldBack {
		if locked := c.limits[service]; locked != nil {
			limit = locked // it knows what this claim took
		}
		if bucket := limit.bucket(); bucket.tokens(c.claim.Now) == 0 {
			c.claim.HeldBack(service, bucket.nextToken(c.claim.Now))
		}
	}
}
