package storagetest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

var tasksLeaseTests = []tasksTest{
	{"Claim_TakesTheEarliestRunnableFirst", claimEarliest},
	{"Claim_SkipsLeasedTasks", claimSkipsLeased},
	{"Claim_TakesOverAnExpiredLease", claimExpired},
	{"Claim_SkipsEndedAndIdleTasks", claimSkipsEnded},
	{"ClaimTask_TakesOneRunnableOrNot", claimTaskTakes},
	{"ClaimTask_TellsWhyItCannot", claimTaskRefuses},
	{"NextRunnable_IsTheEarliestOfAll", nextRunnable},
	{"Extend_MovesTheExpiryForward", extendLeaseMoves},
	{"Extend_NeverMovesTheExpiryBack", extendLeaseNeverBack},
	{"Extend_TellsOfLostLeasesAndPendingEvents", extendLeaseTells},
	{"Release_FreesTheTask", releaseFrees},
	{"Release_WithEventsPendingKeepsToTheGivenTime", releasePending},
	{"Release_WithEventsPendingAndNoTimeIsRunnableAtOnce", releasePendingWithoutTime},
	{"ReleaseOwner_FreesWhatTheOwnerHolds", releaseOwner},
}

func claimEarliest(t *testing.T, tasks storage.Tasks) {
	for n, delay := range []int{3, 1, 2, 0, 4} {
		created := pendingTask(n)
		created.Task.RunnableAt = after(time.Duration(delay) * time.Microsecond)
		mustCreate(t, tasks, created)
	}
	claimed, err := tasks.ClaimTasks(t.Context(), claimBy("beta", after(3*time.Microsecond)), 2)
	require.NoError(t, err)
	require.Equal(t, []string{taskID(3), taskID(1)}, idsOf(claimed))
	for _, task := range claimed {
		require.Equal(t, storage.Lease{Owner: "beta", Expiry: after(3*time.Microsecond + time.Minute), Epoch: 1}, task.Lease)
		require.Equal(t, task.Lease.Expiry, task.RunnableAt)
		stored, err := tasks.GetTask(t.Context(), task.ID)
		require.NoError(t, err)
		require.Equal(t, stored, task)
	}
	claimed, err = tasks.ClaimTasks(t.Context(), claimBy("gamma", after(3*time.Microsecond)), 10)
	require.NoError(t, err)
	require.Equal(t, []string{taskID(2), taskID(0)}, idsOf(claimed), "the fifth is not due")
}

func claimSkipsLeased(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, heldTask(1))
	claimed, err := tasks.ClaimTasks(t.Context(), claimBy("beta", after(time.Minute-time.Microsecond)), 10)
	require.NoError(t, err)
	require.Empty(t, claimed)
}

func claimExpired(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, heldTask(1))
	claimed, err := tasks.ClaimTasks(t.Context(), claimBy("beta", after(time.Minute)), 10)
	require.NoError(t, err)
	require.Len(t, claimed, 1)
	require.Equal(t, int64(2), claimed[0].Lease.Epoch)
	require.Equal(t, "beta", claimed[0].Lease.Owner)
	require.Equal(t, storage.TaskRunning, claimed[0].Status)
}

func claimSkipsEnded(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, heldTask(1), heldTask(2))
	mustSettle(t, tasks, endStep(1, 1), releaseStep(2, 1, time.Time{}))
	claimed, err := tasks.ClaimTasks(t.Context(), claimBy("beta", after(24*time.Hour)), 10)
	require.NoError(t, err)
	require.Empty(t, claimed)
}

func claimTaskTakes(t *testing.T, tasks storage.Tasks) {
	idle := heldTask(1)
	mustCreate(t, tasks, idle, pendingTask(2), heldTask(3))
	mustSettle(t, tasks, releaseStep(1, 1, time.Time{}))
	for n, epoch := range map[int]int64{1: 2, 2: 1, 3: 2} {
		task, err := tasks.ClaimTask(t.Context(), taskID(n), claimBy("beta", after(time.Minute)))
		require.NoError(t, err)
		require.Equal(t, storage.Lease{Owner: "beta", Expiry: after(2 * time.Minute), Epoch: epoch}, task.Lease)
		require.Equal(t, after(2*time.Minute), task.RunnableAt)
		require.Equal(t, mustGet(t, tasks, n), task)
	}
}

