//go:build unix

package transfer

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/tests/pgtest"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

const (
	taskTimeout = 60 * time.Second
	copyTimeout = 2 * time.Minute
	shortLease  = 2 * time.Second
	// fewOfEach is how many unfinished tasks of each kind move.
	fewOfEach = 8
	// manyFinished is how many tasks move with their history.
	manyFinished  = 10000
	shortFinished = 300
	creators      = 16
	manyTimeout   = 3 * time.Minute
)

// fourSteps is a flow that leaves four runs and their events.
const fourSteps = `{"start": "a", "nodes": {
	"a": {"kind": "executor", "exec_type": "local_func", "func": "upper", "prep": {"input_key": "$params.text"}, "post": {"output_key": "a"}},
	"b": {"kind": "executor", "exec_type": "local_func", "func": "echo", "prep": {"input_key": "a"}, "post": {"output_key": "b"}},
	"c": {"kind": "executor", "exec_type": "local_func", "func": "upper", "prep": {"input_key": "b"}, "post": {"output_key": "c"}},
	"d": {"kind": "executor", "exec_type": "local_func", "func": "echo", "prep": {"input_key": "c"}, "post": {"output_key": "d"}}},
	"edges": [{"from": "a", "to": "b"}, {"from": "b", "to": "c"}, {"from": "c", "to": "d"}]}`

// kind is a way for a task to be unfinished, and what finishes it.
type kind struct {
	name, definition string
	status           string // in which it moves
	finish           func(s *moved, t *testing.T, task string)
}

func kinds() []kind {
	nothing := func(*moved, *testing.T, string) {}
	return []kind{
		{
			name: "timer", status: "waiting", finish: nothing,
			definition: `{"start": "w", "nodes": {"w": {"kind": "timer", "delay_ms": 6000}}}`,
		},
		{
			name: "signal", status: "waiting", finish: (*moved).signal,
			definition: `{"start": "w", "nodes": {"w": {"kind": "wait_event", "signal_key": "go"}}}`,
		},
		{
			name: "approval", status: "waiting", finish: (*moved).signal,
			definition: `{"start": "w", "nodes": {"w": {"kind": "approval", "approval_key": "go"}}}`,
		},
		{
			name: "claimed", status: "waiting_queue", finish: (*moved).answer,
			definition: `{"start": "w", "nodes": {"w": {"kind": "executor", "exec_type": "queue", "service": "claimed"}}}`,
		},
		{
			name: "queued", status: "waiting_queue", finish: (*moved).claimAndAnswer,
			definition: `{"start": "w", "nodes": {"w": {"kind": "executor", "exec_type": "queue", "service": "queued"}}}`,
		},
		{
			name: "running", status: "running", finish: nothing,
			definition: `{"start": "w", "nodes": {"w": {"kind": "executor", "service": "nap", "params": {"ms": 3000}}}}`,
		},
		{
			name: "both", status: "waiting", finish: (*moved).signal,
			definition: `{"start": "p", "nodes": {
				"p": {"kind": "executor", "exec_type": "local_func", "func": "upper", "params": {"text": "ß 日本 \\ \" \u0000"}, "prep": {"input_key": "$params.text"}, "post": {"output_key": "up"}},
				"w": {"kind": "wait_event", "signal_key": "go"}}, "edges": [{"from": "p", "to": "w"}]}`,
		},
	}
}

// moved is a suite that moves from database to database.
type moved struct {
	server *suitetest.Server
	client *suitetest.Client
	jobs   *queueapi.Client
	claims map[string]queueapi.Job // by task
	tasks  map[string][]string     // by kind
}

// serveAt starts a suite on the databases at a place, with a worker.
func serveAt(t *testing.T, place string) *moved {
	t.Helper()
	s := serveAgain(t, suitetest.Addr(t), place)
	suitetest.Serve(t, suitetest.Addr(t), suitetest.Command{
		Program: suitetest.DemoWorker, Args: []string{"--registry-url=" + s.server.URL, "--max-concurrency=100"},
	})
	s.client.AwaitWorker(t, "nap")
	return s
}

