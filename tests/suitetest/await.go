//go:build unix

package suitetest

import (
	"testing"
	"time"
)

// glance is the time between two looks: short against anything that a process
// does, long against the work of looking.
const glance = 5 * time.Millisecond

// Await looks again and again until look returns nil, and fails the test with
// the last error when that takes too long.
func Await(t testing.TB, within time.Duration, look func() error) {
	t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	ticker := time.NewTicker(glance)
	defer ticker.Stop()
	for {
		err := look()
		if err == nil {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline.C:
			t.Fatalf("not within %v: %v", within, err)
		}
	}
}
