//go:build unix

package integration

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

// endure lets a load be worked at, and does something to the stack once that is
// well under way. It returns the load, all of which is done and right, and how
// many attempts were lost with a worker.
func (s *stack) endure(t *testing.T, name string, upset func()) (l *load, lost int) {
	t.Helper()
	l = newLoad(t, s, name, loadSize)
	begin := time.Now()
	before := l.executed(t)
	var creation errgroup.Group
	creation.Go(func() error { return l.create(t.Context(), loadPace) })
	suitetest.Await(t, batchTimeout, func() error {
		if n := l.executed(t) - before; n < loadSize/4 {
			return fmt.Errorf("%d executions have started", n)
		}
		return nil
	})
	upset()
	back, begun := time.Now(), l.executed(t)-before
	require.NoError(t, creation.Wait())
	l.awaitEnd(t)
	end := time.Now()
	lost = l.verify(t)
	t.Logf("%d of %d executions had begun after %v, when it was over; all was done %v later; "+
		"%d attempts were lost with a worker; requests repeated: %d without an answer, %d answered 503 (%v)",
		begun, l.size*len(triplingNodes), back.Sub(begin).Round(time.Millisecond), end.Sub(back).Round(time.Millisecond),
		lost, l.unanswered.Load(), l.unavailable.Load(), l.said.Load())
	return l, lost
}

// A rolling restart, as an upgrade makes it: one replica after the other is told
// to stop, and started again. No attempt is lost but at the only worker that is
// called, and no connection but to the only gateway. A request that the gateway
// finds no replica for is answered 503, which the client repeats.
func TestContainers_RollingRestartOfEachServiceUnderLoad(t *testing.T) {
	t.Parallel()
	s := startStack(t, inPairs)
	for _, p := range parts {
		t.Run(p.alias, func(t *testing.T) {
			l, lost := s.endure(t, "restart-"+p.alias, func() {
				for _, r := range s.replicas[p] {
					r.restart(t)
				}
			})
			if p != pushPart {
				require.Zero(t, lost, "attempts that had to be made again")
			}
			if p != gatewayPart {
				require.Zero(t, l.unanswered.Load(), "requests that were not answered")
			}
		})
	}
}

// Each container is killed and replaced by a new one, Postgres by one on the
// same volume.
func TestContainers_KillingAndRecreatingAnyOneLosesNothing(t *testing.T) {
	t.Parallel()
	s := startStack(t, inPairs)
	for _, r := range append(s.all(), s.postgres) {
		t.Run(r.name, func(t *testing.T) {
			_, _ = s.endure(t, "kill-"+r.name, func() {
				r.kill(t)
				r.recreate(t)
			})
		})
	}
}
