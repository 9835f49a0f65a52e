package sqlstore

import (
	"context"
	"fmt"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// countStatus is a text for each status, so that each reads its own part of the
// index and none that of the finished tasks, which are nearly all. The values are
// in the text: not knowing them, Postgres reads the whole table.
func countStatus(status storage.TaskStatus) string {
	return fmt.Sprintf(`SELECT COUNT(*) FROM (SELECT 1 FROM tasks WHERE status = '%s' LIMIT %d) t`, status, storage.MaxCounted)
}

const (
	countOutboxSQL  = `SELECT COUNT(*) FROM (SELECT 1 FROM outbox LIMIT $1) o`
	oldestOutboxSQL = `SELECT id FROM outbox ORDER BY id LIMIT 1`
)

// Stats implements storage.Tasks.
func (t *Tasks) Stats(ctx context.Context) (storage.TaskStats, error) {
	stats := storage.TaskStats{Unfinished: map[storage.TaskStatus]int{}}
	var batch Batch
	for _, status := range storage.TaskStatuses {
		if status.Terminal() {
			continue
		}
		batch.Query(func(row Row) error {
			var count int
			err := row.Scan(&count)
			stats.Unfinished[status] = count
			return err
		}, countStatus(status))
	}
	batch.Query(func(row Row) error { return row.Scan(intoTime(&stats.NextRunnable)) }, nextRunnableSQL)
	batch.Query(func(row Row) error { return row.Scan(&stats.Outbox) }, countOutboxSQL, storage.MaxCounted)
	batch.Query(func(row Row) error { return row.Scan(&stats.OldestOutbox) }, oldestOutboxSQL)
	if err := t.Read().Run(ctx, &batch); err != nil {
		return storage.TaskStats{}, fmt.Errorf("task stats: %w", err)
	}
	return stats, nil
}
