// Package pause holds loops back between tries of something that fails: for a
// time that the context cuts short (For), and for times that grow (Backoff). It
// runs nothing itself, and waits for no events; a loop that may also be woken
// selects on its own channels.
package pause

import (
	"context"
	"math/rand/v2"
	"time"
)

// For waits, and is false when ctx ended first.
func For(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Backoff spaces repeated tries: each wait is twice the one before, from First
// up to Most, less up to a quarter by chance, so that those who lost one peer
// together do not come back together. It belongs to one goroutine.
type Backoff struct {
	First, Most time.Duration
	last        time.Duration
}

// Next is the wait before the next try.
func (b *Backoff) Next() time.Duration {
	b.last = min(max(2*b.last, b.First), b.Most)
	return b.last - rand.N(b.last/4+1)
}

// Reset is for a try that succeeded: the next wait is a first one again.
func (b *Backoff) Reset() { b.last = 0 }
