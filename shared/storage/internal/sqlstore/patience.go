package sqlstore

import (
	"context"
	"errors"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/pause"
)

// callTimeout is the deadline of a call that brings none of its own: a
// connection whose other end has vanished would otherwise hold it for ever.
const callTimeout = 30 * time.Second

func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, has := ctx.Deadline(); has {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, callTimeout)
}

// The waits before a transaction asks again for rows that another one holds
// locked; it has waited for the lock in the database before each.
const (
	firstLockPause = 50 * time.Millisecond
	mostLockPause  = time.Second
)

// patiently repeats what finds its rows locked, until the deadline.
func patiently(ctx context.Context, do func(ctx context.Context) error) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	wait := pause.Backoff{First: firstLockPause, Most: mostLockPause}
	for {
		err := do(ctx)
		if !errors.Is(err, ErrRowsLocked) || !pause.For(ctx, wait.Next()) {
			return err
		}
	}
}