// serveAgain starts the suite at an address, where its worker looks for it.
func serveAgain(t *testing.T, addr, place string) *moved {
	t.Helper()
	args := []string{"serve"}
	for _, pair := range pairsOf(place, place) {
		args = append(args, "--"+pair.Service+"-db="+pair.From)
	}
	s := &moved{claims: map[string]queueapi.Job{}, tasks: map[string][]string{}}
	s.server = suitetest.Serve(t, addr, suitetest.Command{
		Program: suitetest.PocketFlow, Args: args, Env: []string{"SCHEDULER_LEASE_TTL=" + shortLease.String()},
	})
	s.client = suitetest.Connect(t, s.server.URL)
	hc := httpx.NewHTTPClient()
	t.Cleanup(hc.CloseIdleConnections)
	var err error
	s.jobs, err = queueapi.NewClient(s.server.URL, hc)
	require.NoError(t, err)
	return s
}

// start brings tasks of every kind to where they move from.
func (s *moved) start(t *testing.T, each int) {
	t.Helper()
	for _, k := range kinds() {
		version := s.client.Publish(t, k.name, k.definition)
		for range each {
			id, err := s.client.Tasks.CreateTask(t.Context(), schedulerapi.CreateTaskRequest{
				FlowVersionID: version, Params: json.RawMessage(`{"text": "straße 日本"}`),
			})
			require.NoError(t, err)
			s.tasks[k.name] = append(s.tasks[k.name], id)
		}
	}
	s.claim(t, "claimed", each)
	for _, k := range kinds() {
		for _, id := range s.tasks[k.name] {
			s.await(t, id, k.status)
		}
	}
}

// finishMany leaves finished tasks behind and returns their version and number.
func (s *moved) finishMany(t *testing.T) (version string, n int) {
	t.Helper()
	n = manyFinished
	if testing.Short() {
		n = shortFinished
	}
	version = s.client.Publish(t, "history", fourSteps)
	var group errgroup.Group
	group.SetLimit(creators)
	for i := range n {
		group.Go(func() error {
			_, err := s.client.Tasks.CreateTask(t.Context(), schedulerapi.CreateTaskRequest{
				FlowVersionID: version, Params: fmt.Appendf(nil, `{"text": "Straße %d"}`, i),
			})
			return err
		})
	}
	require.NoError(t, group.Wait())
	s.awaitCompleted(t, version, n)
	return version, n
}

func (s *moved) awaitCompleted(t *testing.T, version string, n int) {
	t.Helper()
	suitetest.Await(t, manyTimeout, func() error {
		page, err := s.client.Tasks.ListTasks(t.Context(), schedulerapi.TasksQuery{FlowVersionID: version, Status: "completed", PageSize: 1})
		if err == nil && page.Total != n {
			err = fmt.Errorf("%d of %d tasks are completed", page.Total, n)
		}
		return err
	})
}

func (s *moved) await(t *testing.T, id, status string) {
	t.Helper()
	suitetest.Await(t, taskTimeout, func() error {
		task, err := s.client.Tasks.GetTask(t.Context(), id)
		if err == nil && task.Status != status {
			err = fmt.Errorf("task %s is %s, not %s", id, task.Status, status)
		}
		return err
	})
}

// claim takes jobs for longer than the test runs.
func (s *moved) claim(t *testing.T, service string, jobs int) {
	t.Helper()
	for jobs > 0 {
		got, err := s.jobs.Poll(t.Context(), queueapi.PollParams{
			WorkerID: "mover", Services: []string{service}, Max: jobs, Wait: 5 * time.Second, Visibility: time.Hour,
		})
		require.NoError(t, err)
		require.NotEmpty(t, got)
		for _, job := range got {
			s.claims[job.TaskID] = job
		}
		jobs -= len(got)
	}
}

func (s *moved) signal(t *testing.T, task string) {
	t.Helper()
	require.NoError(t, s.client.Tasks.Signal(t.Context(), schedulerapi.SignalRequest{TaskID: task, Key: "go", Value: json.RawMessage("true")}))
}

// answer completes a job under the claim that it was given before the move.
func (s *moved) answer(t *testing.T, task string) {
	t.Helper()
	job := s.claims[task]
	require.NotEmpty(t, job.ID)
	require.NoError(t, s.jobs.Complete(t.Context(), queueapi.CompleteRequest{
		QueueID: job.ID, WorkerID: "mover", Token: job.Token, Result: json.RawMessage(`"done"`),
	}))
}

func (s *moved) claimAndAnswer(t *testing.T, task string) {
	t.Helper()
	if s.claims[task].ID == "" {
		s.claim(t, "queued", len(s.tasks["queued"]))
	}
	s.answer(t, task)
}

