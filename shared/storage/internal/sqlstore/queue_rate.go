package sqlstore

import (
	"math"
	"time"
)

// rateBucket is a token bucket, told by one number: the time at which it is
// full again. A token is one interval; what is missing of the burst is the time
// that fullAt lies ahead. So filling writes nothing, sums are exact, and
// however the clocks of two processes differ, the tokens taken in any window of
// their times fit into it, since each moves fullAt on by an interval and none
// moves it further ahead of its own time than the burst.
type rateBucket struct {
	interval int64 // nanoseconds that one token takes
	burst    int
	fullAt   int64 // nanoseconds since 1970
}

func newRateBucket(perSecond float64, burst int, fullAt int64) rateBucket {
	// Rounded up: never faster than allowed.
	return rateBucket{interval: int64(math.Ceil(float64(time.Second) / perSecond)), burst: burst, fullAt: fullAt}
}

// missing is how far the bucket is from full, in nanoseconds.
func (b *rateBucket) missing(now time.Time) int64 { return max(0, b.fullAt-now.UnixNano()) }

// tokens is how many may be taken.
func (b *rateBucket) tokens(now time.Time) int {
	return max(0, int((int64(b.burst)*b.interval-b.missing(now))/b.interval))
}

func (b *rateBucket) take(now time.Time, tokens int) {
	b.fullAt = now.UnixNano() + b.missing(now) + int64(tokens)*b.interval
}

// nextToken is the first time, to the microsecond, at which a bucket without a
// token has one.
func (b *rateBucket) nextToken(now time.Time) time.Time {
	wait := time.Duration(b.missing(now) - int64(b.burst-1)*b.interval)
	return now.Add((wait + time.Microsecond - 1).Truncate(time.Microsecond))
}

// inherit takes over what another bucket, the one before, has at this time.
func (b *rateBucket) inherit(now time.Time, before *rateBucket) {
	if before.interval == b.interval && before.burst == b.burst {
		b.fullAt = before.fullAt
		return
	}
	b.fullAt = now.UnixNano()
	b.take(now, b.burst-min(b.burst, before.tokens(now)))
}
