package sqlstore

import (
	"context"
	"time"
)

// Commits is told by a driver how its transactions ended.
type Commits interface {
	// Committed tells of a transaction that so many writes shared.
	Committed(writes int, took time.Duration)
	RolledBack()
}

// Uncounted is for a driver that nobody asked to count.
type Uncounted struct{}

// Committed implements Commits.
func (Uncounted) Committed(int, time.Duration) {}

// RolledBack implements Commits.
func (Uncounted) RolledBack() {}

type mergedKey struct{}

// withMerged tells the driver for how many callers a group writes.
func withMerged(ctx context.Context, callers int) context.Context {
	if callers == 1 {
		return ctx
	}
	return context.WithValue(ctx, mergedKey{}, callers)
}

// Merged is how many writes a transaction that was begun under ctx stands for.
func Merged(ctx context.Context) int {
	if callers, ok := ctx.Value(mergedKey{}).(int); ok {
		return callers
	}
	return 1
}