func claimTaskRefuses(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, heldTask(1), heldTask(2))
	mustSettle(t, tasks, endStep(2, 1))
	_, err := tasks.ClaimTask(t.Context(), taskID(9), claimBy("beta", start))
	require.ErrorIs(t, err, storage.ErrNotFound)
	_, err = tasks.ClaimTask(t.Context(), taskID(2), claimBy("beta", start))
	require.ErrorIs(t, err, storage.ErrEnded)
	for _, owner := range []string{"beta", "alpha"} {
		_, err = tasks.ClaimTask(t.Context(), taskID(1), claimBy(owner, after(time.Minute-time.Microsecond)))
		require.ErrorIs(t, err, storage.ErrLeaseHeld)
	}
	require.Equal(t, heldTask(1).Task, mustGet(t, tasks, 1))
}

func nextRunnable(t *testing.T, tasks storage.Tasks) {
	next, err := tasks.NextRunnable(t.Context())
	require.NoError(t, err)
	require.Zero(t, next)
	mustCreate(t, tasks, heldTask(1), heldTask(2), heldTask(3))
	mustSettle(t, tasks, releaseStep(1, 1, after(time.Hour)), releaseStep(2, 1, time.Time{}))
	for _, want := range []time.Time{after(time.Minute), after(time.Hour)} {
		next, err = tasks.NextRunnable(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, next)
		if want.Equal(after(time.Minute)) {
			mustSettle(t, tasks, endStep(3, 1))
		}
	}
}

func extendLeaseMoves(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, heldTask(1), heldTask(2))
	outcomes, err := tasks.ExtendLeases(t.Context(), []storage.LeaseRef{{TaskID: taskID(2), Epoch: 1}, {TaskID: taskID(1), Epoch: 1}}, after(time.Hour))
	require.NoError(t, err)
	require.Equal(t, []storage.ExtendOutcome{{}, {}}, outcomes)
	for _, n := range []int{1, 2} {
		task := mustGet(t, tasks, n)
		require.Equal(t, after(time.Hour), task.Lease.Expiry)
		require.Equal(t, after(time.Hour), task.RunnableAt)
		require.Equal(t, int64(1), task.Lease.Epoch)
	}
}

func extendLeaseNeverBack(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, heldTask(1))
	outcomes, err := tasks.ExtendLeases(t.Context(), []storage.LeaseRef{{TaskID: taskID(1), Epoch: 1}}, after(time.Second))
	require.NoError(t, err)
	require.Equal(t, []storage.ExtendOutcome{{}}, outcomes)
	require.Equal(t, heldTask(1).Task, mustGet(t, tasks, 1))
}

func extendLeaseTells(t *testing.T, tasks storage.Tasks) {
	for n := 1; n <= 5; n++ {
		mustCreate(t, tasks, heldTask(n))
	}
	mustAppend(t, tasks, signal(1, "s"))
	mustSettle(t, tasks, releaseStep(3, 1, start), endStep(4, 1))
	leases := []storage.LeaseRef{
		{TaskID: taskID(5), Epoch: 1}, {TaskID: taskID(1), Epoch: 1}, {TaskID: taskID(2), Epoch: 2},
		{TaskID: taskID(3), Epoch: 1}, {TaskID: taskID(4), Epoch: 1}, {TaskID: taskID(9), Epoch: 1},
	}
	outcomes, err := tasks.ExtendLeases(t.Context(), leases, after(time.Hour))
	require.NoError(t, err)
	lost := storage.ExtendOutcome{Err: storage.ErrLeaseLost}
	require.Equal(t, []storage.ExtendOutcome{{}, {InboxPending: true}, lost, lost, lost, lost}, outcomes)
	require.Zero(t, mustGet(t, tasks, 4).RunnableAt)
	require.Equal(t, start, mustGet(t, tasks, 3).RunnableAt)
}

