//go:build unix

package bench

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/tests/pgtest"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

const (
	// promisedPickup is what the 99th percentile stays under on a server that has
	// nothing else to do, from before the job is put until the worker has it.
	promisedPickup = 25 * time.Millisecond
	// arrival lets the worker's next poll arrive before its job.
	arrival  = 2 * time.Millisecond
	pollWait = time.Minute
	// tooFew pickups have no 99th percentile.
	tooFew = 100
)

const queued = `{"start": "only", "nodes": {"only": {"kind": "executor", "exec_type": "queue", "service": "picked"}}}`

// BenchmarkPickup measures how soon a worker that waits has a job: from when a
// queue-gateway by itself is asked to take it (Job), and from when a suite is
// asked for a task whose first node it is (Task).
func BenchmarkPickup(b *testing.B) {
	for _, db := range []struct {
		name string
		dsn  func(b *testing.B, service string) string
	}{
		{"SQLite", func(b *testing.B, service string) string { return b.TempDir() + "/" + service + ".db" }},
		{"Postgres", func(b *testing.B, service string) string { return pgtest.Migrated(b, service) }},
	} {
		b.Run(db.name+"/Job", func(b *testing.B) {
			server := suitetest.Serve(b, suitetest.Addr(b), suitetest.Command{
				Program: suitetest.Queue, Args: []string{"--db=" + db.dsn(b, "queue"), "--scheduler-url=" + taker(b)},
			})
			client := connectQueue(b, server.URL)
			jobs := 0
			took := pickUp(b, client, func() error {
				jobs++
				run := fmt.Sprintf("run-%d", jobs)
				return client.PutJobs(b.Context(), []queueapi.NewJob{{
					ID: queueapi.JobID(run), TaskID: fmt.Sprintf("task-%d", jobs), RunID: run, NodeKey: "only", Path: "only",
					Visit: 1, Attempt: 1, Service: "picked", Input: []byte(`{"input":null}`),
				}})
			})
			if len(took) >= tooFew {
				require.Less(b, took[len(took)*99/100], promisedPickup, "a disk that others keep busy is enough for this: a pickup is two durable writes")
			}
		})
		b.Run(db.name+"/Task", func(b *testing.B) {
			server := suitetest.Serve(b, suitetest.Addr(b), suitetest.Command{Program: suitetest.PocketFlow, Args: []string{
				"serve", "--data=" + b.TempDir(), "--scheduler-db=" + db.dsn(b, "scheduler"), "--queue-db=" + db.dsn(b, "queue"),
			}})
			client := suitetest.Connect(b, server.URL)
			version := client.Publish(b, "queued", queued)
			pickUp(b, connectQueue(b, server.URL), func() error {
				_, err := client.Tasks.CreateTask(b.Context(), schedulerapi.CreateTaskRequest{FlowVersionID: version})
				return err
			})
		})
	}
}

// pickUp orders one job after the other for one worker, which answers each, and
// reports and returns how long they took to be with it, shortest first.
func pickUp(b *testing.B, client *queueapi.Client, order func() error) (took []time.Duration) {
	b.Helper()
	arrived := make(chan time.Time, 1)
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	var polling errgroup.Group
	polling.Go(func() error { return take(ctx, client, "picked", arrived) })
	for b.Loop() {
		b.StopTimer()
		<-time.After(arrival)
		b.StartTimer()
		begin := time.Now()
		require.NoError(b, order())
		select {
		case at := <-arrived:
			took = append(took, at.Sub(begin))
		case <-time.After(patience):
			require.FailNow(b, "nobody gets the job")
		}
	}
	stop()
	require.NoError(b, polling.Wait())
	slices.Sort(took)
	p99 := took[len(took)*99/100]
	b.ReportMetric(ms(took[len(took)/2]), "ms-p50")
	b.ReportMetric(ms(p99), "ms-p99")
	return took
}

// take polls a service and answers until ctx ends, and tells when each job was
// there.
func take(ctx context.Context, client *queueapi.Client, service string, arrived chan<- time.Time) error {
	for ctx.Err() == nil {
		jobs, err := client.Poll(ctx, queueapi.PollParams{WorkerID: "ready", Services: []string{service}, Wait: pollWait})
		at := time.Now()
		if err := unlessOver(ctx, err); err != nil {
			return fmt.Errorf("poll: %w", err)
		}
		for _, job := range jobs {
			if err := client.Complete(ctx, queueapi.CompleteRequest{QueueID: job.ID, Token: job.Token}); err != nil {
				return fmt.Errorf("complete: %w", err)
			}
			arrived <- at
		}
	}
	return nil
}

// taker is a scheduler that takes every result.
func taker(b *testing.B) string {
	b.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = httpx.WriteJSON(w, http.StatusOK, schedulerapi.OK{OK: "1"})
	}))
	b.Cleanup(server.Close)
	return server.URL
}

func connectQueue(b *testing.B, url string) *queueapi.Client {
	b.Helper()
	hc := httpx.NewHTTPClient()
	b.Cleanup(hc.CloseIdleConnections)
	client, err := queueapi.NewClient(url, hc)
	require.NoError(b, err)
	return client
}

// unlessOver is the error of a request, but that of being cut off.
func unlessOver(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the caller has ended it
	}
	return err
}
