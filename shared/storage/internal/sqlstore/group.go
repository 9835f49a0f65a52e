package sqlstore

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

const (
	// Found with the 64-caller benchmarks: larger batches gain nothing more and
	// make the callers in them wait for each other.
	maxGroupItems = 256
	// mostGather is for a batch that took long because it waited for a lock.
	mostGather = 10 * time.Millisecond
)

// group merges callers of one batch method who wait at the same time into one
// call, so that they share a transaction and its durable commit. A lone caller
// goes at once. Where there was company, a batch waits a moment for as much: on
// busy processors, what a transaction costs by itself is worth more than that.
// It owns no goroutine: the caller at the head of the line
// carries the batch for those behind it.
//
// When a batch fails because of what is in it, each of its callers runs its own
// items again alone, outside the line: then only those fail, or wait for a
// locked row, whose items are to blame.
type group[I, O any] struct {
	run       func(ctx context.Context, items []I) ([]O, error)
	pipelines int // batches under way at most

	mu      sync.Mutex
	active  int
	waiting []*groupCall[I, O]

	// Of the batch before.
	lastSize int // callers
	lastTook time.Duration
	// full is closed once as many wait; nil while nobody waits for them.
	full chan struct{}
}

type groupCall[I, O any] struct {
	items []I
	turn  chan struct{} // one message: carry a batch, your own items first
	done  chan struct{} // closed: alone, or outs and err, are set
	alone bool          // the merged batch failed: run your own items
	outs  []O
	err   error
}

func newGroup[I, O any](pipelines int, run func(context.Context, []I) ([]O, error)) *group[I, O] {
	return &group[I, O]{run: run, pipelines: pipelines}
}

// Do runs the items, perhaps together with those of others. The order of the
// items within one call is kept. A caller whose context ends while it waits
// withdraws; once its items are under way with those of others they are not
// taken back.
func (g *group[I, O]) Do(ctx context.Context, items []I) ([]O, error) {
	if len(items) == 0 {
		return []O{}, nil
	}
	if g.pipelines == 0 {
		return g.run(ctx, items)
	}
	call := &groupCall[I, O]{items: items, turn: make(chan struct{}, 1), done: make(chan struct{})}
	g.mu.Lock()
	g.waiting = append(g.waiting, call)
	g.wake()
	if g.full != nil && g.complete() {
		close(g.full)
		g.full = nil
	}
	g.mu.Unlock()

	select {
	case <-call.turn:
		g.carry(ctx, call)
	case <-call.done:
	case <-ctx.Done():
		g.withdraw(call)
		return nil, ctx.Err()
	}
	if call.alone {
		call.err = patiently(ctx, func(ctx context.Context) error {
			var err error
			call.outs, err = g.attempt(ctx, call.items)
			return err
		})
	}
	return call.outs, call.err
}

// wake gives the caller at the head of the line its turn when a pipeline is
// free. The caller holds mu.
func (g *group[I, O]) wake() {
	if g.active == g.pipelines || len(g.waiting) == 0 {
		return
	}
	g.active++
	head := g.waiting[0]
	g.waiting = g.waiting[1:]
	head.turn <- struct{}{}
}

// carry runs one batch: the call's own items and those of the calls in line.
func (g *group[I, O]) carry(ctx context.Context, call *groupCall[I, O]) {
	// The batch outlives the caller that happens to carry it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()

	calls, items := []*groupCall[I, O]{call}, slices.Clone(call.items)
	// Callers that the batch before has just answered get to the line first.
	// Alone, this returns at once.
	runtime.Gosched()
	g.gather()
	began := time.Now()
	g.mu.Lock()
	for len(g.waiting) > 0 && len(items)+len(g.waiting[0].items) <= maxGroupItems {
		next := g.waiting[0]
		g.waiting = g.waiting[1:]
		calls = append(calls, next)
		items = append(items, next.items...)
	}
	g.mu.Unlock()

	outs, err := g.attempt(withMerged(ctx, len(calls)), items)
	split := errors.Is(err, ErrRowsLocked) || len(calls) > 1 && blamesItems(err)
	for _, member := range calls {
		switch {
		case split:
			member.alone = true
		case err != nil:
			member.err = err
		default:
			member.outs, outs = outs[:len(member.items)], outs[len(member.items):]
		}
		close(member.done)
	}

	g.mu.Lock()
	g.lastSize, g.lastTook = len(calls), time.Since(began)
	g.active--
	g.wake()
	g.mu.Unlock()
}

// gather waits until as many callers are there as in the batch before, but no
// longer than that took.
func (g *group[I, O]) gather() {
	g.mu.Lock()
	if g.full != nil || g.complete() {
		g.mu.Unlock()
		return
	}
	full := make(chan struct{})
	g.full = full
	most := min(g.lastTook, mostGather)
	g.mu.Unlock()

	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-full:
	case <-timer.C:
	}
	g.mu.Lock()
	if g.full == full {
		g.full = nil
	}
	g.mu.Unlock()
}

// complete tells whether as many callers are there as in the batch before: in
// line, and the one who carries. The caller holds mu.
func (g *group[I, O]) complete() bool { return len(g.waiting)+1 >= g.lastSize }

// attempt runs a batch. A panic is its failure: those in line behind it wait for
// the pipeline, and those in it for an answer.
func (g *group[I, O]) attempt(ctx context.Context, items []I) (outs []O, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			outs, err = nil, Panicked(cause)
		}
	}()
	return g.run(ctx, items)
}

// blamesItems tells whether a batch without the items to blame would do.
func blamesItems(err error) bool {
	return errors.Is(err, storage.ErrInvalidData) || errors.Is(err, storage.ErrInvalidText) || errors.Is(err, errPanic)
}

// withdraw takes a call out of the line, or hands on a turn that it was given
// too late.
func (g *group[I, O]) withdraw(call *groupCall[I, O]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(g.waiting, call); i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
		return
	}
	select {
	case <-call.turn:
		g.active--
		g.wake()
	default: // another caller carries it
	}
}
