package postgres_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/connect"
	"github.com/pocketflowgo/pocketflow/shared/storage/migrate"
)

// emptied takes back all migrations of a service's schema and returns the
// server's URL. Tests of one service do not run at the same time.
func emptied(t *testing.T, service string) string {
	t.Helper()
	source := os.Getenv("POCKETFLOW_TEST_POSTGRES_URL")
	if source == "" {
		t.Skip("POCKETFLOW_TEST_POSTGRES_URL is not set")
	}
	_, err := migrate.DownTo(t.Context(), migrate.Target{Service: service, DSN: source}, 0)
	require.NoError(t, err)
	return source
}

func connected(t *testing.T, source string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), source)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close(t.Context())) })
	return conn
}

// Steps and creations share transactions; trouble must not be shared.
func TestTasks_TroubleStaysWithItsOwnTask(t *testing.T) {
	t.Parallel()
	source := emptied(t, migrations.Scheduler)
	quick, err := url.Parse(source)
	require.NoError(t, err)
	values := quick.Query()
	values.Set("lock_timeout", "200ms")
	quick.RawQuery = values.Encode()
	tasks, err := connect.Tasks(t.Context(), quick.String(), connect.Options{Migration: connect.MigrateOnOpen})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tasks.Close()) })

	const count, odd = 40, 7
	now := storage.Now()
	created := make([]storage.NewTask, count)
	for n := range created {
		created[n] = storage.NewTask{Task: storage.Task{
			ID: fmt.Sprintf("task-%02d", n), Status: storage.TaskRunning, Params: json.RawMessage(`{}`), Shared: json.RawMessage(`{}`),
			Lease: storage.Lease{Owner: "alpha", Expiry: now.Add(time.Hour), Epoch: 1}, RunnableAt: now.Add(time.Hour),
			CreatedAt: now, UpdatedAt: now,
		}}
	}

	// More than an index of Postgres takes, and too mixed to be packed.
	var long strings.Builder
	for n := range 4000 {
		fmt.Fprintf(&long, "%x", n*n*7919)
	}
	var creations sync.WaitGroup
	for n, task := range created {
		if n == odd {
			refused := task
			refused.Task.RequestID = long.String()
			creations.Go(func() {
				_, err := tasks.CreateTasks(t.Context(), []storage.NewTask{refused})
				assert.ErrorIs(t, err, storage.ErrInvalidData)
			})
			continue
		}
		creations.Go(func() {
			outcomes, err := tasks.CreateTasks(t.Context(), []storage.NewTask{task})
			assert.NoError(t, err)
			assert.Equal(t, []storage.CreateOutcome{{Task: task.Task}}, outcomes)
		})
	}
	creations.Wait()
	_, err = tasks.CreateTasks(t.Context(), created[odd:odd+1])
	require.NoError(t, err)

	holder, err := connected(t, source).Begin(t.Context())
	require.NoError(t, err)
	_, err = holder.Exec(t.Context(), `SELECT 1 FROM scheduler.tasks WHERE id = $1 FOR UPDATE`, created[odd].Task.ID)
	require.NoError(t, err)
	var locked, others sync.WaitGroup
	for n, task := range created {
		steps := []storage.TaskStep{{
			Lease: storage.LeaseRef{TaskID: task.Task.ID, Epoch: 1}, At: now, Status: storage.TaskCompleted, FinishedAt: now,
		}}
		group := &others
		if n == odd {
			group = &locked
		}
		group.Go(func() {
			outcomes, err := tasks.SettleSteps(t.Context(), steps)
			assert.NoError(t, err)
			assert.Equal(t, []storage.StepOutcome{{}}, outcomes)
		})
	}
	others.Wait()
	require.NoError(t, holder.Rollback(t.Context()), "it is still held when the others are done")
	locked.Wait()
}

func TestConnect_RefusesANewerSchema(t *testing.T) {
	t.Parallel()
	source := emptied(t, migrations.Catalog)
	target := migrate.Target{Service: migrations.Catalog, DSN: source}
	_, err := migrate.Up(t.Context(), target)
	require.NoError(t, err)
	conn := connected(t, source)
	for _, change := range []string{
		`INSERT INTO catalog.goose_db_version (version_id, is_applied) VALUES (99, true)`,
		`DELETE FROM catalog.goose_db_version WHERE version_id = 1`,
	} {
		_, err = conn.Exec(t.Context(), change)
		require.NoError(t, err)
		for _, migration := range connect.Migrations {
			_, err = connect.Flows(t.Context(), source, connect.Options{Migration: migration})
			require.ErrorIs(t, err, storage.ErrSchemaNewer, change)
			require.NotContains(t, err.Error(), "missing")
		}
	}
	_, err = conn.Exec(t.Context(), `UPDATE catalog.goose_db_version SET version_id = 1 WHERE version_id = 99`)
	require.NoError(t, err)
	flows, err := connect.Flows(t.Context(), source, connect.Options{Migration: connect.MigrateOnOpen})
	require.NoError(t, err)
	require.NoError(t, flows.Close())
}
