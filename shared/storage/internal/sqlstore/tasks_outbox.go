package sqlstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

const outboxColumns = `id, task_id, kind, payload, next_at, attempts`

func scanOutbox(row Row) (storage.OutboxMessage, error) {
	var message storage.OutboxMessage
	var kind string
	err := row.Scan(&message.ID, &message.TaskID, &kind, (*[]byte)(&message.Payload),
		intoTime(&message.NextAt), &message.Attempts)
	message.Kind = storage.OutboxKind(kind)
	return message, err
}

// A repeated step leaves a message that is still there as it is.
const insertOutboxSQL = `
INSERT INTO outbox (` + outboxColumns + `) VALUES ($1, $2, $3, $4, $5, 0) ON CONFLICT DO NOTHING`

func addOutbox(batch *Batch, messages []storage.OutboxMessage) {
	for i := range messages {
		message := &messages[i]
		batch.Exec(insertOutboxSQL, message.ID, message.TaskID, string(message.Kind), text(message.Payload), micros(message.NextAt))
	}
}

const (
	dueOutboxSQL = `SELECT ` + outboxColumns + ` FROM outbox WHERE next_at <= $1 ORDER BY next_at, id LIMIT $2 + 0`

	claimOutboxSQL = `UPDATE outbox SET next_at = $2, attempts = $3 WHERE id = $1`
)

// ClaimOutbox implements storage.Tasks.
func (t *Tasks) ClaimOutbox(ctx context.Context, now, until time.Time, limit int) ([]storage.OutboxMessage, error) {
	var messages []storage.OutboxMessage
	err := t.Write(ctx, func(ctx context.Context, tx Tx) error {
		var err error
		messages, err = queryAll(ctx, tx, scanOutbox, dueOutboxSQL+t.Dialect().SkipLocked, micros(now), limit)
		if err != nil {
			return err
		}
		var updates Batch
		for i := range messages {
			messages[i].NextAt = until
			messages[i].Attempts++
			updates.Exec(claimOutboxSQL, messages[i].ID, micros(until), messages[i].Attempts)
		}
		return tx.Finish(ctx, &updates)
	})
	if err != nil {
		return nil, fmt.Errorf("claim outgoing messages: %w", err)
	}
	return messages, nil
}

const ackOutboxSQL = `DELETE FROM outbox WHERE id = $1`

// AckOutbox implements storage.Tasks.
func (t *Tasks) AckOutbox(ctx context.Context, ids []string) error {
	ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !storable(id) })
	slices.Sort(ids)
	err := t.Write(ctx, func(ctx context.Context, tx Tx) error {
		var deletes Batch
		for _, id := range ids {
			deletes.Exec(ackOutboxSQL, id)
		}
		return tx.Finish(ctx, &deletes)
	})
	if err != nil {
		return fmt.Errorf("acknowledge outgoing messages: %w", err)
	}
	return nil
}
