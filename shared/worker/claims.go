package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/pause"
)

// claims are the jobs that the worker holds. One loop extends them all, in one
// call, and learns from the answer which are not wanted any more.
type claims struct {
	client     *queueapi.Client
	workerID   string
	visibility time.Duration
	every      time.Duration // between extensions
	log        *zap.Logger

	mu      sync.Mutex
	held    map[*claim]struct{} // by identity: a job may come again while its first claim is ending
	trouble error               // of the last extension; nil when there is nothing to extend
	change  chan struct{}       // closed when trouble comes or goes
}

// claim is one job's.
type claim struct {
	job  queueapi.Job
	lose context.CancelCauseFunc // ends the work on it
}

// newClaims makes the claims of a pull worker. Extending at a third of their
// time leaves room for two failures; doing it with every heartbeat of the
// worker tells early of work that is not wanted any more.
func newClaims(client *queueapi.Client, cfg Config, log *zap.Logger) *claims {
	return &claims{
		client: client, workerID: cfg.ID, visibility: cfg.Visibility, every: min(cfg.Visibility/3, cfg.Heartbeat), log: log,
		held: map[*claim]struct{}{}, change: make(chan struct{}),
	}
}

func (c *claims) hold(job queueapi.Job, lose context.CancelCauseFunc) *claim {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := &claim{job: job, lose: lose}
	c.held[one] = struct{}{}
	return one
}

func (c *claims) release(one *claim) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.held, one)
	if len(c.held) == 0 {
		c.setLocked(nil)
	}
}

func (c *claims) list() []*claim {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]*claim, 0, len(c.held))
	for one := range c.held {
		all = append(all, one)
	}
	return all
}

// set tells how the last extension went. Claims that have all ended meanwhile
// leave nothing to be in trouble about.
func (c *claims) set(trouble error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.held) == 0 {
		trouble = nil
	}
	c.setLocked(trouble)
}

func (c *claims) setLocked(trouble error) {
	changed := (c.trouble == nil) != (trouble == nil)
	c.trouble = trouble
	if changed {
		close(c.change)
		c.change = make(chan struct{})
	}
}

// awaitKept returns once the claims can be kept: a worker that cannot keep what
// it has must not take more. False when ctx ended first.
func (c *claims) awaitKept(ctx context.Context) bool {
	for ctx.Err() == nil {
		c.mu.Lock()
		trouble, change := c.trouble, c.change
		c.mu.Unlock()
		if trouble == nil {
			return true
		}
		select {
		case <-change:
		case <-ctx.Done():
		}
	}
	return false
}

// keep extends the claims until ctx ends.
func (c *claims) keep(ctx context.Context) {
	retry := pause.Backoff{First: min(firstRetry, c.every), Most: c.every}
	wait := c.every
	for pause.For(ctx, wait) {
		err := c.extend(ctx, c.list())
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			c.log.Warn("claims_not_extended", zap.Error(err))
			c.set(err)
			wait = retry.Next()
		default:
			c.set(nil)
			retry.Reset()
			wait = c.every
		}
	}
}

// extend extends claims, and ends the work on those that are gone.
func (c *claims) extend(ctx context.Context, held []*claim) error {
	if len(held) == 0 {
		return nil
	}
	batch := queueapi.HeartbeatBatch{WorkerID: c.workerID, VisibilityMS: int(c.visibility.Milliseconds())}
	for _, one := range held {
		batch.Claims = append(batch.Claims, queueapi.Claim{QueueID: one.job.ID, Token: one.job.Token})
	}
	call, cancel := context.WithTimeout(ctx, min(queueCall, c.visibility/3))
	defer cancel()
	outcomes, err := c.client.HeartbeatAll(call, batch)
	if err != nil {
		return err
	}
	if len(outcomes) != len(held) {
		return fmt.Errorf("extend %d claims: got %d outcomes", len(held), len(outcomes))
	}
	var failed error
	for i, one := range held {
		switch err := outcomes[i].Err(); {
		case claimGone(err):
			one.lose(fmt.Errorf("keep claim: %w", err))
		case err != nil:
			failed = errors.Join(failed, fmt.Errorf("job %s: %w", one.job.ID, err))
		}
	}
	return failed
}

// claimGone tells that a job is no longer this worker's affair.
func claimGone(err error) bool {
	switch errs.CodeOf(err) {
	case errs.ClaimLost, errs.TaskEnded, errs.NotFound:
		return true
	default:
		return false
	}
}
