package runner

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/shared/pause"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

const (
	// claimBatch is the most tasks that one claim takes. Larger claims hold
	// the writer longer than they save round trips.
	claimBatch = 64
	// leaseBatch is the most leases that one statement extends.
	leaseBatch = 500
	// headStart is for the replica that wrote the news: it takes the task, and
	// the others would only find that out in a transaction each. It is also the
	// most that a task waits longer when that replica has no place for it.
	headStart = 20 * time.Millisecond
	// lockedPause keeps the poll from spinning on a task that is due and that
	// another transaction has locked.
	lockedPause = 5 * time.Millisecond
	// claimPatience is how long a claim that was begun is waited for when the
	// runner stops.
	claimPatience = 5 * time.Second
	// storagePause is the wait after a storage error.
	storagePause = 250 * time.Millisecond
)

// poll claims what is due until ctx ends.
func (r *Runner) poll(ctx context.Context) {
	timer, next := time.NewTimer(0), time.Now()
	defer timer.Stop()
	var rest time.Duration
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			rest = r.claimIfDue(ctx)
		case <-r.wake:
			rest = r.claimDue(ctx)
		case <-r.look:
			rest = min(time.Until(next), headStart)
		}
		timer.Reset(rest)
		next = time.Now().Add(rest)
	}
}

// claimIfDue is claimDue after a look, which costs a server that has nothing to
// do less than a transaction that finds nothing.
func (r *Runner) claimIfDue(ctx context.Context) time.Duration {
	next, err := r.Store.NextRunnable(ctx)
	if err == nil && !elapsed(next, r.Now()) {
		return r.until(next)
	}
	return r.claimDue(ctx)
}

// claimDue claims until nothing is due or no place is free, and returns how
// long to sleep.
func (r *Runner) claimDue(ctx context.Context) time.Duration {
	if err := r.extendOverdue(ctx); err != nil {
		return storagePause
	}
	for ctx.Err() == nil {
		places := r.reserve(claimBatch)
		if places == 0 {
			return r.PollInterval // a place that becomes free wakes the poll
		}
		claimed, err := r.claim(ctx, places)
		if err != nil {
			if ctx.Err() == nil {
				r.Log.Error("claim_failed", zap.Error(err))
			}
			return storagePause
		}
		if claimed < places {
			return r.untilNext(ctx)
		}
	}
	return 0
}

// claim fills up to the given number of reserved places and frees the rest. A
// stop does not break it off: storage may have made the claim by then, and its
// tasks would be nobody's until their leases end.
func (r *Runner) claim(ctx context.Context, places int) (claimed int, err error) {
	ctx, cancel := pause.Outlast(ctx, claimPatience)
	defer cancel()
	r.claiming(func() {
		var tasks []storage.Task
		tasks, err = r.Store.ClaimTasks(ctx, r.claimParams(), places)
		claimed = len(tasks)
		r.Metrics.claimed.Add(float64(claimed))
		for _, task := range tasks {
			r.start(task, goOn)
		}
	})
	r.free(places - claimed)
	return claimed, err
}

func (r *Runner) claimParams() storage.ClaimParams {
	now := r.Now()
	return storage.ClaimParams{Owner: r.Owner, Now: now, Until: now.Add(r.LeaseTTL)}
}

func (r *Runner) untilNext(ctx context.Context) time.Duration {
	next, err := r.Store.NextRunnable(ctx)
	if err != nil {
		return r.PollInterval
	}
	return r.until(next)
}

func (r *Runner) until(next time.Time) time.Duration {
	if next.IsZero() {
		return r.PollInterval
	}
	return min(max(next.Sub(r.Now()), lockedPause), r.PollInterval)
}

// keepLeases extends the leases of everything held until ctx ends: three times
// within their time to live, and sooner after what did not work.
func (r *Runner) keepLeases(ctx context.Context) {
	every := r.LeaseTTL / 3
	timer := time.NewTimer(every)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		err := r.extend(ctx)
		if err != nil && ctx.Err() == nil && !errors.Is(err, errBusy) {
			// Past the time to live the fence still holds: if nobody has taken
			// the tasks, their steps commit.
			r.Log.Error("extend_leases_failed", zap.Error(err))
		}
		next := every
		if err != nil {
			next = min(every, storagePause)
		}
		timer.Reset(next)
	}
}

// errBusy tells that another transaction holds a task whose lease was to be
// extended, so that it has to be tried again.
var errBusy = errors.New("another transaction holds the task")

// extendOverdue extends leases before a claim when they may have expired (the
// machine slept, the database was away): if nobody has taken the tasks they are
// still ours, and to claim them would execute them a second time.
func (r *Runner) extendOverdue(ctx context.Context) error {
	r.mu.Lock()
	overdue := len(r.holding) > 0 && r.Now().Sub(r.kept) >= r.LeaseTTL
	r.mu.Unlock()
	if !overdue {
		return nil
	}
	if err := r.extend(ctx); !errors.Is(err, errBusy) {
		return err
	}
	return nil // one locked task must not keep this replica from claiming others
}

func (r *Runner) extend(ctx context.Context) error {
	now := r.Now()
	r.mu.Lock()
	leases := make([]storage.LeaseRef, 0, len(r.holding))
	holders := make([]*held, 0, len(r.holding))
	for _, h := range r.holding {
		if h.epoch != 0 {
			leases = append(leases, storage.LeaseRef{TaskID: h.taskID, Epoch: h.epoch})
			holders = append(holders, h)
		}
	}
	r.mu.Unlock()

	var failure, busy error // of one batch or task; the others are extended all the same
	for len(leases) > 0 {
		n := min(len(leases), leaseBatch)
		outcomes, err := r.Store.ExtendLeases(ctx, leases[:n], now.Add(r.LeaseTTL))
		failure = errors.Join(failure, err)
		for i, outcome := range outcomes {
			switch {
			case outcome.Err != nil:
				// Ending a task that let go in between is harmless.
				holders[i].cancel(errLeaseLost)
			case outcome.Busy:
				busy = errBusy
			case outcome.InboxPending:
				holders[i].notify()
			}
		}
		leases, holders = leases[n:], holders[n:]
	}
	if failure != nil {
		return failure
	}
	r.mu.Lock()
	r.kept = now
	r.mu.Unlock()
	return busy
}
