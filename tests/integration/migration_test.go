//go:build unix

package integration

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5" //nolint:depguard // makes a schema that no binary knows
	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

// unfinished is a way for a task to be unfinished while its database is
// migrated, and what it takes to finish it then.
type unfinished struct {
	name, definition string
	status           storage.TaskStatus
	finish           func(m *migrated, t *testing.T, task string)
}

func unfinishedTasks() []unfinished {
	return []unfinished{
		{
			name: "signal", status: storage.TaskWaiting, finish: (*migrated).signal,
			definition: `{"start": "w", "nodes": {"w": {"kind": "wait_event", "signal_key": "go"}}}`,
		},
		{
			name: "approval", status: storage.TaskWaiting, finish: (*migrated).signal,
			definition: `{"start": "w", "nodes": {"w": {"kind": "approval", "approval_key": "go"}}}`,
		},
		{
			// It falls due before the migration or after, as it happens.
			name: "timer", status: storage.TaskWaiting, finish: func(*migrated, *testing.T, string) {},
			definition: `{"start": "w", "nodes": {"w": {"kind": "timer", "delay_ms": 5000}}}`,
		},
		{
			name: "claimed", status: storage.TaskWaitingQueue, finish: (*migrated).answer,
			definition: `{"start": "w", "nodes": {"w": {"kind": "executor", "exec_type": "queue", "service": "claimed"}}}`,
		},
		{
			name: "queued", status: storage.TaskWaitingQueue, finish: func(m *migrated, t *testing.T, task string) {
				t.Helper()
				// Two schedulers handed the jobs in, each when it was its turn.
				for m.claims[task].ID == "" {
					m.claim(t, "queued", 1)
				}
				m.answer(t, task)
			},
			definition: `{"start": "w", "nodes": {"w": {"kind": "executor", "exec_type": "queue", "service": "queued"}}}`,
		},
	}
}

const (
	// fewOfEach is how many unfinished tasks there are of each kind.
	fewOfEach = 5
	// longClaim outlasts the migration.
	longClaim = 10 * time.Minute
	// futureVersion is of a schema that no binary knows.
	futureVersion = 999
)

// migrated is a stack whose database is migrated with data in it.
type migrated struct {
	*stack
	jobs   *queueapi.Client
	claims map[string]queueapi.Job // by task
}

func (m *migrated) signal(t *testing.T, task string) {
	t.Helper()
	require.NoError(t, m.direct.Tasks.Signal(t.Context(), schedulerapi.SignalRequest{TaskID: task, Key: "go", Value: []byte(`true`)}))
}

func (m *migrated) answer(t *testing.T, task string) {
	t.Helper()
	job := m.claims[task]
	require.NoError(t, m.jobs.Complete(t.Context(), queueapi.CompleteRequest{
		QueueID: job.ID, Token: job.Token, RunID: job.RunID, Result: []byte(`"done"`),
	}))
}

// claim takes so many jobs of a service.
func (m *migrated) claim(t *testing.T, service string, n int) {
	t.Helper()
	for range n {
		suitetest.Await(t, startTimeout, func() error {
			jobs, err := m.jobs.Poll(t.Context(), queueapi.PollParams{WorkerID: "test", Services: []string{service}, Visibility: longClaim})
			if err != nil || len(jobs) != 1 {
				return fmt.Errorf("%d jobs of %s: %w", len(jobs), service, err)
			}
			m.claims[jobs[0].TaskID] = jobs[0]
			return nil
		})
	}
}

func (m *migrated) awaitStatus(t *testing.T, id string, want storage.TaskStatus) {
	t.Helper()
	suitetest.Await(t, startTimeout, func() error {
		task, err := m.client.Tasks.GetTask(t.Context(), id)
		if err == nil && task.Status != string(want) {
			err = fmt.Errorf("task %s is %s, not %s", id, task.Status, want)
		}
		return err
	})
}

