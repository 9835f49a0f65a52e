package storagetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

var tasksMarkTests = []tasksTest{
	{"MarkRunning_TellsWhoCarriesAQueuedRunOut", markQueued},
	{"MarkRunning_GoesToTheNextWorker", markAgain},
	{"MarkRunning_NeverReopensARun", markEnded},
	{"MarkRunning_IsNotFoundForAnotherRun", markUnknown},
	{"MarkRunning_OutlivesARepeatedStep", markThenRepeat},
	{"MarkRunning_OfTheWorkerOutlivesAnEndWithoutOne", markThenTimeout},
	{"MarkRunning_MeetsStepsInAnyOrder", markRace},
}

func queuedRun(n, no int) storage.NodeRun {
	run := startedRun(n, no)
	run.Status, run.WorkerID, run.WorkerURL, run.LogPath = storage.RunQueued, "", "", ""
	return run
}

func runRef(n, no int) storage.RunRef {
	run := startedRun(n, no)
	return storage.RunRef{TaskID: run.TaskID, No: no, ID: run.ID}
}

func mark(n, no int, worker string) storage.RunningMark {
	return storage.RunningMark{Run: runRef(n, no), WorkerID: worker}
}

// createQueued makes a held task whose first run is running and whose second is
// queued.
func createQueued(t testContext, tasks storage.Tasks, n int) storage.TaskStep {
	mustCreate(t, tasks, heldTask(n))
	step := keepStep(n, 1)
	step.Started = []storage.NodeRun{queuedRun(n, 2)}
	mustSettle(t, tasks, step)
	return step
}

func mustMark(t testContext, tasks storage.Tasks, marks ...storage.RunningMark) storage.Outcomes {
	outcomes, err := tasks.MarkRunning(t.Context(), marks)
	require.NoError(t, err)
	require.Len(t, outcomes, len(marks))
	return outcomes
}

// secondRun is the run that createQueued made queued.
func secondRun(t testContext, tasks storage.Tasks, n int) storage.NodeRun {
	runs, err := tasks.LoadRuns(t.Context(), taskID(n), []int{2})
	require.NoError(t, err)
	require.Len(t, runs, 1)
	return runs[0]
}

func markQueued(t *testing.T, tasks storage.Tasks) {
	createQueued(t, tasks, 1)
	before := mustGet(t, tasks, 1)
	want := queuedRun(1, 2)
	want.Status, want.WorkerID = storage.RunRunning, cleaned
	for range 2 {
		requireOutcomes(t, storage.Outcomes{nil}, mustMark(t, tasks, mark(1, 2, dirty)))
		require.Equal(t, want, secondRun(t, tasks, 1))
	}
	require.Equal(t, before, mustGet(t, tasks, 1), "the task is untouched")
	requireOutcomes(t, storage.Outcomes{}, mustMark(t, tasks))
}

func markAgain(t *testing.T, tasks storage.Tasks) {
	createQueued(t, tasks, 1)
	requireOutcomes(t, storage.Outcomes{nil, nil}, mustMark(t, tasks, mark(1, 2, ""), mark(1, 2, "w1")))
	require.Equal(t, "w1", secondRun(t, tasks, 1).WorkerID)
	mustMark(t, tasks, mark(1, 2, "w2"))
	mustMark(t, tasks, mark(1, 2, ""))
	run := secondRun(t, tasks, 1)
	require.Equal(t, "w2", run.WorkerID)
	require.Equal(t, storage.RunRunning, run.Status)
}

func markEnded(t *testing.T, tasks storage.Tasks) {
	for n, status := range []storage.RunStatus{storage.RunOK, storage.RunError, storage.RunCanceled, storage.RunTimeout} {
		createQueued(t, tasks, n)
		step := keepStep(n, 1)
		step.Seq = 3
		step.Finished = []storage.RunFinish{{No: 2, Status: status, FinishedAt: after(time.Second)}}
		mustSettle(t, tasks, step)
		before := snapshot(t, tasks, n)
		requireOutcomes(t, storage.Outcomes{storage.ErrEnded}, mustMark(t, tasks, mark(n, 2, "late")))
		require.Equal(t, before, snapshot(t, tasks, n))
	}
}

