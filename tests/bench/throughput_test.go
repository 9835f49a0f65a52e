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
)

// throughput is W1.
func throughput(b *testing.B, r *report) {
	systems := start(b, floorSQLite, allInOne, fiveSQLite, floorPostgres, fivePostgres)
	for _, s := range systems {
		s.flood(b, steps, inFlight, warmUp)
	}
	floods(b, r, systems, 3*time.Second)
}

// floods measures throughput.
func floods(b *testing.B, r *report, systems []*system, d time.Duration) {
	b.Helper()
	byTurns(systems, func(round int, s *system) {
		got := s.flood(b, steps, inFlight, span(d))
		r.add(figure{
			setup: s.setup, against: s.against, unit: tasksPerSecond,
			round: round, value: got.rate(), tasks: got.tasks, usage: got.usage,
		})
	})
}

// latency is W2.
func latency(b *testing.B, r *report) {
	systems := start(b, floorSQLite, allInOne, fiveSQLite)
	for _, s := range systems {
		s.oneByOne(b, warmUp)
	}
	latencies(b, r, systems)
}

// latencySlices are the parts of a round, in each of which all systems have
// their turn: what holds up the disk for a second is then in all of them.
const latencySlices = 3

// latencies measures tasks one at a time.
func latencies(b *testing.B, r *report, systems []*system) {
	b.Helper()
	for round := range *rounds {
		took, used := map[*system][]time.Duration{}, map[*system]usage{}
		for range latencySlices {
			for _, s := range systems {
				slice, of := s.oneByOne(b, span(time.Second))
				took[s], used[s] = append(took[s], slice...), used[s].and(of)
			}
		}
		for _, s := range systems {
			r.addPercentiles(percentiles{setup: s.setup, against: s.against, round: round, took: took[s], usage: used[s]})
		}
	}
}

// oneByOne runs one task after the other and returns how long each took, from
// its creation until its end is read. The server is asked
// for the task only once the worker has answered the last step: to ask before
// would take processor time from what is measured.
func (s *system) oneByOne(b *testing.B, d time.Duration) (took []time.Duration, of usage) {
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
				took = append(took, now.Sub(began))
				began = now // the next is created at once
				return nil
			case got.FinishedAt != 0:
				return fmt.Errorf("task %s is %s", task.id, got.Status)
			}
		}
	})
	of = s.usage(b).since(before)
	require.Len(b, took, len(tasks))
	s.awaitCount(b, version, "completed", len(tasks))
	s.verify(b, version, steps, tasks)
	return took, of
}
