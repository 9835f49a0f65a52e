package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// A lost connection is made anew at this pace. Hints may be lost meanwhile,
// which listeners must bear anyway.
const listenRetryDelay = 500 * time.Millisecond

// Listen implements sqlstore.Driver. It has a connection of its own, outside
// the pool, for as long as it runs.
func (d *Driver) Listen(ctx context.Context, hear func(string)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watched := make(chan struct{})
	defer func() { cancel(); <-watched }()
	go func() {
		defer close(watched)
		select {
		case <-d.closed:
			cancel()
		case <-ctx.Done():
		}
	}()

	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-retry.C:
		}
		// The error needs no report: when the database is away, every other
		// call says so.
		_ = d.listenOnce(ctx, hear)
		retry.Reset(listenRetryDelay)
	}
}

// listenOnce hears notifications until the connection or the context ends.
func (d *Driver) listenOnce(ctx context.Context, hear func(string)) error {
	conn, err := pgx.ConnectConfig(ctx, d.listen.Copy())
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{d.schema}.Sanitize()); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	for {
		notification, err := conn.WaitForNotification(ctx)
		if err != nil {
			return fmt.Errorf("wait for notification: %w", err)
		}
		for hint := range strings.SplitSeq(notification.Payload, hintSeparator) {
			hear(hint)
		}
	}
}
