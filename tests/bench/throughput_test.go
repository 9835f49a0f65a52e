//go:build linux

package bench

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	inFlight = 64
	// warmUp is left out of what is measured: connections, plans, caches.
	warmUp = 500 * time.Millisecond
	// askPause is what passes before a client that waits for the end of its task
	// asks again.
	askPause = 200 * time.Microsecond
)

// throughput is W1.
func throughput(b *testing.B, r *report) {
	for _, on := range []struct {
		name  string
		kinds []setup
	}{
		{"SQLite", []setup{floorSQLite, allInOne, fiveSQLite}},
		{"Postgres", []setup{floorPostgres, fivePostgres}}, // skipped where there is none
	} {
		b.Run(on.name, func(b *testing.B) {
			systems := start(b, on.kinds...)
			for _, s := range systems {
				s.flood(b, steps, inFlight, warmUp)
			}
			floods(b, r, systems, 3*time.Second)
		})
	}
}

// floods measures throughput.
func floods(b *testing.B, r *report, systems []*system, d time.Duration) {
	b.Helper()
	turns{
		b: b, name: "throughput", systems: systems, span: d,
		measure: func(s *system, d time.Duration) sample { return s.flood(b, steps, inFlight, d) },
		record:  r.addRate,
	}.run()
}

// latency is W2.
func latency(b *testing.B, r *report) {
	systems := start(b, floorSQLite, allInOne, fiveSQLite)
	for _, s := range systems {
		s.oneByOne(b, warmUp)
	}
	latencies(b, r, systems)
}

// latencies measures tasks one at a time.
func latencies(b *testing.B, r *report, systems []*system) {
	b.Helper()
	turns{
		b: b, name: "latency", systems: systems, span: 3 * time.Second,
		measure: func(s *system, d time.Duration) sample { return s.oneByOne(b, d) },
		record:  r.addPercentiles,
	}.run()
}

// oneByOne runs one task after the other and returns how long each took, from
// its creation until its end is read. The server is asked
// for the task only once the worker has answered the last step, and not without
// a pause: to ask takes processor time from what is measured.
func (s *system) oneByOne(b *testing.B, d time.Duration) (all sample) {
	b.Helper()
	version := s.version(b, steps)
	s.forgetPeak(b)
	before := s.usage(b)
	began := time.Now()
	tasks := s.create(b, version, 1, d, func(ctx context.Context, task made) error {
		<-s.account.await(task.id, steps.effects)
		for {
			got, err := s.client.Tasks.GetTask(ctx, task.id)
			switch {
			case err != nil:
				return err
			case got.Status == "completed":
				now := time.Now()
				all.each = append(all.each, now.Sub(began))
				began = now // the next is created at once
				return nil
			case got.FinishedAt != 0:
				return fmt.Errorf("task %s is %s", task.id, got.Status)
			}
			<-time.After(askPause)
		}
	})
	all.usage, all.tasks = s.usage(b).since(before), len(tasks)
	require.Len(b, all.each, len(tasks))
	s.awaitCount(b, version, "completed", len(tasks))
	s.verify(b, version, steps, tasks)
	return all
}
