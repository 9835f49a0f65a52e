package conformance

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/connect"
	"github.com/pocketflowgo/pocketflow/shared/storage/storagetest"
	"github.com/pocketflowgo/pocketflow/tests/pgtest"
)

// Each store stands for a process: they share the database and nothing else.
const processes = 3

func openQueues(t *testing.T) []storage.Queue {
	t.Helper()
	dsn := pgtest.Migrated(t, migrations.Queue)
	var stores []storage.Queue
	for range processes {
		store, err := connect.Queue(t.Context(), dsn, connect.Options{})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, store.Close()) })
		stores = append(stores, store)
	}
	return stores
}

func jobsOf(service string, n int) []storage.Job {
	var jobs []storage.Job
	now := storage.Now()
	for i := range n {
		id := fmt.Sprintf("%s-%04d", service, i)
		jobs = append(jobs, storage.Job{
			ID: "job-" + id, TaskID: "task-" + id, RunID: "run-" + id, NodeKey: "n", Path: "n", Visit: 1, Attempt: 1,
			Service: service, Input: json.RawMessage(`{"input":1}`), AvailableAt: now, CreatedAt: now,
		})
	}
	return jobs
}

// Claimers of several processes drain the queue and answer, each in an order
// of its own: every job is delivered once and answered once.
func TestPostgres_ProcessesShareAQueue(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	stores := openQueues(t)
	services := []string{"a", "b"}
	const each, claimers = 300, 12
	for _, service := range services {
		require.NoError(t, stores[0].PutJobs(ctx, jobsOf(service, each)))
	}
	got := make([][]storage.Job, claimers)
	errs := make([]error, claimers)
	var wg sync.WaitGroup
	for c := range claimers {
		wg.Go(func() { got[c], errs[c] = drain(t, stores[c%processes], c, services) })
	}
	wg.Wait()
	owner := map[string]string{}
	for c := range claimers {
		require.NoError(t, errs[c])
		for _, job := range got[c] {
			require.Empty(t, owner[job.ID])
			owner[job.ID] = job.WorkerID
		}
	}
	require.Len(t, owner, each*len(services))
	messages, err := stores[1].ClaimResults(ctx, storage.Now(), storage.Now(), 1000)
	require.NoError(t, err)
	require.Len(t, messages, each*len(services))
}

func drain(t *testing.T, store storage.Queue, c int, services []string) (all []storage.Job, err error) {
	t.Helper()
	n := 0
	for {
		now := storage.Now()
		jobs, err := store.ClaimJobs(t.Context(), storage.ClaimJobs{
			WorkerID: fmt.Sprintf("w-%d", c), Services: services, Max: 1 + c%4, Now: now, VisibleUntil: now.Add(time.Hour),
			NewToken: func() string { n++; return fmt.Sprintf("token-%d-%d", c, n) },
		})
		if err != nil || len(jobs) == 0 {
			return all, err
		}
		all = append(all, jobs...)
		var batch []storage.JobCompletion
		for i := range jobs {
			job := jobs[(i+c)%len(jobs)]
			batch = append(batch, storage.JobCompletion{
				JobID: job.ID, Token: job.Token, Result: json.RawMessage(`{}`), Hash: "h", At: storage.Now(),
			})
		}
		outcomes, err := store.CompleteJobs(t.Context(), batch)
		if err != nil {
			return all, err
		}
		for i := range outcomes {
			if outcomes[i] != nil {
				return all, outcomes[i]
			}
		}
	}
}

// As many claimers as jobs, all at once: a lock that one process holds on a
// job must not send a claimer of another away empty-handed.
func TestPostgres_NoClaimerGoesAwayEmptyHanded(t *testing.T) {
	t.Parallel()
	stores := openQueues(t)
	services := []string{"a", "b", "c"}
	const each = 8
	for range 5 {
		names := make([]string, len(services))
		for i, service := range services {
			names[i] = fmt.Sprintf("%s%d", service, time.Now().UnixNano())
			require.NoError(t, stores[0].PutJobs(t.Context(), jobsOf(names[i], each)))
		}
		n := each * len(services)
		got := make([]int, n)
		errs := make([]error, n)
		var wg sync.WaitGroup
		for c := range n {
			wg.Go(func() {
				now := storage.Now()
				jobs, err := stores[c%processes].ClaimJobs(t.Context(), storage.ClaimJobs{
					WorkerID: "w", Services: names, Max: 1, Now: now, VisibleUntil: now.Add(time.Hour),
					NewToken: func() string { return fmt.Sprint(c) },
				})
				got[c], errs[c] = len(jobs), err
			})
		}
		wg.Wait()
		for c := range n {
			require.NoError(t, errs[c])
			require.Equal(t, 1, got[c])
		}
	}
}

func TestPostgres_HintsCrossProcesses(t *testing.T) {
	t.Parallel()
	stores := openQueues(t)
	heard := make(chan string, 100)
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	ctx := t.Context() // ends before the cleanups
	wg.Go(func() {
		_ = stores[1].Subscribe(ctx, func(hint storage.JobHint) {
			select {
			case heard <- hint.Service:
			default:
			}
		})
	})
	// What is put before the subscription stands may go unheard.
	n := 0
	require.Eventually(t, func() bool {
		n++
		require.NoError(t, stores[0].PutJobs(ctx, jobsOf(fmt.Sprintf("knock%d", n), 1)))
		select {
		case <-heard:
			return true
		default:
			return false
		}
	}, 30*time.Second, 20*time.Millisecond)
}

func TestPostgres_ProcessesNumberVersions(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dsn := pgtest.Migrated(t, migrations.Catalog)
	const n = 30
	var stores []storage.Flows
	for range processes {
		store, err := connect.Flows(ctx, dsn, connect.Options{})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, store.Close()) })
		stores = append(stores, store)
	}
	require.NoError(t, stores[0].CreateFlow(ctx, storage.Flow{ID: "flow-1", Name: "f", CreatedAt: storage.Now()}))
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			_, errs[i] = stores[i%processes].CreateVersion(ctx, storage.FlowVersion{
				ID: fmt.Sprintf("ver-%d", i), FlowID: "flow-1", Definition: "{}", Status: storage.VersionPublished, CreatedAt: storage.Now(),
			})
		})
	}
	wg.Wait()
	for i := range n {
		require.NoError(t, errs[i])
	}
	versions, err := stores[1].ListVersions(ctx, "flow-1")
	require.NoError(t, err)
	require.Len(t, versions, n)
	for i, version := range versions {
		require.Equal(t, n-i, version.Version)
	}
}

// Three processes claim, answer and expire at random: what an operator allows
// holds for all of them together.
func TestPostgres_ProcessesShareTheLimits(t *testing.T) {
	t.Parallel()
	storagetest.RaceLimits(t, openQueues(t)...)
}
