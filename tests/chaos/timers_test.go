//go:build unix

package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

const (
	manyTimers  = 2000
	shortTimers = 300
	minDelay    = 200 * time.Millisecond
	maxDelay    = 2 * time.Second
	// absurdLateness fails a test on any machine; how late timers are on an
	// idle one is printed.
	absurdLateness = 5 * time.Second
)

// delayed is a flow that waits for the time its task names.
const delayed = `{"start": "only", "nodes": {"only": {"kind": "timer", "delay_ms": "$params.delay"}}}`

// timers are tasks of the flow delayed.
type timers struct {
	client  *suitetest.Client
	version string
	all     []timer
	created atomic.Int64
}

type timer struct {
	id    string
	delay time.Duration // whole milliseconds
	asked time.Time     // when its creation was first asked for
	run   schedulerapi.Run
}

func newTimers(t *testing.T, client *suitetest.Client, random *rand.Rand) *timers {
	t.Helper()
	n := manyTimers
	if testing.Short() {
		n = shortTimers
	}
	s := &timers{client: client, version: client.Publish(t, "delayed", delayed), all: make([]timer, n)}
	for i := range s.all {
		s.all[i].delay = minDelay + time.Duration(random.Int64N(int64((maxDelay-minDelay)/time.Millisecond)))*time.Millisecond
	}
	return s
}

// create starts all timers, whatever happens to the server meanwhile.
func (s *timers) create(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, batchTimeout)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(creators)
	for i := range s.all {
		group.Go(func() error {
			s.all[i].asked = time.Now()
			defer s.created.Add(1)
			return insist(ctx, func() (err error) {
				s.all[i].id, err = s.client.Tasks.CreateTask(ctx, schedulerapi.CreateTaskRequest{
					FlowVersionID: s.version, RequestID: fmt.Sprintf("%s/%d", s.version, i),
					Params: fmt.Appendf(nil, `{"delay": %d}`, s.all[i].delay.Milliseconds()),
				})
				return err
			})
		})
	}
	return group.Wait()
}

// insist repeats a request until it is answered.
func insist(ctx context.Context, request func() error) error {
	pause := time.NewTicker(retryPause)
	defer pause.Stop()
	for {
		err := request()
		if errs.CodeOf(err) != errs.Unavailable {
			return err
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// verify checks that every timer fired once and not early, by the server's
// account of it and by this process's clock.
func (s *timers) verify(t *testing.T) {
	t.Helper()
	page, err := s.client.Tasks.ListTasks(t.Context(), schedulerapi.TasksQuery{FlowVersionID: s.version, PageSize: 1})
	require.NoError(t, err)
	require.Equal(t, len(s.all), page.Total)
	for i := range s.all {
		timer := &s.all[i]
		task, err := s.client.Tasks.GetTask(t.Context(), timer.id)
		require.NoError(t, err)
		require.Equal(t, "completed", task.Status, timer.id)
		runs, err := s.client.Tasks.ListRuns(t.Context(), timer.id)
		require.NoError(t, err)
		require.Len(t, runs, 1, timer.id)
		timer.run = runs[0]
		require.Equal(t, "ok", timer.run.Status, timer.id)
		require.GreaterOrEqual(t, timer.late(), time.Duration(0), "%s fired early", timer.id)
		require.GreaterOrEqual(t, timer.run.FinishedAt, timer.asked.Add(timer.delay).UnixMilli(), "%s fired early", timer.id)
	}
}

// awaitCount waits until so many tasks of a version have a status.
func awaitCount(t *testing.T, client *suitetest.Client, version, status string, want int) {
	t.Helper()
	suitetest.Await(t, batchTimeout, func() error {
		page, err := client.Tasks.ListTasks(t.Context(), schedulerapi.TasksQuery{FlowVersionID: version, Status: status, PageSize: 1})
		if err == nil && page.Total != want {
			err = fmt.Errorf("%d of %d tasks are %s", page.Total, want, status)
		}
		return err
	})
}

// due is when the timer was to fire.
func (t timer) due() time.Time { return time.UnixMilli(t.run.StartedAt).Add(t.delay) }

func (t timer) late() time.Duration { return time.UnixMilli(t.run.FinishedAt).Sub(t.due()) }

// It runs before the parallel tests, as it measures.
func TestTimers_AllFireAndNoneEarly(t *testing.T) { //nolint:paralleltest // see above
	server := suitetest.Serve(t, suitetest.Addr(t), suitetest.Command{
		Program: suitetest.PocketFlow, Args: []string{"serve", "--data=" + t.TempDir()},
	})
	s := newTimers(t, suitetest.Connect(t, server.URL), seeded(t))
	begin := time.Now()
	require.NoError(t, s.create(t.Context()))
	created := time.Since(begin)
	// Nothing is asked of the server while it fires timers: counting them in
	// short turns is work enough to make them late.
	<-time.After(maxDelay)
	awaitCount(t, s.client, s.version, "completed", len(s.all))
	s.verify(t)

	late := make([]time.Duration, 0, len(s.all))
	for _, timer := range s.all {
		late = append(late, timer.late())
	}
	slices.Sort(late)
	n := len(late)
	t.Logf("%d timers of %v to %v, created in %v: late by %v at p50, %v at p99, %v at most",
		n, minDelay, maxDelay, created.Round(time.Millisecond), late[n/2], late[n*99/100], late[n-1])
	require.Less(t, late[n-1], absurdLateness)
}

func TestTimers_PastDueAtARestartFireAtOnce(t *testing.T) {
	t.Parallel()
	for _, d := range drivers {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			missTimers(t, d.serve(t))
		})
	}
}

// missTimers kills the server, lets timers become due, and starts it again.
func missTimers(t *testing.T, server suite) {
	t.Helper()
	s := newTimers(t, suitetest.Connect(t, server.URL), seeded(t))
	var creation errgroup.Group
	creation.Go(func() error { return s.create(t.Context()) })
	suitetest.Await(t, batchTimeout, func() error {
		if n := s.created.Load(); n < int64(len(s.all)/2) {
			return fmt.Errorf("%d of %d timers are set", n, len(s.all))
		}
		return nil
	})
	server.Kill(t)
	killed := time.Now()
	// Half of the longest delay later a good part of those that were open is
	// past due, and a good part is not.
	<-time.After(maxDelay / 2)
	server.Restart(t)
	ready := time.Now()
	require.NoError(t, creation.Wait())
	awaitCount(t, s.client, s.version, "completed", len(s.all))
	s.verify(t)

	var before, missed int
	last := killed
	for _, timer := range s.all {
		if time.UnixMilli(timer.run.FinishedAt).Before(killed) {
			before++
		}
		if due := timer.due(); due.After(killed) && due.Before(ready) {
			missed++
			if at := time.UnixMilli(timer.run.FinishedAt); at.After(last) {
				last = at
			}
		}
	}
	t.Logf("killed after %d of %d timers had fired; %d became due while the server was away, the last of which fired %v after it was ready again",
		before, len(s.all), missed, last.Sub(ready).Round(time.Millisecond))
	require.NotZero(t, missed, "timers that became due while the server was away")
	require.Less(t, last.Sub(ready), absurdLateness)
}
