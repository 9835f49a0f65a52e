package sqlstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Who claims jobs of a service with a limit locks its row first and counts
// after that, so that claimers of one such service come one after another. Who
// ends claims locks no limit: it only makes room.

const selectLimitSQL = `
SELECT service, max_claimed, rate_per_second, burst, full_at, updated_at FROM service_limits `

const (
	listLimitsSQL = selectLimitSQL + `ORDER BY service`
	getLimitSQL   = selectLimitSQL + `WHERE service = $1`

	putLimitSQL = `
INSERT INTO service_limits (service, max_claimed, rate_per_second, burst, full_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (service) DO UPDATE SET max_claimed = excluded.max_claimed, rate_per_second = excluded.rate_per_second,
    burst = excluded.burst, full_at = excluded.full_at, updated_at = excluded.updated_at`

	deleteLimitSQL = `DELETE FROM service_limits WHERE service = $1`
	spendSQL       = `UPDATE service_limits SET full_at = $2 WHERE service = $1`

	// Reads the index jobs_claimed alone, and not even that without a MaxClaimed.
	countClaimedSQL = `
SELECT COUNT(*) FROM jobs WHERE status = 'claimed' AND result_hash = '' AND service = $1
    AND (SELECT max_claimed FROM service_limits WHERE service = $1) > 0`
)

// limitRow is a service's limit with the state of its rate, and how many of the
// service's jobs are claimed.
type limitRow struct {
	storage.ServiceLimit
	fullAt  int64
	claimed int
}

func scanLimit(row Row) (limitRow, error) {
	var limit limitRow
	err := row.Scan(&limit.Service, &limit.MaxClaimed, &limit.RatePerSecond, &limit.Burst, &limit.fullAt, intoTime(&limit.UpdatedAt))
	return limit, err
}

func (l *limitRow) bucket() rateBucket { return newRateBucket(l.RatePerSecond, l.Burst, l.fullAt) }

// places is how many jobs may be claimed, up to most.
func (l *limitRow) places(now time.Time, most int) int {
	if l.MaxClaimed > 0 {
		most = min(most, l.MaxClaimed-l.claimed)
	}
	return max(0, min(most, l.tokens(now, most)))
}

// tokens is how many the rate lets through, up to most.
func (l *limitRow) tokens(now time.Time, most int) int {
	if l.RatePerSecond == 0 {
		return most
	}
	bucket := l.bucket()
	return min(most, bucket.tokens(now))
}

// SetLimit implements storage.Queue.
func (q *Queue) SetLimit(ctx context.Context, limit storage.ServiceLimit) error {
	err := checkLimit(limit)
	if err == nil {
		err = q.Write(ctx, func(ctx context.Context, tx Tx) error {
			// Those who wait for room find out what has become of it.
			newJobHints(tx).ready(limit.Service)
			return q.setLimit(ctx, tx, limit)
		})
	}
	if err != nil {
		return fmt.Errorf("set limit: %w", err)
	}
	return nil
}

func checkLimit(limit storage.ServiceLimit) error {
	rate := limit.RatePerSecond
	switch {
	case limit.MaxClaimed < 0:
		return fmt.Errorf("%w: %d jobs claimed at once", storage.ErrInvalidData, limit.MaxClaimed)
	case rate == 0:
		return nil
	case !(rate >= storage.MinRatePerSecond && rate <= storage.MaxRatePerSecond): // neither is NaN
		return fmt.Errorf("%w: a rate of %v a second", storage.ErrInvalidData, rate)
	case limit.Burst < 1 || limit.Burst > storage.MaxBurst:
		return fmt.Errorf("%w: a burst of %d", storage.ErrInvalidData, limit.Burst)
	}
	return nil
}

func (q *Queue) setLimit(ctx context.Context, tx Tx, limit storage.ServiceLimit) error {
	if limit.MaxClaimed == 0 && limit.RatePerSecond == 0 {
		_, err := exec(ctx, tx, deleteLimitSQL, limit.Service)
		return err
	}
	before, err := queryAll(ctx, tx, scanLimit, getLimitSQL+q.Dialect().ForUpdate, limit.Service)
	if err != nil {
		return err
	}
	fullAt := int64(0)
	if limit.RatePerSecond == 0 {
		limit.Burst = 0
	} else if len(before) > 0 && before[0].RatePerSecond > 0 {
		bucket, old := newRateBucket(limit.RatePerSecond, limit.Burst, 0), before[0].bucket()
		bucket.inherit(limit.UpdatedAt, &old)
		fullAt = bucket.fullAt
	}
	_, err = exec(ctx, tx, putLimitSQL, limit.Service, limit.MaxClaimed, limit.RatePerSecond, limit.Burst, fullAt, micros(limit.UpdatedAt))
	return err
}

// ListLimits implements storage.Queue.
func (q *Queue) ListLimits(ctx context.Context) ([]storage.ServiceLimit, error) {
	rows, err := queryAll(ctx, q.Read(), scanLimit, listLimitsSQL)
	if err != nil {
		return nil, fmt.Errorf("list limits: %w", err)
	}
	limits := make([]storage.ServiceLimit, len(rows))
	for i := range rows {
		limits[i] = rows[i].ServiceLimit
	}
	return limits, nil
}

// readLimits reads the limits of the services that have one, with the number of
// their claims. suffix is how the rows are locked. Each count is a statement of
// its own, so that it sees what was committed while the lock was waited for.
func readLimits(ctx context.Context, tx Tx, services []string, suffix string) (map[string]*limitRow, error) {
	limits := make(map[string]*limitRow, len(services))
	if len(services) == 0 {
		return limits, nil
	}
	var batch Batch
	counts := make(map[string]int, len(services))
	services = slices.Sorted(slices.Values(services))
	for _, service := range services {
		batch.Query(func(row Row) error {
			limit, err := scanLimit(row)
			limits[service] = &limit
			return err
		}, getLimitSQL+suffix, service)
	}
	for _, service := range services {
		batch.Query(func(row Row) error {
			claimed, err := scanInt(row)
			counts[service] = int(claimed)
			return err
		}, countClaimedSQL, service)
	}
	if err := tx.Run(ctx, &batch); err != nil {
		return nil, err
	}
	for service, limit := range limits {
		limit.claimed = counts[service]
	}
	return limits, nil
}

// hintRoom tells those who wait for room in a limit that this job, as it is
// before the change, leaves its place.
func hintRoom(hints *jobHints, job *lockedJob) {
	if job.Status == storage.JobClaimed && job.maxClaimed != nil && *job.maxClaimed > 0 {
		hints.ready(job.Service)
	}
}
