//go:build unix

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

const (
	// roundsVariable and seedVariable set how often the server is killed, and
	// repeat the moments of another run.
	roundsVariable = "POCKETFLOW_CHAOS_ROUNDS"
	seedVariable   = "POCKETFLOW_CHAOS_SEED"

	defaultRounds = 20
	shortRounds   = 3
	killsPerBatch = 5
	killBatchSize = 200
	// killDelay is how long each execution takes, so that some are under way
	// whenever the server dies.
	killDelay = 25 * time.Millisecond
)

func killRounds(t *testing.T) int {
	t.Helper()
	if text := os.Getenv(roundsVariable); text != "" {
		n, err := strconv.Atoi(text)
		require.NoError(t, err, roundsVariable)
		return n
	}
	if testing.Short() {
		return shortRounds
	}
	return defaultRounds
}

// seeded is a source of random numbers that a failed run can be repeated with.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err, seedVariable)
	}
	t.Logf("%s=%d repeats this run's moments", seedVariable, seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func TestKill_OfTheAllInOneLosesNothingAndAppliesNothingTwice(t *testing.T) {
	t.Parallel()
	random := seeded(t)
	server := suitetest.Serve(t, suitetest.Addr(t), suitetest.Command{
		Program: suitetest.PocketFlow, Args: []string{"serve", "--data=" + t.TempDir()},
	})
	client := suitetest.Connect(t, server.URL)

	begin, late := time.Now(), 0
	left := killRounds(t)
	for no := 1; left > 0; no++ {
		t.Run(fmt.Sprintf("Batch%d", no), func(t *testing.T) {
			journal := suitetest.NewJournal(t)
			worker := suitetest.Serve(t, suitetest.Addr(t), suitetest.Command{
				Program: suitetest.DemoWorker,
				Args:    []string{"--base=" + server.URL, "--journal=" + journal.Path, "--delay=" + killDelay.String()},
			})
			b := &batch{
				version: client.Publish(t, fmt.Sprintf("kill-%d", no), tripling),
				size:    killBatchSize, each: len(triplingNodes), journal: journal, schedulers: []*schedulerapi.Client{client.Tasks},
			}
			hits := b.endure(t, b.create, moments(random, min(left, killsPerBatch), b.steps()), server)
			late += min(left, killsPerBatch) - hits
			left -= hits
			b.awaitEnd(t, client.Tasks)
			b.verify(t, client.Tasks)
			require.Zero(t, worker.Stop(t))
		})
		require.False(t, t.Failed())
		require.Less(t, late, defaultRounds, "kills come too late to prove anything")
	}
	t.Logf("%d kills in the middle of work, %d too late to count, in %v", killRounds(t), late, time.Since(begin).Round(time.Millisecond))
}

// moments are numbers of executions, ascending.
func moments(random *rand.Rand, n, steps int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = 1 + random.IntN(steps-steps/10)
	}
	slices.Sort(all)
	return all
}

// endure lets the batch's clients work and kills one server after the other
// whenever so many executions have started. It returns how often a server died
// with work left to start.
func (b *batch) endure(t *testing.T, clients func(context.Context) error, moments []int, servers ...*suitetest.Server) (hits int) {
	t.Helper()
	var working errgroup.Group
	working.Go(func() error { return clients(t.Context()) })
	seen := map[string]bool{}
	var died []int
	for i, moment := range moments {
		server := servers[i%len(servers)]
		suitetest.Await(t, batchTimeout, func() error {
			if n := b.executions(t, seen); n < moment {
				return fmt.Errorf("%d of %d executions have started", n, moment)
			}
			return nil
		})
		server.Kill(t)
		n := b.executions(t, seen)
		died = append(died, n)
		if n < b.steps() {
			hits++
		}
		server.Restart(t)
	}
	require.NoError(t, working.Wait())
	t.Logf("killed after %v of %d executions, meant to be at %v", died, b.steps(), moments)
	return hits
}
