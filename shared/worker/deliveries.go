package worker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// How much is remembered of recent runs. A redelivery follows a crash within
// the time of a lease or a claim, so minutes are plenty; the bytes are what a
// small worker can spare.
const (
	rememberFor   = 10 * time.Minute
	rememberRuns  = 4096
	rememberBytes = 32 << 20
)

// deliveries makes the second delivery of a run harmless: one that comes while
// the run is under way waits for it, one that comes after it gets its answer
// again.
type deliveries struct {
	mu      sync.Mutex
	running map[string]*delivery
	recent  *simplelru.LRU[string, *delivery]
	bytes   int // of the answers in recent
}

// delivery is an execution and those who wait for it.
type delivery struct {
	ctx     context.Context // the execution's: ends when the last caller has gone
	cancel  context.CancelFunc
	callers int
	done    chan struct{}

	// Set before done is closed.
	answer answer
	err    error
	until  time.Time // when the answer is forgotten
	// again: it was given up by all and failed, which tells a later caller
	// nothing about the run.
	again bool
}

func newDeliveries() (*deliveries, error) {
	d := &deliveries{running: map[string]*delivery{}}
	recent, err := simplelru.NewLRU(rememberRuns, func(_ string, one *delivery) { d.bytes -= one.answer.size() })
	if err != nil {
		return nil, fmt.Errorf("remember deliveries: %w", err)
	}
	d.recent = recent
	return d, nil
}

// do executes the run once, however often it is called for it, and returns its
// answer. An error of execute (it could not start) is returned and not
// remembered. An empty run id is executed each time.
func (d *deliveries) do(ctx context.Context, runID string, execute func(context.Context) (answer, error)) (answer, error) {
	if runID == "" {
		return execute(ctx)
	}
	for {
		one, mine := d.enter(ctx, runID)
		stay := context.AfterFunc(ctx, func() { d.leave(one) })
		if mine {
			one.answer, one.err = execute(one.ctx)
			d.finish(runID, one)
		}
		select {
		case <-one.done:
			stay()
		case <-ctx.Done():
			return answer{}, context.Cause(ctx)
		}
		if mine || !one.again {
			return one.answer, one.err
		}
	}
}

// enter finds the delivery of a run, finished or under way; when there is
// none, it makes one, which is the caller's to execute.
func (d *deliveries) enter(ctx context.Context, runID string) (one *delivery, mine bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if one, ok := d.recent.Get(runID); ok {
		if time.Now().Before(one.until) {
			return one, false
		}
		d.recent.Remove(runID)
	}
	if one, ok := d.running[runID]; ok {
		one.callers++
		return one, false
	}
	one = &delivery{callers: 1, done: make(chan struct{})}
	one.ctx, one.cancel = context.WithCancel(context.WithoutCancel(ctx))
	d.running[runID] = one
	return one, true
}

func (d *deliveries) leave(one *delivery) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if one.callers--; one.callers == 0 {
		one.cancel()
	}
}

func (d *deliveries) finish(runID string, one *delivery) {
	d.mu.Lock()
	defer d.mu.Unlock()
	givenUp := one.ctx.Err() != nil
	one.cancel()
	one.again = givenUp && one.err == nil && one.answer.failed()
	one.until = time.Now().Add(rememberFor)
	delete(d.running, runID)
	if one.err == nil && !one.again {
		d.remember(runID, one)
	}
	close(one.done)
}

func (d *deliveries) remember(runID string, one *delivery) {
	d.recent.Add(runID, one)
	d.bytes += one.answer.size()
	for d.bytes > rememberBytes {
		d.recent.RemoveOldest()
	}
}