// Two replicas each of the scheduler and the queue-gateway start on the schema
// before the one they are built for, with tasks in it. They say so, change
// nothing, and take the tasks up when the migration has run, without a restart.
// How the version before gets on with the new schema is tested by
// tests/conformance, with what that version says.
func TestMigration_WaitsForTheSchemaAndGoesOnWithWhatIsThere(t *testing.T) {
	t.Parallel()
	m := &migrated{stack: startStack(t, inPairs), claims: map[string]queueapi.Job{}}
	hc := httpx.NewHTTPClient()
	t.Cleanup(hc.CloseIdleConnections)
	var err error
	m.jobs, err = queueapi.NewClient(m.replicas[queuePart][0].url, hc)
	require.NoError(t, err)

	finished := newLoad(t, m.stack, "finished", loadSize/10)
	require.NoError(t, finished.create(t.Context(), time.Microsecond))
	finished.awaitEnd(t)
	tasks := map[string][]string{}
	for _, kind := range unfinishedTasks() {
		version := m.client.Publish(t, kind.name, kind.definition)
		for range fewOfEach {
			id, err := m.client.Tasks.CreateTask(t.Context(), schedulerapi.CreateTaskRequest{FlowVersionID: version})
			require.NoError(t, err)
			tasks[kind.name] = append(tasks[kind.name], id)
		}
		for _, id := range tasks[kind.name] {
			m.awaitStatus(t, id, kind.status)
		}
	}
	m.claim(t, "claimed", fewOfEach)
	before := finished.told(t, finished.ids[0])

	migratedParts := []part{schedulerPart, queuePart}
	for _, p := range migratedParts {
		for _, r := range m.replicas[p] {
			r.stop(t)
		}
		m.migrate(t, p, "down")
	}
	since := map[*replica]string{}
	for _, p := range migratedParts {
		for _, r := range m.replicas[p] {
			require.NoError(t, r.container.Start(t.Context()), r.name)
			m.awaitOldSchema(t, r)
			since[r] = r.state(t).StartedAt
		}
	}
	for _, p := range migratedParts {
		m.migrate(t, p, "up")
	}
	for r, start := range since {
		r.awaitReady(t)
		require.Equal(t, start, r.state(t).StartedAt, "%s was not restarted", r.name)
	}

	finished.verify(t)
	require.Equal(t, before, finished.told(t, finished.ids[0]))
	for _, kind := range unfinishedTasks() {
		for _, id := range tasks[kind.name] {
			kind.finish(m, t, id)
		}
	}
	for _, kind := range unfinishedTasks() {
		for _, id := range tasks[kind.name] {
			m.awaitStatus(t, id, storage.TaskCompleted)
		}
	}
}

// awaitOldSchema waits until a replica says why it is not ready.
func (m *migrated) awaitOldSchema(t *testing.T, r *replica) {
	t.Helper()
	suitetest.Await(t, startTimeout, func() error {
		status, body, err := get(t.Context(), r.url+"/readyz")
		if err == nil && (status != http.StatusServiceUnavailable || !strings.Contains(body, "migrat")) {
			err = fmt.Errorf("%s answers %d %s", r.name, status, body)
		}
		return err
	})
}

// A schema that is newer than the replicas know comes while they serve: they
// stay ready, and nobody notices. Only one that starts then refuses, and says
// which versions it is about.
func TestMigration_ANewerSchemaComesWhileTheReplicasServe(t *testing.T) {
	t.Parallel()
	s := startStack(t, inPairs)
	l, lost := s.endure(t, "expand", func() {
		conn, err := pgx.Connect(t.Context(), s.dsn)
		require.NoError(t, err)
		defer func() { require.NoError(t, conn.Close(context.WithoutCancel(t.Context()))) }()
		for _, change := range []struct{ schema, table string }{{"scheduler", "tasks"}, {"scheduler", "node_runs"}, {"queue", "jobs"}} {
			_, err = conn.Exec(t.Context(), fmt.Sprintf(`ALTER TABLE %s.%s ADD COLUMN future TEXT NOT NULL DEFAULT ''`, change.schema, change.table))
			require.NoError(t, err)
		}
		for _, schema := range []string{"scheduler", "queue"} {
			_, err = conn.Exec(t.Context(), fmt.Sprintf(`INSERT INTO %s.goose_db_version (version_id, is_applied) VALUES (%d, true)`, schema, futureVersion))
			require.NoError(t, err)
		}
	})
	require.Zero(t, lost, "attempts that had to be made again")
	require.Zero(t, l.unavailable.Load()+l.unanswered.Load(), "requests that had to be repeated")
	for _, p := range []part{schedulerPart, queuePart} {
		for _, r := range s.replicas[p] {
			r.awaitReady(t)
		}
		last := s.replicas[p][1]
		last.stop(t)
		require.NoError(t, last.container.Start(t.Context()))
		suitetest.Await(t, startTimeout, func() error {
			if state := last.state(t); state.Running {
				return fmt.Errorf("%s runs", last.name)
			}
			return nil
		})
		require.NotZero(t, last.state(t).ExitCode)
		lines := strings.Split(strings.TrimSpace(last.log(t)), "\n")
		require.Contains(t, lines[len(lines)-1], fmt.Sprintf("database is at version %d, this binary knows", futureVersion))
		s.replicas[p][0].awaitReady(t)
	}
}
