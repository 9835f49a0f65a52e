//go:build linux

package bench

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

const (
	mostSchedulers = 3
	locksEvery     = 10 * time.Millisecond
)

// schedulers is W8.
func schedulers(b *testing.B, r *report) {
	systems := make([]*system, mostSchedulers)
	for i := range systems {
		addrs := make([]string, i+1)
		for j := range addrs {
			addrs[j] = suitetest.Addr(b)
		}
		// One is behind the balancer as well, so that its cost is in all.
		systems[i] = startServices(b, fivePostgres, addrs, balance(b, addrs)).named(schedulersOf(i+1), schedulersOf(1))
		systems[i].flood(b, steps, inFlight, warmUp)
	}
	seen := map[*system]locks{} // in all rounds so far: those of one are few
	turns{
		b: b, name: "throughput", systems: systems, span: 3 * time.Second,
		measure: func(s *system, d time.Duration) sample {
			stop := watchLocks(b, s)
			got := s.flood(b, steps, inFlight, d)
			seen[s] = seen[s].and(stop())
			return got
		},
		record: func(round int, s *system, got sample) {
			r.addRate(round, s, got)
			r.add(figure{setup: s.setup, against: s.setup, unit: lockShare, round: round, value: 100 * seen[s].share()})
			require.Zero(b, seen[s].deadlocks, "deadlocks of %s", s.setup)
		},
	}.run()
}

func schedulersOf(n int) setup {
	if n == 1 {
		return "1 scheduler"
	}
	return setup(fmt.Sprintf("%d schedulers", n))
}

// locks are what the sessions of a database were seen to do.
type locks struct{ active, waiting, deadlocks int }

func (l locks) and(other locks) locks {
	return locks{active: l.active + other.active, waiting: l.waiting + other.waiting, deadlocks: other.deadlocks}
}

// share is how much of their time sessions wait for the locks of others.
func (l locks) share() float64 { return float64(l.waiting) / float64(max(l.active, 1)) }

const (
	sessionsSQL = `SELECT COUNT(*), COUNT(*) FILTER (WHERE wait_event_type = 'Lock') FROM pg_stat_activity
WHERE datname = current_database() AND state = 'active' AND pid <> pg_backend_pid()`
	deadlocksSQL = `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`
)

// watchLocks looks at the sessions of the schedulers' database until the
// function that it returns is called.
func watchLocks(b *testing.B, s *system) func() locks {
	b.Helper()
	conn := connectPostgres(b, s.tasksDSN)
	ctx, stop := context.WithCancel(b.Context())
	var seen locks
	var watching errgroup.Group
	watching.Go(func() error {
		ticker := time.NewTicker(locksEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-ticker.C:
			}
			var active, waiting int
			// Without the watch's context, which would break the connection off.
			if err := conn.QueryRow(context.WithoutCancel(ctx), sessionsSQL).Scan(&active, &waiting); err != nil {
				return err
			}
			seen.active, seen.waiting = seen.active+active, seen.waiting+waiting
		}
	})
	return func() locks {
		stop()
		require.NoError(b, watching.Wait())
		require.NoError(b, conn.QueryRow(b.Context(), deadlocksSQL).Scan(&seen.deadlocks))
		return seen
	}
}

// balance listens at an address and hands the connections that it gets to the
// targets by turns, as a load balancer in front of replicas does. It returns its
// URL.
func balance(b *testing.B, targets []string) string {
	b.Helper()
	var lc net.ListenConfig
	listener, err := lc.Listen(b.Context(), "tcp", "127.0.0.1:0")
	require.NoError(b, err)
	var (
		turn  atomic.Int64
		pipes sync.WaitGroup
		mu    sync.Mutex
		open  []net.Conn
	)
	keep := func(conn net.Conn) net.Conn {
		mu.Lock()
		defer mu.Unlock()
		open = append(open, conn)
		return conn
	}
	pipes.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return // closed
			}
			keep(near)
			var dialer net.Dialer
			far, err := dialer.DialContext(context.Background(), "tcp", targets[int(turn.Add(1))%len(targets)])
			if err != nil {
				near.Close()
				continue
			}
			keep(far)
			pipes.Go(func() { pipe(near, far) })
			pipes.Go(func() { pipe(far, near) })
		}
	})
	b.Cleanup(func() {
		listener.Close()
		mu.Lock()
		for _, conn := range open {
			conn.Close()
		}
		mu.Unlock()
		pipes.Wait()
	})
	return "http://" + listener.Addr().String()
}

// pipe hands on what comes until one side closes, and closes the other.
func pipe(from, to net.Conn) {
	_, _ = io.Copy(to, from) // either side may end it
	to.Close()
	from.Close()
}
