package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pocketflowgo/pocketflow/shared/storage/internal/sqlstore"
)

// A lost connection is made anew at this pace. Hints may be lost meanwhile,
// which listeners must bear anyway.
const listenRetryDelay = 500 * time.Millisecond

// Listen implements sqlstore.Driver. It has a connection of its own, outside
// the pool, for as long as it runs.
func (d *Driver) Listen(ctx context.Context, hear func(sqlstore.Hint)) error {
	d.hints.Listen(ctx, hear, d.listen)
	return nil
}

// listen brings the hints of other processes until the context ends.
func (d *Driver) listen(ctx context.Context, bring func(sqlstore.Hint)) {
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-retry.C:
		}
		// The error needs no report: when the database is away, every other
		// call says so.
		_ = d.listenOnce(ctx, bring)
		retry.Reset(listenRetryDelay)
	}
}

// listenOnce hears notifications until the connection or the context ends.
func (d *Driver) listenOnce(ctx context.Context, bring func(sqlstore.Hint)) error {
	conn, err := pgx.ConnectConfig(ctx, d.listening.Copy())
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
		for _, payload := range unpack(notification.Payload, d.sender) {
			bring(sqlstore.Hint{Payload: payload})
		}
	}
}

// unpack gives the hints of a notification; none when they are the own ones,
// which were heard when they were written. One without a sender is from the
// version before.
func unpack(notification, own string) []string {
	lines := strings.Split(notification, hintSeparator)
	if !strings.HasPrefix(lines[0], senderMark) {
		return lines
	}
	if lines[0] == own {
		return nil
	}
	return lines[1:]
}
