//go:build unix

package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

const (
	manySignals  = 1000
	shortSignals = 200
	// senders send at once.
	senders = 64
	// lap is how long the worker is busy with each round of the task that the
	// signals go to.
	lap = 5 * time.Millisecond
	// historyPage is the most events that are told at once.
	historyPage = 1000
)

// rounds goes round and round until a signal ends it: executing, when signals
// meet a task that a scheduler holds, then waiting, when they meet one that
// nobody does. Each round writes to the shared state that the signals write to.
const rounds = `{
  "start": "work", "max_steps": 1000000,
  "nodes": {
    "work":  {"kind": "executor", "service": "transform", "params": {"text": "round"}, "post": {"output_key": "round"}},
    "pause": {"kind": "timer", "delay_ms": 1},
    "over":  {"kind": "choice", "choice_cases": [{"action": "end", "expr": {"exists": "$shared.end"}}], "default_action": "again"}
  },
  "edges": [
    {"from": "work", "to": "pause"}, {"from": "pause", "to": "over"},
    {"from": "over", "action": "again", "to": "work"}, {"from": "over", "action": "end", "to": ""}
  ]
}`

func TestSignals_SentAtOnceAllArriveOnce(t *testing.T) {
	t.Parallel()
	for _, d := range drivers {
		t.Run(string(d)+"/Undisturbed", func(t *testing.T) {
			t.Parallel()
			s := startSignals(t, d)
			require.NoError(t, s.send(t.Context()))
			s.verify(t)
		})
		t.Run(string(d)+"/ServerKilled", func(t *testing.T) {
			t.Parallel()
			s := startSignals(t, d)
			var sending errgroup.Group
			sending.Go(func() error { return s.send(t.Context()) })
			s.killInTheMiddle(t)
			require.NoError(t, sending.Wait())
			s.verify(t)
		})
	}
}

// signals are sent to one task of the flow rounds: number i has the key ki.
type signals struct {
	server suite
	client *suitetest.Client
	task   string
	count  int
	sent   atomic.Int64  // and answered
	third  chan struct{} // closed when a third of them is
	began  time.Time
}

func startSignals(t *testing.T, d driver) *signals {
	t.Helper()
	s := &signals{count: manySignals, third: make(chan struct{})}
	if testing.Short() {
		s.count = shortSignals
	}
	s.server = d.serve(t)
	suitetest.Serve(t, suitetest.Addr(t), suitetest.Command{
		Program: suitetest.DemoWorker, Args: []string{"--base=" + s.server.URL, "--delay=" + lap.String()},
	})
	s.client = suitetest.Connect(t, s.server.URL)
	s.client.AwaitWorker(t, "transform")
	var err error
	s.task, err = s.client.Tasks.CreateTask(t.Context(), schedulerapi.CreateTaskRequest{
		FlowVersionID: s.client.Publish(t, "rounds", rounds),
	})
	require.NoError(t, err)
	s.began = time.Now()
	return s
}

// send sends all signals, whatever happens to the server meanwhile, each until
// it is answered and always under the same id.
func (s *signals) send(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, batchTimeout)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(senders)
	for i := range s.count {
		group.Go(func() error {
			err := insist(ctx, func() error {
				return s.client.Tasks.Signal(ctx, schedulerapi.SignalRequest{
					TaskID: s.task, Key: key(i), Value: fmt.Appendf(nil, "%d", i), SignalID: key(i),
				})
			})
			if s.sent.Add(1) == int64(s.count/3) {
				close(s.third)
			}
			return err
		})
	}
	return group.Wait()
}

func key(i int) string { return "k" + strconv.Itoa(i) }

// killInTheMiddle ends the server when a third of the signals has been
// answered, and starts it again.
func (s *signals) killInTheMiddle(t *testing.T) {
	t.Helper()
	select {
	case <-s.third: // it would be over before one had looked twice
	case <-time.After(batchTimeout):
		t.Fatalf("%d of %d signals are sent", s.sent.Load(), s.count)
	}
	s.server.Kill(t)
	answered := s.sent.Load()
	require.Less(t, answered, int64(s.count), "the kill came too late to prove anything")
	s.server.Restart(t)
	t.Logf("killed after %d of %d signals", answered, s.count)
}

// verify ends the task and checks that every signal is in its state and once
// in its history.
func (s *signals) verify(t *testing.T) {
	t.Helper()
	took := time.Since(s.began)
	require.NoError(t, s.client.Tasks.Signal(t.Context(), schedulerapi.SignalRequest{
		TaskID: s.task, Key: "end", Value: json.RawMessage("true"),
	}))
	var task schedulerapi.Task
	suitetest.Await(t, taskTimeout, func() (err error) {
		if task, err = s.client.Tasks.GetTask(t.Context(), s.task); err == nil && task.FinishedAt == 0 {
			err = fmt.Errorf("the task is %s", task.Status)
		}
		return err
	})
	require.Equal(t, "completed", task.Status, "%+v", task.Error)

	want := map[string]any{"end": true, "round": "ROUND"}
	applied := map[string]int{}
	for i := range s.count {
		want[key(i)] = float64(i)
		applied[key(i)] = 1
	}
	applied["end"] = 1
	var state map[string]any
	require.NoError(t, json.Unmarshal([]byte(task.SharedJSON), &state))
	require.Equal(t, want, state)

	events := history(t, s.server.URL, s.task)
	told := map[string]int{}
	for i, event := range events {
		require.Equal(t, int64(i+1), event.Seq)
		if event.Kind == "signal" {
			var signal struct{ Key string }
			require.NoError(t, json.Unmarshal(event.Data, &signal))
			told[signal.Key]++
		}
	}
	require.Equal(t, applied, told, "signals in the task's history")
	t.Logf("%d signals by %d senders in %v, while the task made %d steps", s.count, senders, took.Round(time.Millisecond), task.StepCount)
}

// history is all that has happened to a task.
func history(t *testing.T, base, task string) []schedulerapi.Event {
	t.Helper()
	client, err := httpx.NewClient(base, http.DefaultClient)
	require.NoError(t, err)
	var all []schedulerapi.Event
	for after := int64(0); ; {
		var page schedulerapi.Events
		_, err := client.Do(t.Context(), httpx.Call{
			Method: http.MethodGet, Path: "/tasks/events", Out: &page,
			Query: url.Values{"task_id": {task}, "after_seq": {strconv.FormatInt(after, 10)}, "limit": {strconv.Itoa(historyPage)}},
		})
		require.NoError(t, err)
		all = append(all, page.Data...)
		if after = page.NextAfterSeq; after == 0 {
			return all
		}
	}
}
