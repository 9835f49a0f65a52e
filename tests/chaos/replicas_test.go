//go:build unix

package chaos

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/tests/pgtest"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

const (
	replicaBatchSize = 500
	replicaDelay     = 100 * time.Millisecond
	replicaLease     = 2 * time.Second
)

// replica is one of the schedulers on a database.
type replica struct {
	*suitetest.Server
	name   string // in leases
	client *suitetest.Client
}

// pair is a suite with two schedulers on one Postgres and one worker. What the
// tests do not hurt runs on SQLite.
type pair struct {
	a, b    replica
	dsn     string
	journal *suitetest.Journal
	bases   suitetest.Bases // of the services beside the schedulers
	queue   string          // address at which they look for a queue-gateway
}

func newPair(t *testing.T, delay time.Duration) pair {
	t.Helper()
	p := pair{dsn: pgtest.Migrated(t, "scheduler"), journal: suitetest.NewJournal(t)}
	registry := suitetest.Serve(t, suitetest.Addr(t), suitetest.Command{
		Program: suitetest.Registry, Args: []string{"--db=" + t.TempDir() + "/registry.db"},
	})
	catalog := suitetest.Serve(t, suitetest.Addr(t), suitetest.Command{
		Program: suitetest.Catalog, Args: []string{"--db=" + t.TempDir() + "/catalog.db"},
	})
	p.bases = suitetest.Bases{Registry: registry.URL, Catalog: catalog.URL, Impatience: impatience}
	p.queue = suitetest.Addr(t)
	start := func(name string) replica {
		server := suitetest.Serve(t, suitetest.Addr(t), suitetest.Command{Program: suitetest.Scheduler, Args: []string{
			"--db=" + named(t, p.dsn, name), "--registry-url=" + registry.URL, "--catalog-url=" + catalog.URL,
			"--queue-url=http://" + p.queue, "--instance-id=" + name, "--lease-ttl=" + replicaLease.String(),
		}})
		bases := p.bases
		bases.Scheduler = server.URL
		return replica{Server: server, name: name, client: suitetest.ConnectEach(t, bases)}
	}
	p.a, p.b = start("a"), start("b")
	suitetest.Serve(t, suitetest.Addr(t), suitetest.Command{
		Program: suitetest.DemoWorker,
		Args:    []string{"--registry-url=" + registry.URL, "--journal=" + p.journal.Path, "--delay=" + delay.String()},
	})
	return p
}

func (p pair) batch(t *testing.T, size int, schedulers ...replica) *batch {
	t.Helper()
	b := &batch{
		version: p.b.client.Publish(t, fmt.Sprintf("batch-%d-%d", size, len(schedulers)), tripling),
		size:    size, each: len(triplingNodes), journal: p.journal,
	}
	for _, r := range schedulers {
		b.schedulers = append(b.schedulers, r.client.Tasks)
	}
	return b
}

// owned is which tasks each replica holds, as told by scheduler r.
func owned(t *testing.T, r replica, version string) map[string][]string {
	t.Helper()
	page, err := r.client.Tasks.ListTasks(t.Context(), schedulerapi.TasksQuery{
		FlowVersionID: version, Status: "running", PageSize: 1000,
	})
	require.NoError(t, err)
	by := map[string][]string{}
	for _, task := range page.Data {
		if task.LeaseOwner != "" {
			by[task.LeaseOwner] = append(by[task.LeaseOwner], task.ID)
		}
	}
	return by
}

func TestReplicas_ShareTasksAndLoseNoneWhenOneIsKilled(t *testing.T) {
	t.Parallel()
	p := newPair(t, replicaDelay)
	b := p.batch(t, replicaBatchSize, p.a, p.b)
	moment := b.steps()/4 + seeded(t).IntN(b.steps()/2)

	var creation errgroup.Group
	creation.Go(func() error { return b.create(t.Context()) })
	most := map[string]int{} // tasks that a replica was seen to hold at once
	seen := map[string]bool{}
	suitetest.Await(t, batchTimeout, func() error {
		for owner, ids := range owned(t, p.b, b.version) {
			most[owner] = max(most[owner], len(ids))
		}
		if n := b.executions(t, seen); n < moment {
			return fmt.Errorf("%d of %d executions have started", n, moment)
		}
		return nil
	})
	p.a.Kill(t)
	died := b.executions(t, seen)
	orphans := len(owned(t, p.b, b.version)[p.a.name])
	t.Logf("a was killed after %d of %d executions and left %d tasks; held at once: %v", died, b.steps(), orphans, most)
	require.Less(t, died, b.steps(), "the kill came too late to prove anything")
	require.NotZero(t, most[p.a.name], "tasks that a had")
	require.NotZero(t, most[p.b.name], "tasks that b had")

	require.NoError(t, creation.Wait())
	b.awaitEnd(t, p.b.client.Tasks)
	b.verify(t, p.b.client.Tasks)
}

