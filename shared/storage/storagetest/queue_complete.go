package storagetest

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// completion is the claimant's answer, in time.
func completion(job storage.Job) storage.JobCompletion {
	return storage.JobCompletion{
		JobID: job.ID, WorkerID: job.WorkerID, Token: job.Token, Result: json.RawMessage(`{"result":1}`), Hash: "hash-1",
		At: job.StartedAt.Add(1),
	}
}

func complete(t *testing.T, store storage.Queue, completions ...storage.JobCompletion) storage.Outcomes {
	t.Helper()
	outcomes, err := store.CompleteJobs(t.Context(), completions)
	require.NoError(t, err)
	return outcomes
}

func completeWrites(t *testing.T, store storage.Queue) {
	for n, failed := range []bool{false, true} {
		job := claimOne(t, store, n*100)
		done := completion(job)
		done.Failed, done.Result, done.LogPath, done.At = failed, json.RawMessage(awkwardJSON), "/var/log/x y", at(n*100+3)
		requireOutcomes(t, storage.Outcomes{nil}, complete(t, store, done))

		want := job
		want.Status = storage.JobCompleted
		if failed {
			want.Status = storage.JobFailed
		}
		want.FinishedAt, want.ResultHash, want.LogPath = done.At, done.Hash, done.LogPath
		require.Equal(t, bare(want), getJob(t, store, job.ID))

		messages, err := store.ClaimResults(t.Context(), done.At, at(9000), 10)
		require.NoError(t, err)
		require.Equal(t, []storage.JobResult{{
			JobID: job.ID, TaskID: job.TaskID, RunID: job.RunID, Payload: done.Result, NextAt: at(9000), Attempts: 1,
		}}, messages)
	}
}

func completeByToken(t *testing.T, store storage.Queue) {
	job := claimOne(t, store, 1)
	wrong := completion(job)
	wrong.Token = "token-other"
	requireOutcomes(t, storage.Outcomes{storage.ErrClaimLost}, complete(t, store, wrong))
	require.Equal(t, bare(job), getJob(t, store, job.ID))
	require.Empty(t, results(t, store))

	right := completion(job)
	right.WorkerID = "another name for the same worker"
	requireOutcomes(t, storage.Outcomes{nil}, complete(t, store, right))
}

func completeByWorker(t *testing.T, store storage.Queue) {
	job := claimOne(t, store, 1)
	done := completion(job)
	done.Token, done.WorkerID = "", "w-2"
	requireOutcomes(t, storage.Outcomes{storage.ErrClaimLost}, complete(t, store, done))
	done.WorkerID = job.WorkerID
	requireOutcomes(t, storage.Outcomes{nil}, complete(t, store, done))
}

func completeUnnamed(t *testing.T, store storage.Queue) {
	done := completion(claimOne(t, store, 1))
	done.WorkerID, done.Token = "", ""
	done.At = at(11)
	requireOutcomes(t, storage.Outcomes{storage.ErrClaimLost}, complete(t, store, done))
	done.At = at(11).Add(-1000)
	requireOutcomes(t, storage.Outcomes{nil}, complete(t, store, done))

	job := claimOne(t, store, 100)
	_, err := store.ExpireClaims(t.Context(), job.TimeoutAt, 5, 10, deadMessage)
	require.NoError(t, err)
	done.JobID, done.At = job.ID, at(101)
	requireOutcomes(t, storage.Outcomes{storage.ErrClaimLost}, complete(t, store, done))
}

func completeLate(t *testing.T, store storage.Queue) {
	for i, name := range []func(*storage.JobCompletion){
		func(done *storage.JobCompletion) { done.WorkerID = "" },
		func(done *storage.JobCompletion) { done.Token = "" },
	} {
		for j, swept := range []bool{false, true} {
			job := claimOne(t, store, i*1000+j*100)
			if swept {
				_, err := store.ExpireClaims(t.Context(), job.TimeoutAt, 5, 10, deadMessage)
				require.NoError(t, err)
				require.Equal(t, storage.JobPending, getJob(t, store, job.ID).Status)
			}
			done := completion(job)
			done.At = job.TimeoutAt.Add(1e9)
			name(&done)
			requireOutcomes(t, storage.Outcomes{nil}, complete(t, store, done))
			require.Equal(t, storage.JobCompleted, getJob(t, store, job.ID).Status)
			require.Empty(t, claim(t, store, claimAt(done.At, 1, "transform")))
		}
	}
	require.Len(t, results(t, store), 4)
}

func completeLost(t *testing.T, store storage.Queue) {
	job := claimOne(t, store, 1)
	_, err := store.ExpireClaims(t.Context(), job.TimeoutAt, 5, 10, deadMessage)
	require.NoError(t, err)
	params := claimAt(at(20), 1, "transform")
	params.WorkerID, params.NewToken = "w-2", func() string { return "token-second" }
	second := claim(t, store, params)
	require.Len(t, second, 1)
	require.Equal(t, 2, second[0].Deliveries)

	byToken, byWorker := completion(job), completion(job)
	byToken.WorkerID, byWorker.Token = "", ""
	requireOutcomes(t, storage.Outcomes{storage.ErrClaimLost, storage.ErrClaimLost}, complete(t, store, byToken, byWorker))
	requireOutcomes(t, storage.Outcomes{nil}, complete(t, store, completion(second[0])))
	require.Len(t, results(t, store), 1)
}

