//go:build unix

package bench

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

const (
	timers   = 2000
	minDelay = 200 * time.Millisecond
	maxDelay = 2 * time.Second
	// promisedLateness is what the 99th percentile of timers stays under on a
	// server that has nothing else to do.
	promisedLateness = 100 * time.Millisecond
)

// BenchmarkTimers sets timers and measures how late they fire, by the server's
// account of when each began and ended.
func BenchmarkTimers(b *testing.B) {
	onEach(b, func(b *testing.B, client *suitetest.Client, _ string) {
		var late []time.Duration
		for b.Loop() {
			version := client.Publish(b, "delayed", `{"start": "only", "nodes": {"only": {"kind": "timer", "delay_ms": "$params.delay"}}}`)
			delay := func(i int) time.Duration { // evenly, not in order
				const step = 7919 // a prime, so that every place in the span comes once
				return (minDelay + (maxDelay-minDelay)*time.Duration(i*step%timers)/timers).Truncate(time.Millisecond)
			}
			ids := create(b, client, version, timers, func(i int) string {
				return fmt.Sprintf(`{"delay": %d}`, delay(i).Milliseconds())
			})
			// To count them meanwhile would be other work for the server.
			<-time.After(maxDelay)
			awaitStatus(b, client, version, "completed", timers)
			for i, id := range ids {
				runs, err := client.Tasks.ListRuns(b.Context(), id)
				require.NoError(b, err)
				require.Len(b, runs, 1)
				took := time.Duration(runs[0].FinishedAt-runs[0].StartedAt) * time.Millisecond
				require.GreaterOrEqual(b, took, delay(i), "early")
				late = append(late, took-delay(i))
			}
		}
		slices.Sort(late)
		p99 := late[len(late)*99/100]
		b.ReportMetric(ms(late[len(late)/2]), "ms-late-p50")
		b.ReportMetric(ms(p99), "ms-late-p99")
		b.ReportMetric(ms(late[len(late)-1]), "ms-late-max")
		require.Less(b, p99, promisedLateness, "a disk that others keep busy is enough for this: one write that takes longer holds up a hundred timers")
	})
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

const (
	waiting = 10000
	// promisedRatio is how much longer a fast task may take beside tasks that
	// wait. They cost it nothing; the rest is what two measurements of the same
	// thing differ by.
	promisedRatio = 1.5
)

// BenchmarkFastTask measures a task of one step, from its creation until its
// end is read, alone and beside many tasks that wait.
func BenchmarkFastTask(b *testing.B) {
	onEach(b, func(b *testing.B, client *suitetest.Client, _ string) {
		version := client.Publish(b, "fast", fast)
		var alone, beside time.Duration
		measure := func(took *time.Duration) func(b *testing.B) {
			return func(b *testing.B) {
				var all []time.Duration
				for b.Loop() {
					begin := time.Now()
					require.NoError(b, finish(b.Context(), client, version))
					all = append(all, time.Since(begin))
				}
				slices.Sort(all)
				*took = all[len(all)/2]
				b.ReportMetric(ms(*took), "ms-p50")
				b.ReportMetric(ms(all[len(all)*99/100]), "ms-p99")
			}
		}
		b.Run("Alone", measure(&alone))
		for _, definition := range []string{
			`{"start": "only", "nodes": {"only": {"kind": "timer", "delay_ms": 86400000}}}`,
			`{"start": "only", "nodes": {"only": {"kind": "wait_event", "signal_key": "go"}}}`,
		} {
			waits := client.Publish(b, "waits", definition)
			create(b, client, waits, waiting/2, none)
			awaitStatus(b, client, waits, "waiting", waiting/2)
		}
		b.Run(fmt.Sprintf("Beside%dThatWait", waiting), measure(&beside))
		if alone > 0 && beside > 0 { // neither was filtered out
			b.Logf("beside %d tasks that wait: %.2f of the time alone", waiting, beside.Seconds()/alone.Seconds())
			require.Less(b, beside.Seconds()/alone.Seconds(), promisedRatio)
		}
	})
}

const (
	senders = 64
	// keys are few, so that the task's state stays the same size however many
	// signals are measured.
	keys = 100
)

// BenchmarkSignals sends signals to one task from many senders at once. One is
// answered when it is durable.
func BenchmarkSignals(b *testing.B) {
	onEach(b, func(b *testing.B, client *suitetest.Client, _ string) {
		version := client.Publish(b, "waits", `{"start": "only", "nodes": {"only": {"kind": "wait_event", "signal_key": "end"}}}`)
		task := create(b, client, version, 1, none)[0]
		var sent atomic.Int64
		b.SetParallelism(senders)
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				n := sent.Add(1)
				if err := client.Tasks.Signal(b.Context(), schedulerapi.SignalRequest{
					TaskID: task, Key: fmt.Sprintf("k%d", n%keys), Value: fmt.Appendf(nil, "%d", n),
				}); err != nil {
					b.Errorf("signal %d: %v", n, err)
					return
				}
			}
		})
		b.StopTimer()
		require.NoError(b, client.Tasks.Signal(b.Context(), schedulerapi.SignalRequest{TaskID: task, Key: "end", Value: json.RawMessage("1")}))
		awaitStatus(b, client, version, "completed", 1)
	})
}

// promisedCancel is within what a cancel has ended a task.
const promisedCancel = time.Second

// BenchmarkCancel cancels tasks that wait, from the request until the end is
// read.
func BenchmarkCancel(b *testing.B) {
	onEach(b, func(b *testing.B, client *suitetest.Client, _ string) {
		version := client.Publish(b, "waits", `{"start": "only", "nodes": {"only": {"kind": "wait_event", "signal_key": "end"}}}`)
		var slowest time.Duration
		for b.Loop() {
			b.StopTimer()
			id := create(b, client, version, 1, none)[0]
			b.StartTimer()
			begin := time.Now()
			require.NoError(b, client.Tasks.Cancel(b.Context(), id))
			for {
				task, err := client.Tasks.GetTask(b.Context(), id)
				require.NoError(b, err)
				if task.Status == "canceled" {
					break
				}
			}
			slowest = max(slowest, time.Since(begin))
		}
		b.ReportMetric(ms(slowest), "ms-max")
		require.Less(b, slowest, promisedCancel)
	})
}