// move copies the databases of the suite, which has ended, with the command, and
// starts it where they went.
func (s *moved) move(t *testing.T, from, to string) *moved {
	t.Helper()
	command := storeCommand(t, "copy", from, to)
	require.Zero(t, command.Wait(t, copyTimeout), command.Stderr())
	t.Logf("%s\n%s", command.Stderr(), command.Stdout())
	next := serveAgain(t, s.server.Addr, to)
	next.claims, next.tasks = s.claims, s.tasks
	return next
}

func storeCommand(t *testing.T, what, from, to string, more ...string) *suitetest.Process {
	t.Helper()
	return suitetest.Start(t, suitetest.Command{
		Program: suitetest.PocketFlow, Args: append([]string{"store", what, "--from=" + from, "--to=" + to}, more...),
	})
}

func TestSuite_GoesOnWhereItStood(t *testing.T) {
	t.Parallel()
	first, postgres, last := t.TempDir(), pgtest.DSN(t), filepath.Join(t.TempDir(), "data")
	s := serveAt(t, first)
	history, n := s.finishMany(t)
	s.start(t, fewOfEach)
	// Killed, it leaves leases behind, executions under way, and a long WAL.
	s.server.Kill(t)
	s = s.move(t, first, postgres)
	// Half of them end on Postgres, half back on SQLite.
	s.finish(t, func(n int) bool { return n%2 == 0 })
	require.Zero(t, s.server.Stop(t))
	s = s.move(t, postgres, last)
	s.finish(t, func(n int) bool { return n%2 == 1 })
	for _, all := range s.tasks {
		for _, id := range all {
			s.await(t, id, "completed")
			runs, err := s.client.Tasks.ListRuns(t.Context(), id)
			require.NoError(t, err)
			require.NotEmpty(t, runs)
			require.Equal(t, "ok", runs[len(runs)-1].Status)
		}
	}
	s.awaitCompleted(t, history, n)
	require.NotEmpty(t, s.client.Publish(t, "fresh", kinds()[0].definition), "new things are made as before")
}

// finish brings some tasks of each kind to their ends.
func (s *moved) finish(t *testing.T, which func(n int) bool) {
	t.Helper()
	for _, k := range kinds() {
		for n, id := range s.tasks[k.name] {
			if which(n) {
				k.finish(s, t, id)
			}
		}
		for n, id := range s.tasks[k.name] {
			if which(n) {
				s.await(t, id, "completed")
			}
		}
	}
}

func TestCommand_RefusesARunningSuite(t *testing.T) {
	t.Parallel()
	for _, place := range []string{t.TempDir(), pgtest.DSN(t)} {
		s := serveAt(t, place)
		for _, pair := range [][2]string{{place, t.TempDir()}, {suiteOf(t), place}} {
			command := storeCommand(t, "copy", pair[0], pair[1])
			require.Equal(t, 1, command.Wait(t, copyTimeout))
			require.Contains(t, command.Stderr(), "stop its services first")
			require.Empty(t, command.Stdout())
		}
		require.Zero(t, s.server.Stop(t))
	}
}

func TestCommand_PrintsEveryTable(t *testing.T) {
	t.Parallel()
	from, to := suiteOf(t), pgtest.DSN(t)
	fill(t, from, plain, 10)
	command := storeCommand(t, "copy", from, to, "--output=json")
	require.Zero(t, command.Wait(t, copyTimeout), command.Stderr())
	var report struct {
		Copied int `json:"copied"`
		Tables []struct {
			Service string `json:"service"`
			Table   string `json:"table"`
			From    struct {
				Rows   int    `json:"rows"`
				SHA256 string `json:"sha256"`
			} `json:"from"`
			Equal bool `json:"equal"`
		} `json:"tables"`
	}
	require.NoError(t, json.Unmarshal([]byte(command.Stdout()), &report))
	require.Equal(t, 10*len(report.Tables), report.Copied)
	seen := map[string]bool{}
	for _, one := range report.Tables {
		seen[one.Service] = true
		require.True(t, one.Equal)
		require.Equal(t, 10, one.From.Rows)
		require.Len(t, one.From.SHA256, 64)
	}
	require.Len(t, seen, len(migrations.Services))
	alterPostgres(t, to, "UPDATE catalog.flow_versions SET definition = '{}' WHERE version = 3")
	command = storeCommand(t, "verify", from, to)
	require.Equal(t, 1, command.Wait(t, copyTimeout))
	require.Contains(t, command.Stderr(), "catalog.flow_versions")
	require.Contains(t, command.Stdout(), "DIFFERENT")
}