func markUnknown(t *testing.T, tasks storage.Tasks) {
	createQueued(t, tasks, 1)
	before := snapshot(t, tasks, 1)
	other := mark(1, 2, "w")
	other.Run.ID = "run-other"
	marks := []storage.RunningMark{other, mark(1, 7, "w"), mark(9, 1, "w"), {}}
	want := storage.Outcomes{storage.ErrNotFound, storage.ErrNotFound, storage.ErrNotFound, storage.ErrNotFound}
	for _, id := range unstorable {
		bad := mark(1, 2, "w")
		bad.Run.ID = id
		marks, want = append(marks, bad), append(want, storage.ErrNotFound)
		bad = mark(1, 2, "w")
		bad.Run.TaskID = id
		marks, want = append(marks, bad), append(want, storage.ErrNotFound)
	}
	requireOutcomes(t, want, mustMark(t, tasks, marks...))
	require.Equal(t, before, snapshot(t, tasks, 1))
	requireOutcomes(t, append(want, nil), mustMark(t, tasks, append(marks, mark(1, 2, "w"))...))
}

// The job of a step whose outcome was not heard may be with a worker before the
// step is made again.
func markThenRepeat(t *testing.T, tasks storage.Tasks) {
	step := createQueued(t, tasks, 1)
	mustMark(t, tasks, mark(1, 2, "w1"))
	before := snapshot(t, tasks, 1)
	mustSettle(t, tasks, step)
	require.Equal(t, before, snapshot(t, tasks, 1))

	step.Seq, step.Started = 3, nil
	step.Finished = []storage.RunFinish{{No: 2, Status: storage.RunOK, WorkerID: "w2", FinishedAt: after(time.Second)}}
	mustSettle(t, tasks, step)
	run := secondRun(t, tasks, 1)
	require.Equal(t, storage.RunOK, run.Status)
	require.Equal(t, "w2", run.WorkerID, "who gave the result")
}

func markThenTimeout(t *testing.T, tasks storage.Tasks) {
	createQueued(t, tasks, 1)
	mustMark(t, tasks, mark(1, 2, "w1"))
	step := keepStep(1, 1)
	step.Seq = 3
	step.Finished = []storage.RunFinish{{No: 2, Status: storage.RunTimeout, ErrorCode: "timeout", FinishedAt: after(time.Second)}}
	mustSettle(t, tasks, step)
	want := queuedRun(1, 2)
	want.WorkerID = "w1"
	step.Finished[0].Close(&want)
	require.Equal(t, want, secondRun(t, tasks, 1))
	require.Equal(t, "w1", want.WorkerID)
}

// Marks of many runs and the ends of the same runs cross: each run ends ended,
// and nobody waits for ever.
func markRace(t *testing.T, tasks storage.Tasks) {
	const tasksCount, rounds = 8, 3
	for n := range tasksCount {
		createQueued(t, tasks, n)
	}
	fail := make(chan error, rounds+1)
	for r := range rounds {
		go func() {
			marks := make([]storage.RunningMark, tasksCount)
			for i := range marks {
				marks[i] = mark((i*(2*r+1)+r)%tasksCount, 2, fmt.Sprint("w", r))
			}
			_, err := tasks.MarkRunning(t.Context(), marks)
			fail <- err
		}()
	}
	go func() {
		steps := make([]storage.TaskStep, tasksCount)
		for i := range steps {
			steps[i] = keepStep(tasksCount-1-i, 1)
			steps[i].Seq = 3
			steps[i].Finished = []storage.RunFinish{{No: 2, Status: storage.RunOK, FinishedAt: after(time.Second)}}
		}
		_, err := tasks.SettleSteps(t.Context(), steps)
		fail <- err
	}()
	for range rounds + 1 {
		require.NoError(t, <-fail)
	}
	for n := range tasksCount {
		require.Equal(t, storage.RunOK, secondRun(t, tasks, n).Status)
	}
}
