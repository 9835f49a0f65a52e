package parcel

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/pause"
)

const (
	// lineItems and lineBytes are how many items a Line holds: they wait in
	// memory while the peer is away.
	lineItems = 4096
	lineBytes = 64 << 20
	// spacing is the least time from one Take to the next in a stream of items. Each
	// is a call and a commit or two, whose cost hardly depends on how much goes
	// along, and a few milliseconds gather several. Items that come one by one, as
	// the last Take tells, do not wait.
	spacing = 5 * time.Millisecond
)

// Line is what has just been made durable and waits in memory for its first
// delivery, so that nobody has to look for it. It is bounded: what it does not
// take is found later by whoever looks for what is left.
type Line[T any] struct {
	items chan T
	size  func(T) int
	bytes atomic.Int64

	// Of the last Take: when it was, and whether it found more than one item.
	taken  time.Time
	stream bool
}

// NewLine makes an empty line of items of that size in bytes.
func NewLine[T any](size func(T) int) *Line[T] {
	return &Line[T]{items: make(chan T, lineItems), size: size}
}

// Offer puts an item at the end. It never blocks; false when there is no room.
func (l *Line[T]) Offer(item T) bool {
	n := int64(l.size(item))
	if l.bytes.Add(n) <= lineBytes {
		select {
		case l.items <- item:
			return true
		default:
		}
	}
	l.bytes.Add(-n)
	return false
}

// First is where the item at the head comes out. Hand it to Take.
func (l *Line[T]) First() <-chan T { return l.items }

// Take is the first item and those that wait behind it, up to most. It waits for
// more when the Take before was a moment ago and had several, and ctx has not
// ended. One goroutine takes.
func (l *Line[T]) Take(ctx context.Context, first T, most int) (taken []T) {
	if wait := spacing - time.Since(l.taken); l.stream && wait > 0 {
		pause.For(ctx, wait)
	}
	l.taken = time.Now()
	taken = append(taken, first)
	l.bytes.Add(-int64(l.size(first)))
	defer func() { l.stream = len(taken) > 1 }()
	for len(taken) < most {
		select {
		case item := <-l.items:
			taken = append(taken, item)
			l.bytes.Add(-int64(l.size(item)))
		default:
			return taken
		}
	}
	return taken
}
