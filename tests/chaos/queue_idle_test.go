//go:build linux

package chaos

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5" //nolint:depguard // looks at databases from outside, as no role can
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

const (
	idlePolls = 500
	// idleWait is longer than the test watches.
	idleWait = time.Minute
	// idleQuiet without a tick of processor time says that nothing is left to do.
	idleQuiet = 300 * time.Millisecond

	pickups = 200
	// pickupPause lets the waiter's next poll arrive before its job.
	pickupPause = 5 * time.Millisecond
	// absurdPickup is far above what is promised, which the benchmarks measure:
	// a job is found at once and not by the floor poll.
	absurdPickup = 500 * time.Millisecond
)

// It runs before the parallel tests, as it measures.
func TestQueueIdle_WaitingPollsCostNothingAndGetJobsAtOnce(t *testing.T) { //nolint:paralleltest // see above
	for _, d := range drivers {
		t.Run(string(d), func(t *testing.T) { waitForJobs(t, newIdling(t, d)) })
	}
}

// idling is a queue-gateway by itself.
type idling struct {
	*suitetest.Server
	client *queueapi.Client
	dsn    string // of its database on Postgres
	data   string // its directory on SQLite
}

func newIdling(t *testing.T, d driver) idling {
	t.Helper()
	db := d.fresh(t, "queue")
	server := suitetest.Serve(t, suitetest.Addr(t), suitetest.Command{
		Program: suitetest.Queue, Args: []string{"--db=" + db, "--scheduler-url=" + newResults(t).url},
	})
	q := idling{Server: server, client: connectQueue(t, server.URL)}
	if d == onPostgres {
		q.dsn = db
	} else {
		q.data = filepath.Dir(db)
	}
	return q
}

func waitForJobs(t *testing.T, q idling) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	waiting := q.waiters(ctx, t)
	q.settle(t)
	cpu, changed := q.watch(t)
	t.Logf("processor time in %v with %d polls that wait: %v", idleWindow, idlePolls, cpu)
	require.Empty(t, changed, "written while polls wait")
	require.Less(t, cpu, time.Duration(idleShare*float64(idleWindow)))

	took := q.pickUp(t)
	slices.Sort(took)
	p99 := took[len(took)*99/100]
	t.Logf("a job was with its worker after %v (median), %v (p99), %v (at most), from before it was put",
		took[len(took)/2].Round(10*time.Microsecond), p99.Round(10*time.Microsecond), took[len(took)-1].Round(10*time.Microsecond))
	require.Less(t, p99, absurdPickup)
	stop()
	require.NoError(t, waiting.Wait())
}

// waiters start the polls that wait, for nothing, and return when the requests
// of all are sent. The group ends with ctx.
func (q idling) waiters(ctx context.Context, t *testing.T) *errgroup.Group {
	t.Helper()
	var sent atomic.Int64
	client, err := queueapi.NewClient(q.URL, &http.Client{Transport: &announcing{sent: &sent}})
	require.NoError(t, err)
	group := &errgroup.Group{}
	for i := range idlePolls {
		group.Go(func() error {
			jobs, err := client.Poll(ctx, queueapi.PollParams{
				WorkerID: "idle-" + strconv.Itoa(i), Services: []string{"idle-" + strconv.Itoa(i%10)}, Wait: idleWait,
			})
			if ctx.Err() == nil {
				return fmt.Errorf("poll ended with %d jobs: %w", len(jobs), err)
			}
			return nil
		})
	}
	suitetest.Await(t, taskTimeout, func() error {
		if n := sent.Load(); n != idlePolls {
			return fmt.Errorf("%d polls are sent", n)
		}
		return nil
	})
	return group
}

// announcing counts requests that are about to be sent. Each has a connection of
// its own.
type announcing struct{ sent *atomic.Int64 }

func (a *announcing) RoundTrip(r *http.Request) (*http.Response, error) {
	transport := &http.Transport{DisableKeepAlives: true}
	a.sent.Add(1)
	return transport.RoundTrip(r)
}

// settle waits until the server has had nothing to do for a while: what the
// polls' arrival costs is over.
func (q idling) settle(t *testing.T) {
	t.Helper()
	used, since := time.Duration(-1), time.Now()
	suitetest.Await(t, taskTimeout, func() error {
		if now := q.CPU(t); now != used {
			used, since = now, time.Now()
		}
		if quiet := time.Since(since); quiet < idleQuiet {
			return fmt.Errorf("it has been quiet for %v", quiet)
		}
		return nil
	})
}

// watch lets the server be for a while and returns the processor time that it
// used and what it changed in its database.
func (q idling) watch(t *testing.T) (cpu time.Duration, changed []string) {
	t.Helper()
	if q.dsn == "" {
		return watch(t, suite{Server: q.Server, data: q.data})
	}
	before, used := q.rows(t), q.CPU(t)
	<-time.After(idleWindow)
	cpu = q.CPU(t) - used
	for table, now := range q.rows(t) {
		if !slices.Equal(before[table], now) {
			changed = append(changed, table)
		}
	}
	return cpu, changed
}

// rows are those of the queue's tables, each behind the number of the
// transaction that wrote it.
func (q idling) rows(t *testing.T) map[string][]string {
	t.Helper()
	db, all := pair{dsn: q.dsn}, map[string][]string{}
	for _, table := range db.query(t, `SELECT tablename::text FROM pg_tables WHERE schemaname = 'queue'`) {
		all[table] = db.query(t, `SELECT r.xmin::text || ' ' || r::text FROM `+pgx.Identifier{"queue", table}.Sanitize()+` AS r ORDER BY 1`)
	}
	require.NotEmpty(t, all)
	return all
}

// pickUp puts jobs for one who waits, and returns how long each took from before
// it was put until the worker had it.
func (q idling) pickUp(t *testing.T) []time.Duration {
	t.Helper()
	arrived := make(chan time.Time, 1)
	var polling errgroup.Group
	polling.Go(func() error {
		for range pickups {
			jobs, err := q.client.Poll(t.Context(), queueapi.PollParams{WorkerID: "ready", Services: []string{"picked"}, Wait: idleWait})
			if err != nil || len(jobs) != 1 {
				return fmt.Errorf("poll: %d jobs: %w", len(jobs), err)
			}
			arrived <- time.Now()
			if err := q.client.Complete(t.Context(), queueapi.CompleteRequest{QueueID: jobs[0].ID, Token: jobs[0].Token}); err != nil {
				return fmt.Errorf("complete: %w", err)
			}
		}
		return nil
	})
	took := make([]time.Duration, 0, pickups)
	for i := range pickups {
		<-time.After(pickupPause)
		begin := time.Now()
		require.NoError(t, q.client.PutJobs(t.Context(), []queueapi.NewJob{newJob("picked", i)}))
		select {
		case at := <-arrived:
			took = append(took, at.Sub(begin))
		case <-time.After(taskTimeout):
			require.FailNow(t, "nobody gets the job")
		}
	}
	require.NoError(t, polling.Wait())
	return took
}
