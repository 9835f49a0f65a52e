package sqlstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// One text for each status, so that each reads the partial index of its own and
// none the finished jobs.
const (
	pendingStatsSQL = `
SELECT service, COUNT(*), SUM(CASE WHEN available_at <= $1 THEN 1 ELSE 0 END),
    MIN(CASE WHEN available_at <= $1 THEN available_at END)
FROM jobs WHERE status = 'pending' GROUP BY service`
	claimedStatsSQL = `SELECT service, COUNT(*) FROM jobs WHERE status = 'claimed' AND result_hash = '' GROUP BY service`
	deadStatsSQL    = `SELECT service, COUNT(*) FROM jobs WHERE status = 'dead' GROUP BY service`
)

// Stats implements storage.Queue.
func (q *Queue) Stats(ctx context.Context, now time.Time) ([]storage.ServiceStats, error) {
	services := map[string]*storage.ServiceStats{}
	of := func(service string) *storage.ServiceStats {
		if services[service] == nil {
			services[service] = &storage.ServiceStats{Service: service}
		}
		return services[service]
	}

	var batch Batch
	batch.Query(func(row Row) error {
		var service string
		var pending, ready int
		var oldest time.Time
		if err := row.Scan(&service, &pending, &ready, intoTime(&oldest)); err != nil {
			return err
		}
		stats := of(service)
		stats.Ready, stats.Delayed, stats.OldestReadyAt = ready, pending-ready, oldest
		return nil
	}, pendingStatsSQL, micros(now))
	batch.Query(func(row Row) error {
		var service string
		var claimed int
		err := row.Scan(&service, &claimed)
		of(service).Claimed = claimed
		return err
	}, claimedStatsSQL)
	batch.Query(func(row Row) error {
		var service string
		var dead int
		err := row.Scan(&service, &dead)
		of(service).Dead = dead
		return err
	}, deadStatsSQL)
	if err := q.Read().Run(ctx, &batch); err != nil {
		return nil, fmt.Errorf("queue stats: %w", err)
	}

	list := make([]storage.ServiceStats, 0, len(services))
	for _, stats := range services {
		list = append(list, *stats)
	}
	slices.SortFunc(list, func(a, b storage.ServiceStats) int { return cmp.Compare(a.Service, b.Service) })
	return list, nil
}
