package worker

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff spaces repeated tries: each wait is twice the one before, up to most,
// less a random part, so that workers which lost one peer together do not come
// back together.
type backoff struct {
	first, most time.Duration
	last        time.Duration
}

func (b *backoff) next() time.Duration {
	b.last = min(max(2*b.last, b.first), b.most)
	return b.last - rand.N(b.last/4+1)
}

func (b *backoff) reset() { b.last = 0 }

// pause waits; false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
