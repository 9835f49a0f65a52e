package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/connect"
	"github.com/pocketflowgo/pocketflow/tests/pgtest"
)

// One row in the hands of an operator must not cost a scheduler the leases of
// all its tasks.
func TestPostgres_ExtendPassesOverBusyRows(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dsn := pgtest.Migrated(t, migrations.Scheduler)
	tasks, err := connect.Tasks(ctx, dsn, connect.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tasks.Close()) })
	operator, err := pgx.Connect(ctx, dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, operator.Close(context.Background())) })

	const count, busy, leaving, gone = 100, 7, 8, 9
	now := storage.Now()
	until, later := now.Add(time.Hour), now.Add(2*time.Hour)
	leases := make([]storage.LeaseRef, count)
	for n := range leases {
		leases[n] = storage.LeaseRef{TaskID: fmt.Sprintf("task-%03d", n), Epoch: 1}
		_, err := tasks.CreateTasks(ctx, []storage.NewTask{{Task: storage.Task{
			ID: leases[n].TaskID, Status: storage.TaskRunning, Params: json.RawMessage(`{}`), Shared: json.RawMessage(`{}`),
			Lease: storage.Lease{Owner: "alpha", Expiry: until, Epoch: 1}, RunnableAt: until, CreatedAt: now, UpdatedAt: now,
		}}})
		require.NoError(t, err)
	}
	const take = `UPDATE scheduler.tasks SET lease_owner = 'beta', lease_epoch = 2 WHERE id = $1`
	const lock = `SELECT 1 FROM scheduler.tasks WHERE id IN ($1, $2) FOR UPDATE`
	_, err = operator.Exec(ctx, take, leases[gone].TaskID)
	require.NoError(t, err)
	held, err := operator.Begin(ctx)
	require.NoError(t, err)
	_, err = held.Exec(ctx, lock, leases[busy].TaskID, leases[gone].TaskID)
	require.NoError(t, err)
	_, err = held.Exec(ctx, take, leases[leaving].TaskID)
	require.NoError(t, err)

	want := make([]storage.ExtendOutcome, count)
	want[busy].Busy = true
	want[leaving].Busy = true // the lease is lost when the other commits, if it does
	want[gone].Err = storage.ErrLeaseLost
	expiries := func() (expiries []time.Time) {
		for _, lease := range leases {
			task, err := tasks.GetTask(ctx, lease.TaskID)
			require.NoError(t, err)
			require.Equal(t, task.Lease.Expiry, task.RunnableAt)
			expiries = append(expiries, task.Lease.Expiry)
		}
		return expiries
	}
	start := time.Now()
	outcomes, err := tasks.ExtendLeases(ctx, leases, later)
	require.NoError(t, err)
	require.Less(t, time.Since(start), 2*time.Second, "it does not wait for the lock's time-out")
	require.Equal(t, want, outcomes)
	for n, expiry := range expiries() {
		if n == busy || n == leaving || n == gone {
			require.Equal(t, until, expiry)
			continue
		}
		require.Equal(t, later, expiry)
	}

	require.NoError(t, held.Commit(ctx))
	lost := storage.ExtendOutcome{Err: storage.ErrLeaseLost}
	outcomes, err = tasks.ExtendLeases(ctx, leases[busy:gone+1], later)
	require.NoError(t, err)
	require.Equal(t, []storage.ExtendOutcome{{}, lost, lost}, outcomes)
	require.Equal(t, later, expiries()[busy])
}
