package sqlstore

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

var bucketStart = time.Date(2026, time.March, 4, 5, 6, 7, 0, time.UTC)

// Takers whose clocks differ and go astray a little take what they can at any
// times: no window of the times they say holds more than burst and rate allow.
func TestRateBucket_NoWindowHoldsMore(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.SampledFrom([]float64{storage.MinRatePerSecond, 0.3, 1, 3, 7.5, 1000, storage.MaxRatePerSecond}).Draw(t, "rate")
		bucket := newRateBucket(rate, rapid.IntRange(1, 5).Draw(t, "burst"), 0)
		interval := time.Duration(bucket.interval)
		var times []time.Time
		now := bucketStart
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(2*interval)).Draw(t, "passes")))
			skew := time.Duration(rapid.Int64Range(-int64(time.Second), int64(time.Second)).Draw(t, "skew"))
			said := now.Add(skew).Truncate(time.Microsecond)
			take := min(bucket.tokens(said), rapid.IntRange(1, 3).Draw(t, "want"))
			if take == 0 {
				next := bucket.nextToken(said)
				require.True(t, next.After(said))
				require.Equal(t, 1, bucket.tokens(next))
				require.Zero(t, bucket.tokens(next.Add(-time.Microsecond)))
				continue
			}
			bucket.take(said, take)
			for range take {
				times = append(times, said)
			}
		}
		for _, from := range times {
			for _, to := range times {
				count := 0
				for _, taken := range times {
					if !taken.Before(from) && !taken.After(to) {
						count++
					}
				}
				allowed := float64(bucket.burst) + math.Max(0, to.Sub(from).Seconds())*rate
				require.LessOrEqual(t, float64(count), allowed+1e-6)
			}
		}
	})
}

func TestRateBucket_ChangeKeepsTheTokens(t *testing.T) {
	t.Parallel()
	before := newRateBucket(1, 5, 0)
	before.take(bucketStart, 3)
	for burst, want := range map[int]int{1: 1, 5: 2, 100: 2} {
		after := newRateBucket(10, burst, 0)
		after.inherit(bucketStart, &before)
		require.Equal(t, want, after.tokens(bucketStart), "burst %d", burst)
	}
	same := newRateBucket(1, 5, 0)
	same.inherit(bucketStart.Add(300*time.Millisecond), &before)
	require.Equal(t, before, same, "to the nanosecond")
}

func TestRateBucket_BoundsDoNotOverflow(t *testing.T) {
	t.Parallel()
	bucket := newRateBucket(storage.MinRatePerSecond, storage.MaxBurst, 0)
	bucket.take(bucketStart, storage.MaxBurst)
	require.Zero(t, bucket.tokens(bucketStart))
	require.Equal(t, bucketStart.Add(100_000*time.Second), bucket.nextToken(bucketStart))
	require.Equal(t, storage.MaxBurst, bucket.tokens(bucketStart.Add(100_000*storage.MaxBurst*time.Second)))
}
