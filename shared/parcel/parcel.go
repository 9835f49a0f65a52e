// Package parcel says how what one service keeps for another is cut into
// calls: the sizes, the time that a call may take, and which answers mean that
// the content will not do; and it holds what waits for its first call. Keeping,
// repeating and acknowledging are the caller's affair.
package parcel

import (
	"time"

	"github.com/pocketflowgo/pocketflow/shared/errs"
)

const (
	// Bytes is the most that goes into one call, single larger items aside: well
	// within what a service reads, and few enough calls for many small items.
	Bytes = 1 << 20

	callTime   = 4 * time.Second
	timePerMiB = 2 * time.Second // some hundred times what an idle machine takes
)

// Pack splits items into parcels of at most Bytes, in order. An item over that
// has a parcel of its own.
func Pack[T any](items []T, size func(T) int) [][]T {
	var parcels [][]T
	start, total := 0, 0
	for i, item := range items {
		n := size(item)
		if i > start && total+n > Bytes {
			parcels = append(parcels, items[start:i])
			start, total = i, 0
		}
		total += n
	}
	if start < len(items) {
		parcels = append(parcels, items[start:])
	}
	return parcels
}

// CallTime bounds a call of so many bytes. It grows with them: a bound that a
// large item cannot meet would keep it from ever being delivered.
func CallTime(bytes int) time.Duration {
	return callTime + time.Duration(bytes>>20)*timePerMiB
}

// Refused tells a peer that says no to what it was sent from one that cannot
// take anything now.
func Refused(err error) bool {
	switch errs.CodeOf(err) {
	case errs.InvalidArgument, errs.MalformedBody, errs.UnknownField, errs.BodyTooLarge:
		return true
	default:
		return false
	}
}
