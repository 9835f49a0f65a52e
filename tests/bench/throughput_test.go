//go:build linux

package bench

import (
	"context"
	"fmt"
	"slices"
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
	byTurns(systems, func(round int, s *system) {
		got := s.flood(b, steps, inFlight, span(3*time.Second))
		r.add(figure{setup: s.setup, unit: tasksPerSecond, round: round, value: got.rate(), tasks: got.tasks, usage: got.usage})
	})
}

// latency is W2.
func latency(b *testing.B, r *report) {
	systems := start(b, floorSQLite, allInOne, fiveSQLite)
	for _, s := range systems {
		s.oneByOne(b, warmUp)
	}
	byTurns(systems, func(round int, s *system) {
		took, of := s.oneByOne(b, span(3*time.Second))
		r.addPercentiles(s.setup, round, took, of)
	})
}

// oneByOne runs one task after the other and returns how long each took, from
// its creation until its end is read, shortest first. The server is asked
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
	slices.Sort(took)
	return took, of
}
