package runner

import (
	"context"
	"sync"
)

// held is a task in this runner's hands.
type held struct {
	taskID string
	cancel context.CancelCauseFunc
	news   chan struct{} // cap 1: load the inbox
	// stepped is closed after the first commit made here, or when the task is
	// given up without one.
	stepped chan struct{}
	once    sync.Once
	failure error // why it was given up, once stepped is closed; nil after a commit

	// epoch is 0 until the lease is durable. Guarded by Runner.mu.
	epoch int64
}

func (h *held) notify() { signal(h.news) }

func (h *held) hasStepped() bool {
	select {
	case <-h.stepped:
		return true
	default:
		return false
	}
}

func (h *held) untilStepped(ctx context.Context) error {
	select {
	case <-h.stepped:
		return h.failure
	case <-ctx.Done():
		return ctx.Err()
	}
}

// markStepped tells those who wait for the first step that it is committed, or
// with a cause that the task was given up without one. Only the first call
// counts.
func (h *held) markStepped(cause error) {
	h.once.Do(func() {
		h.failure = cause
		close(h.stepped)
	})
}

// hold registers a task before or after its lease is durable (epoch 0 and not
// 0). The context ends when the lease is lost or a stop cuts the task off.
func (r *Runner) hold(taskID string, epoch int64) (context.Context, *held) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.holdLocked(taskID, epoch)
}

// holdFree is hold with epoch 0 for a task that is not held here, or nil.
func (r *Runner) holdFree(taskID string) (context.Context, *held) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.holding[taskID] != nil {
		return nil, nil
	}
	return r.holdLocked(taskID, 0)
}

func (r *Runner) holdLocked(taskID string, epoch int64) (context.Context, *held) {
	ctx, cancel := context.WithCancelCause(context.Background())
	h := &held{taskID: taskID, cancel: cancel, news: make(chan struct{}, 1), stepped: make(chan struct{}), epoch: epoch}
	if before := r.holding[taskID]; before != nil {
		// Its lease expired while this process slept, and the claim took it:
		// what it still executes must not go on beside the new holder's.
		before.cancel(errLeaseLost)
	}
	r.holding[taskID] = h
	if r.cutOff {
		cancel(errCutOff)
	}
	if r.passing[taskID] {
		h.notify()
	}
	return ctx, h
}

func (r *Runner) setEpoch(h *held, epoch int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h.epoch = epoch
}

func (r *Runner) letGo(h *held) {
	r.mu.Lock()
	if r.holding[h.taskID] == h {
		delete(r.holding, h.taskID)
	}
	unread := len(h.news) > 0
	r.mu.Unlock()
	h.cancel(nil)
	h.markStepped(nil)
	if unread {
		// News that came after the release was meant for whoever is next.
		r.Poke()
	}
}

func (r *Runner) holder(taskID string) *held {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.holding[taskID]
}

// mayHold reports whether the task is held here, or a claim under way may have
// taken it.
func (r *Runner) mayHold(taskID string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.claims > 0 || r.holding[taskID] != nil
}

// claiming brackets a claim: a hint for a task that comes between the claim's
// commit and hold would otherwise find nobody.
func (r *Runner) claiming(claim func()) {
	r.mu.Lock()
	r.claims++
	r.mu.Unlock()
	claim()
	r.mu.Lock()
	r.claims--
	if r.claims == 0 {
		clear(r.passing)
	}
	r.mu.Unlock()
}