func releaseFrees(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, heldTask(1), heldTask(2))
	leases := []storage.LeaseRef{{TaskID: taskID(2), Epoch: 9}, {TaskID: taskID(1), Epoch: 1}, {TaskID: taskID(7), Epoch: 1}}
	outcomes, err := tasks.ReleaseLeases(t.Context(), leases, after(time.Second))
	require.NoError(t, err)
	require.Equal(t, storage.Outcomes{storage.ErrLeaseLost, nil, storage.ErrLeaseLost}, outcomes)
	want := heldTask(1).Task
	want.Lease, want.RunnableAt = storage.Lease{Epoch: 1}, after(time.Second)
	require.Equal(t, want, mustGet(t, tasks, 1))
	require.Equal(t, heldTask(2).Task, mustGet(t, tasks, 2))
	outcomes, err = tasks.ReleaseLeases(t.Context(), leases[1:2], after(time.Hour))
	require.NoError(t, err)
	require.Equal(t, storage.Outcomes{storage.ErrLeaseLost}, outcomes, "it was given back before")
	require.Equal(t, want, mustGet(t, tasks, 1))
}

// A scheduler that cannot execute a task puts it off: were the task runnable at
// once because of its inbox, it would be claimed and given back without end.
func releasePending(t *testing.T, tasks storage.Tasks) {
	for n, release := range releases(after(time.Hour)) {
		mustCreate(t, tasks, heldTask(n))
		mustAppend(t, tasks, signal(n, "s"))
		require.NoError(t, release(t, tasks))
		require.Equal(t, after(time.Hour), mustGet(t, tasks, n).RunnableAt)
		claimed, err := tasks.ClaimTasks(t.Context(), claimBy("beta", after(time.Hour-time.Microsecond)), 10)
		require.NoError(t, err)
		require.Empty(t, claimed)

		late := signal(n, "late")
		late.At = after(time.Minute)
		mustAppend(t, tasks, late)
		claimed, err = tasks.ClaimTasks(t.Context(), claimBy("beta", after(time.Minute)), 10)
		require.NoError(t, err)
		require.Equal(t, []string{taskID(n)}, idsOf(claimed), "an event that comes after the release does not wait")
		end := endStep(n, 2)
		end.InboxDone = 2
		mustSettle(t, tasks, end)
	}
}

// A task with events must not be left without a time to look at it.
func releasePendingWithoutTime(t *testing.T, tasks storage.Tasks) {
	for n, release := range releases(time.Time{}) {
		mustCreate(t, tasks, heldTask(n))
		mustAppend(t, tasks, signal(n, "s"))
		require.NoError(t, release(t, tasks))
		claimed, err := tasks.ClaimTasks(t.Context(), claimBy("beta", after(2*time.Second)), 10)
		require.NoError(t, err)
		require.Equal(t, []string{taskID(n)}, idsOf(claimed))
	}
}

// releases are the ways to free the held task of each one's place in the list.
func releases(runnableAt time.Time) []func(*testing.T, storage.Tasks) error {
	return []func(*testing.T, storage.Tasks) error{
		func(t *testing.T, tasks storage.Tasks) error {
			_, err := tasks.ReleaseLeases(t.Context(), []storage.LeaseRef{{TaskID: taskID(0), Epoch: 1}}, runnableAt)
			return err
		},
		func(t *testing.T, tasks storage.Tasks) error {
			_, err := tasks.ReleaseOwner(t.Context(), "alpha", runnableAt)
			return err
		},
	}
}

func releaseOwner(t *testing.T, tasks storage.Tasks) {
	for n := 1; n <= 4; n++ {
		mustCreate(t, tasks, heldTask(n))
	}
	mustCreate(t, tasks, pendingTask(5))
	other := heldTask(6)
	other.Task.Lease.Owner = "beta"
	mustCreate(t, tasks, other)
	mustSettle(t, tasks, endStep(1, 1), releaseStep(2, 1, after(time.Hour)))
	count, err := tasks.ReleaseOwner(t.Context(), "alpha", after(time.Second))
	require.NoError(t, err)
	require.Equal(t, 2, count)
	for _, n := range []int{3, 4} {
		task := mustGet(t, tasks, n)
		require.Equal(t, storage.Lease{Epoch: 1}, task.Lease)
		require.Equal(t, after(time.Second), task.RunnableAt)
	}
	require.Equal(t, other.Task, mustGet(t, tasks, 6))
	for _, owner := range []string{"alpha", "nobody", ""} {
		count, err = tasks.ReleaseOwner(t.Context(), owner, start)
		require.NoError(t, err)
		require.Zero(t, count)
	}
	require.Equal(t, after(time.Hour), mustGet(t, tasks, 2).RunnableAt)
}
