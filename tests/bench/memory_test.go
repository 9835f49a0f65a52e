//go:build linux

package bench

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

const (
	memoryEvery = 250 * time.Millisecond
	// calmDown passes before the server counts as idle, which is then watched.
	calmDown = 5 * time.Second
	idleFor  = 10 * time.Second
	// memoryWarmUp fills what has a bound, such as caches.
	memoryWarmUp = 3 * time.Second
)

// memory is what the all-in-one server holds while it works and while it has
// nothing to do. It has no floor: that need not hold anything.
func memory(b *testing.B, r *report) {
	s := startAllInOne(b)
	add := func(of setup, unit unit, value float64) {
		r.add(figure{setup: of, against: of, unit: unit, value: value})
	}
	resident := func() float64 { return float64(s.servers[0].Usage(b).Resident) / (1 << 20) }
	add("idle after the start", megabytes, resident())
	s.flood(b, steps, inFlight, memoryWarmUp)

	held := sampleMemory(b, s.servers[0].Process)
	got := s.flood(b, steps, inFlight, span(15*time.Second))
	resided := held()
	third := len(resided) / 3
	add("peak in W1", megabytes, float64(got.usage.peak)/(1<<20))
	add("last third of W1 to first", times, median(resided[len(resided)-third:])/median(resided[:third]))

	<-time.After(calmDown)
	before := s.servers[0].CPU(b)
	<-time.After(idleFor)
	used := s.servers[0].CPU(b) - before
	add("idle after W1", megabytes, resident())
	add("idle after W1", cpuShare, 100*used.Seconds()/idleFor.Seconds())
}

// sampleMemory looks at what a process holds, in MB, until the function that it
// returns is called.
func sampleMemory(b *testing.B, p *suitetest.Process) func() []float64 {
	b.Helper()
	ctx, stop := context.WithCancel(b.Context())
	var held []float64
	var sampling errgroup.Group
	sampling.Go(func() error {
		ticker := time.NewTicker(memoryEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-ticker.C:
			}
			bytes, err := p.Resident()
			if err != nil {
				return err
			}
			held = append(held, float64(bytes)/(1<<20))
		}
	})
	return func() []float64 {
		stop()
		require.NoError(b, sampling.Wait())
		return held
	}
}
