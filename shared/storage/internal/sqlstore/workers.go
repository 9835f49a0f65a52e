package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Workers implements storage.Workers.
type Workers struct {
	*DB
}

var _ storage.Workers = (*Workers)(nil)

// NewWorkers makes the registry's role of its database.
func NewWorkers(db *DB) *Workers { return &Workers{DB: db} }

const upsertWorkerSQL = `
INSERT INTO workers (id, url, services, type, load, max_concurrency, labels, registered_at, last_heartbeat)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (id) DO UPDATE SET
    url = excluded.url, services = excluded.services, type = excluded.type, load = excluded.load,
    max_concurrency = excluded.max_concurrency, labels = excluded.labels, last_heartbeat = excluded.last_heartbeat`

// UpsertWorkers implements storage.Workers.
func (w *Workers) UpsertWorkers(ctx context.Context, workers []storage.Worker) error {
	if len(workers) == 0 {
		return nil
	}
	var batch Batch
	for _, i := range keyOrder(len(workers), func(i int) string { return workers[i].ID }) {
		worker := workers[i]
		services, labels, err := encodeWorker(worker)
		if err != nil {
			return fmt.Errorf("upsert worker %s: %w", worker.ID, err)
		}
		batch.Exec(upsertWorkerSQL, worker.ID, clean(worker.URL), services, string(worker.Type), worker.Load,
			worker.MaxConcurrency, labels, micros(worker.RegisteredAt), micros(worker.LastHeartbeat))
	}
	err := w.Write(ctx, func(ctx context.Context, tx Tx) error { return tx.Finish(ctx, &batch) })
	if err != nil {
		return fmt.Errorf("upsert workers: %w", err)
	}
	return nil
}

const recordHeartbeatSQL = `
UPDATE workers SET
    load = $2,
    url = CASE WHEN $3 = '' THEN url ELSE $3 END,
    last_heartbeat = CASE WHEN last_heartbeat < $4 THEN $4 ELSE last_heartbeat END
WHERE id = $1`

// RecordHeartbeats implements storage.Workers.
func (w *Workers) RecordHeartbeats(ctx context.Context, beats []storage.Heartbeat) (storage.Outcomes, error) {
	outcomes, err := w.eachRow(ctx, len(beats), func(i int) string { return beats[i].ID },
		func(batch *Batch, affected *int64, i int) {
			beat := beats[i]
			batch.ExecCount(affected, recordHeartbeatSQL, beat.ID, beat.Load, clean(beat.URL), micros(beat.At))
		})
	if err != nil {
		return nil, fmt.Errorf("record heartbeats: %w", err)
	}
	return outcomes, nil
}

const listWorkersSQL = `
SELECT id, url, services, type, load, max_concurrency, labels, registered_at, last_heartbeat
FROM workers WHERE last_heartbeat >= $1 ORDER BY id`

// ListWorkers implements storage.Workers.
func (w *Workers) ListWorkers(ctx context.Context, heardSince time.Time) ([]storage.Worker, error) {
	since := int64(0) // no heartbeat is older
	if !heardSince.IsZero() {
		since = heardSince.UnixMicro()
	}
	workers, err := queryAll(ctx, w.Read(), scanWorker, listWorkersSQL, since)
	if err != nil {
		return nil, fmt.Errorf("list workers: %w", err)
	}
	return workers, nil
}

const deleteWorkerSQL = `DELETE FROM workers WHERE id = $1`

// DeleteWorkers implements storage.Workers.
func (w *Workers) DeleteWorkers(ctx context.Context, ids []string) (storage.Outcomes, error) {
	outcomes, err := w.eachRow(ctx, len(ids), func(i int) string { return ids[i] },
		func(batch *Batch, affected *int64, i int) {
			batch.ExecCount(affected, deleteWorkerSQL, ids[i])
		})
	if err != nil {
		return nil, fmt.Errorf("delete workers: %w", err)
	}
	return outcomes, nil
}

const pruneWorkersSQL = `DELETE FROM workers WHERE last_heartbeat < $1`

// PruneWorkers implements storage.Workers.
func (w *Workers) PruneWorkers(ctx context.Context, heardBefore time.Time) (int, error) {
	var pruned int64
	err := w.Write(ctx, func(ctx context.Context, tx Tx) error {
		var err error
		pruned, err = exec(ctx, tx, pruneWorkersSQL, heardBefore.UnixMicro())
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("prune workers: %w", err)
	}
	return int(pruned), nil
}

// eachRow runs one statement per item, in order of the rows' keys; an item
// whose statement wrote no row is ErrNotFound.
func (w *Workers) eachRow(ctx context.Context, n int, key func(i int) string, add func(batch *Batch, affected *int64, i int)) (storage.Outcomes, error) {
	outcomes := make(storage.Outcomes, n)
	if n == 0 {
		return outcomes, nil
	}
	err := w.Write(ctx, func(ctx context.Context, tx Tx) error {
		var batch Batch
		affected := make([]int64, n)
		for _, i := range keyOrder(n, key) {
			if storable(key(i)) {
				add(&batch, &affected[i], i)
			}
		}
		if err := tx.Run(ctx, &batch); err != nil {
			return err
		}
		for i := range affected {
			outcomes[i] = nil
			if affected[i] == 0 {
				outcomes[i] = storage.ErrNotFound
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return outcomes, nil
}

// encodeWorker makes the JSON columns: an array and an object, never null.
func encodeWorker(worker storage.Worker) (services, labels string, err error) {
	list, err := json.Marshal(append([]string{}, worker.Services...))
	if err != nil {
		return "", "", fmt.Errorf("encode services: %w", err)
	}
	if len(worker.Labels) == 0 {
		return string(list), "{}", nil
	}
	object, err := json.Marshal(worker.Labels)
	if err != nil {
		return "", "", fmt.Errorf("encode labels: %w", err)
	}
	return string(list), string(object), nil
}

func scanWorker(row Row) (storage.Worker, error) {
	var worker storage.Worker
	var kind, services, labels string
	err := row.Scan(&worker.ID, &worker.URL, &services, &kind, &worker.Load, &worker.MaxConcurrency, &labels,
		intoTime(&worker.RegisteredAt), intoTime(&worker.LastHeartbeat))
	if err != nil {
		return storage.Worker{}, err
	}
	worker.Type = storage.WorkerType(kind)
	if err := json.Unmarshal([]byte(services), &worker.Services); err != nil {
		return storage.Worker{}, fmt.Errorf("services of worker %s: %w", worker.ID, err)
	}
	if err := json.Unmarshal([]byte(labels), &worker.Labels); err != nil {
		return storage.Worker{}, fmt.Errorf("labels of worker %s: %w", worker.ID, err)
	}
	return worker, nil
}

// keyOrder is the order in which a batch touches its rows: by key, and within
// one key as given.
func keyOrder(n int, key func(i int) string) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return strings.Compare(key(a), key(b)) })
	return order
}
