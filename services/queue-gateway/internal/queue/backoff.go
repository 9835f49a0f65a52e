package queue

import (
	"math/rand/v2"
	"time"
)

// How tries of a database or scheduler that is away are spaced: soon enough
// that a restart goes unnoticed, seldom enough not to burden one that is ill.
const (
	firstRetry = 50 * time.Millisecond
	lastRetry  = time.Second
)

// backoff doubles each wait up to lastRetry, less a random part, so that
// replicas do not come back together.
type backoff struct{ wait time.Duration }

func newBackoff() *backoff { return &backoff{} }

func (b *backoff) next() time.Duration {
	b.wait = min(max(2*b.wait, firstRetry), lastRetry)
	return b.wait - rand.N(b.wait/4)
}

func (b *backoff) reset() { b.wait = 0 }