func completeRepeat(t *testing.T, store storage.Queue) {
	job := claimOne(t, store, 1)
	done := completion(job)
	requireOutcomes(t, storage.Outcomes{nil}, complete(t, store, done))
	finished := getJob(t, store, job.ID)
	require.Len(t, results(t, store), 1)
	require.NoError(t, store.AckResults(t.Context(), []string{job.ID}))

	again := done
	again.At = at(500)
	unnamed := again
	unnamed.Token, unnamed.WorkerID = "", ""
	requireOutcomes(t, storage.Outcomes{nil, nil}, complete(t, store, again, unnamed))
	require.Equal(t, finished, getJob(t, store, job.ID))
	require.Empty(t, results(t, store), "no second message")
}

func completeRepeatByOther(t *testing.T, store storage.Queue) {
	lost := claimOne(t, store, 1)
	_, err := store.ExpireClaims(t.Context(), lost.TimeoutAt, 5, 10, deadMessage)
	require.NoError(t, err)
	params := claimAt(at(20), 1, "transform")
	params.WorkerID, params.NewToken = "w-2", func() string { return "token-second" }
	claimed := claim(t, store, params)
	require.Len(t, claimed, 1)
	requireOutcomes(t, storage.Outcomes{nil}, complete(t, store, completion(claimed[0])))

	byToken, byWorker, guess := completion(lost), completion(lost), completion(claimed[0])
	byToken.WorkerID, byWorker.Token, guess.Token = "", "", "guess"
	requireOutcomes(t, storage.Outcomes{storage.ErrClaimLost, storage.ErrClaimLost, storage.ErrClaimLost},
		complete(t, store, byToken, byWorker, guess))

	byToken, byWorker = completion(claimed[0]), completion(claimed[0])
	byToken.WorkerID, byWorker.Token = "", ""
	requireOutcomes(t, storage.Outcomes{nil, nil}, complete(t, store, byToken, byWorker))
	require.Len(t, results(t, store), 1)
}

func completeContradiction(t *testing.T, store storage.Queue) {
	job := claimOne(t, store, 1)
	requireOutcomes(t, storage.Outcomes{nil}, complete(t, store, completion(job)))
	other := completion(job)
	other.Hash, other.Failed = "hash-2", true
	requireOutcomes(t, storage.Outcomes{storage.ErrClaimLost}, complete(t, store, other))
	require.Equal(t, storage.JobCompleted, getJob(t, store, job.ID).Status)
	require.Len(t, results(t, store), 1)
}

func completeUnclaimed(t *testing.T, store storage.Queue) {
	put(t, store, aJob(1))
	done := completion(aJob(1))
	done.At, done.Hash = at(2), ""
	byToken, byWorker := done, done
	byToken.Token, byWorker.WorkerID = "guess", "w-1"
	requireOutcomes(t, storage.Outcomes{storage.ErrClaimLost, storage.ErrClaimLost, storage.ErrClaimLost},
		complete(t, store, done, byToken, byWorker))
	require.Equal(t, bare(aJob(1)), getJob(t, store, aJob(1).ID))
}

func completePartly(t *testing.T, store storage.Queue) {
	good, lost, withdrawn, last := claimOne(t, store, 1), claimOne(t, store, 2), claimOne(t, store, 3), claimOne(t, store, 4)
	_, err := store.WithdrawJobs(t.Context(), []string{withdrawn.ID}, at(5))
	require.NoError(t, err)
	wrong := completion(lost)
	wrong.Token = "token-other"
	unknown := completion(lost)
	unknown.JobID = "job-none"
	requireOutcomes(t,
		storage.Outcomes{nil, storage.ErrClaimLost, storage.ErrNotFound, storage.ErrEnded, nil},
		complete(t, store, completion(last), wrong, unknown, completion(withdrawn), completion(good)))
	require.Equal(t, storage.JobCompleted, getJob(t, store, good.ID).Status)
	require.Equal(t, bare(lost), getJob(t, store, lost.ID))
	require.Equal(t, storage.JobWithdrawn, getJob(t, store, withdrawn.ID).Status)
	require.Len(t, results(t, store), 2)
}

func completeTwiceInBatch(t *testing.T, store storage.Queue) {
	job := claimOne(t, store, 1)
	contradiction := completion(job)
	contradiction.Hash = "hash-2"
	requireOutcomes(t, storage.Outcomes{nil, nil, storage.ErrClaimLost},
		complete(t, store, completion(job), completion(job), contradiction))
	require.Equal(t, "hash-1", getJob(t, store, job.ID).ResultHash)
	require.Len(t, results(t, store), 1)
}

func completeConcurrently(t *testing.T, store storage.Queue) {
	ctx := t.Context()
	const n, callers = 20, 6
	var jobs []storage.Job
	for i := range n {
		jobs = append(jobs, claimOne(t, store, i))
	}
	accepted := make([]int, callers)
	errs := make([]error, callers)
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			var batch []storage.JobCompletion
			for i := range n { // each in another order
				done := completion(jobs[(i*7+c*3)%n])
				done.Hash = fmt.Sprintf("hash-%d", c)
				batch = append(batch, done)
			}
			outcomes, err := store.CompleteJobs(ctx, batch)
			errs[c] = err
			for _, outcome := range outcomes {
				if outcome == nil {
					accepted[c]++
				}
			}
		})
	}
	wg.Wait()
	total := 0
	for c := range callers {
		require.NoError(t, errs[c])
		total += accepted[c]
	}
	require.Equal(t, n, total, "one answer is accepted of each job's six")
	require.Len(t, results(t, store), n)
}
