package runner

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
)

// recent keeps what fans run between two steps of a task that waits for the
// queue. Without it each result would read and parse the whole array again.
type recent struct {
	mu    sync.Mutex
	byRun *simplelru.LRU[string, *engine.Laid]
	bytes int
}

// What is kept at most. A fan that is larger than all is not kept.
const (
	recentFans  = 1000
	recentBytes = 64 << 20
)

func newRecent() *recent {
	r := &recent{}
	// The size is positive, which is all that it fails for.
	r.byRun, _ = simplelru.NewLRU(recentFans, func(_ string, laid *engine.Laid) { r.bytes -= laid.Size() })
	return r
}

// recall gives a loaded state what is kept for it.
func (r *recent) recall(state *engine.State) {
	run, _ := state.Fan()
	if run == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if laid, ok := r.byRun.Get(run); ok {
		state.Recall(laid)
	}
}

// keep is for a state that is let go.
func (r *recent) keep(state *engine.State) {
	run, laid := state.Fan()
	if laid == nil || laid.Size() > recentBytes {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byRun.Contains(run) {
		return
	}
	r.byRun.Add(run, laid)
	r.bytes += laid.Size()
	for r.bytes > recentBytes {
		r.byRun.RemoveOldest()
	}
}
