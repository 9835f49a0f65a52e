//go:build linux

package bench

import (
	"context"
	"testing"
	"time"
)

// asleep is a flow whose tasks wait from their creation on.
var asleep = workload{floor: "wait", end: "waiting", definition: `{
  "start": "only", "nodes": {"only": {"kind": "wait_event", "signal_key": "never"}}
}`}

// creation is W7.
func creation(b *testing.B, r *report) {
	systems := start(b, floorSQLite, allInOne)
	for _, s := range systems {
		s.createOnly(b, warmUp)
	}
	turns{
		b: b, name: "creation", systems: systems, span: 3 * time.Second,
		measure: func(s *system, d time.Duration) sample { return s.createOnly(b, d) },
		record:  r.addRate,
	}.run()
}

// createOnly has tasks created and nothing done with them.
func (s *system) createOnly(b *testing.B, d time.Duration) sample {
	b.Helper()
	version := s.version(b, asleep)
	s.forgetPeak(b)
	before, begin := s.usage(b), time.Now()
	tasks := s.create(b, version, inFlight, d, func(context.Context, made) error { return nil })
	took := time.Since(begin)
	got := sample{tasks: len(tasks), took: took, usage: s.usage(b).since(before)}
	s.awaitCount(b, version, asleep.end, len(tasks))
	s.verify(b, version, asleep, tasks)
	return got
}