const (
	pausedBatchSize = 300
	pausedDelay     = 200 * time.Millisecond
	// impatience is when a client gives a scheduler up and asks the other.
	impatience = 2 * time.Second
)

// The paused replica has answers of workers waiting for it when it wakes,
// requests of clients, and a transaction half done; its tasks are long finished
// by the other. The rows are compared with the number of the transaction that
// wrote them, so that a write of what was there already would show as well.
func TestReplicas_OnePausedPastItsLeaseChangesNothingWhenItWakes(t *testing.T) {
	t.Parallel()
	p := newPair(t, pausedDelay)
	b := p.batch(t, pausedBatchSize, p.a, p.b)
	var creation errgroup.Group
	creation.Go(func() error { return b.create(t.Context()) })
	seen := map[string]bool{}
	suitetest.Await(t, batchTimeout, func() error {
		if n := b.executions(t, seen); n < pausedBatchSize/10 {
			return fmt.Errorf("%d executions have started", n)
		}
		return nil
	})
	p.pauseInTransaction(t)
	held := owned(t, p.b, b.version)[p.a.name]
	require.NotEmpty(t, held, "tasks that the paused replica holds")

	require.NoError(t, creation.Wait())
	b.awaitEnd(t, p.b.client.Tasks)
	b.verify(t, p.b.client.Tasks)
	rows, answers := p.rows(t), b.answers(t, p.b.client.Tasks)

	p.a.Signal(t, syscall.SIGCONT)
	suitetest.Await(t, batchTimeout, func() error {
		gone := lost(p.a.Stderr())
		for _, id := range held {
			if !gone[id] {
				return fmt.Errorf("a has not noticed that it lost %s", id)
			}
		}
		return nil
	})
	p.a.AwaitReady(t)
	require.Equal(t, rows, p.rows(t), "rows of the scheduler's tables")
	require.Equal(t, answers, b.answers(t, p.b.client.Tasks))
	require.Equal(t, answers, b.answers(t, p.a.client.Tasks))
	t.Logf("a held %d tasks when it was paused, and lost them", len(held))

	// Both go on.
	for _, r := range []replica{p.a, p.b} {
		task, err := runTask(t.Context(), r.client, r.client.Publish(t, "after-"+r.name, oneStep("transform", "")))
		require.NoError(t, err)
		require.Equal(t, "completed", task.Status)
	}
	again := p.batch(t, pausedBatchSize/10, p.a, p.b)
	require.NoError(t, again.create(t.Context()))
	again.awaitEnd(t, p.a.client.Tasks)
	again.verify(t, p.a.client.Tasks)
}

// pauseInTransaction stops replica a at the worst moment: with row locks that
// nobody else can pass until the database ends the transaction.
func (p pair) pauseInTransaction(t *testing.T) {
	t.Helper()
	suitetest.Await(t, taskTimeout, func() error {
		p.a.Signal(t, syscall.SIGSTOP)
		if !p.holdsLocks(t, p.a.name) {
			p.a.Signal(t, syscall.SIGCONT)
			return errors.New("a holds no locks")
		}
		return nil
	})
}

// lost are the tasks that, by a scheduler's log, it holds no longer without
// having finished them.
func lost(log string) map[string]bool {
	gone := map[string]bool{}
	for line := range strings.Lines(log) {
		var entry struct {
			Msg    string `json:"msg"`
			TaskID string `json:"task_id"`
		}
		if json.Unmarshal([]byte(line), &entry) == nil && (entry.Msg == "lease_lost" || entry.Msg == "task_given_up") {
			gone[entry.TaskID] = true
		}
	}
	return gone
}

// answers are the batch's tasks and runs as they are read.
func (b *batch) answers(t *testing.T, tasks *schedulerapi.Client) map[string]any {
	t.Helper()
	all := map[string]any{}
	for _, id := range b.ids {
		task, err := tasks.GetTask(t.Context(), id)
		require.NoError(t, err)
		runs, err := tasks.ListRuns(t.Context(), id)
		require.NoError(t, err)
		all[id] = []any{task, runs}
	}
	return all
}
