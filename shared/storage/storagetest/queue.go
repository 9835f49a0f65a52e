package storagetest

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// RunQueue checks an implementation of storage.Queue. open returns a fresh,
// empty store and closes it when the test ends.
func RunQueue(t *testing.T, open func(t *testing.T) storage.Queue) {
	for name, test := range map[string]func(*testing.T, storage.Queue){
		"PutJobs_KeepsEveryByte":                     putKeeps,
		"PutJobs_RepeatLeavesTheJobAsItIs":           putRepeat,
		"PutJobs_ReadsNoFieldOfAClaim":               putIgnoresClaim,
		"GetJobs_WithoutInputsAndUnknownOnes":        getJobs,
		"ClaimJobs_ReturnsTheClaim":                  claimReturns,
		"ClaimJobs_PriorityThenAge":                  claimOrder,
		"ClaimJobs_SkipsDelayedAndForeignJobs":       claimSkips,
		"ClaimJobs_PriorityCrossesServices":          claimPriorityAcross,
		"ClaimJobs_NoServiceStarves":                 claimFairness,
		"ClaimJobs_BatchSharesAmongServices":         claimBatchFairness,
		"ClaimJobs_ServicesNamedTwice":               claimRepeatedService,
		"ClaimJobs_TwoClaimersNeverGetOneJob":        claimConcurrently,
		"ClaimJobs_LeavesNoneToIdleClaimers":         claimExactly,
		"ClaimJobs_StopsBeforeTooManyBytes":          claimBytes,
		"ClaimJobs_BytesOfSeveralServices":           claimBytesAcross,
		"CompleteJobs_WritesStatusAndMessage":        completeWrites,
		"CompleteJobs_TokenDecides":                  completeByToken,
		"CompleteJobs_WorkerDecidesWithoutToken":     completeByWorker,
		"CompleteJobs_UnnamedNeedsLivingClaim":       completeUnnamed,
		"CompleteJobs_LateAnswerBeforeOthersClaim":   completeLate,
		"CompleteJobs_LateAnswerAfterOthersClaim":    completeLost,
		"CompleteJobs_RepeatHasNoSecondEffect":       completeRepeat,
		"CompleteJobs_RepeatByAnotherIsClaimLost":    completeRepeatByOther,
		"CompleteJobs_OtherAnswerIsClaimLost":        completeContradiction,
		"CompleteJobs_NeverClaimedIsClaimLost":       completeUnclaimed,
		"CompleteJobs_FailedItemLeavesTheOthers":     completePartly,
		"CompleteJobs_TwoAnswersInOneBatch":          completeTwiceInBatch,
		"CompleteJobs_ConcurrentAnswersOneMessage":   completeConcurrently,
		"ExtendClaims_MovesTheTimeout":               extendMoves,
		"ExtendClaims_Outcomes":                      extendOutcomes,
		"ExtendClaims_TakesBackWhatNobodyTook":       extendReclaims,
		"ReleaseClaims_DoesNotCountAsDelivered":      releaseUndoes,
		"ReleaseClaims_LeavesOthersAsTheyAre":        releaseOthers,
		"WithdrawJobs_Outcomes":                      withdrawOutcomes,
		"WithdrawJobs_EndsTheClaim":                  withdrawEndsClaim,
		"WithdrawJobs_RacesCompletion":               withdrawRacesCompletion,
		"WithdrawJobs_OvertakesItsJob":               withdrawOvertakesPut,
		"WithdrawJobs_RacesItsJob":                   withdrawRacesPut,
		"ExpireClaims_PendingThenDead":               expireToDead,
		"ExpireClaims_EarliestFirstUpToLimit":        expireLimit,
		"ExpireClaims_DeadIsForGood":                 expireDeadIsFinal,
		"NextChange_IsTheEarliestOfBoth":             nextChange,
		"ReadyServices_HaveAJobForWhoAsksNow":        readyServices,
		"ClaimResults_DueOnesOnce":                   resultsDue,
		"ClaimResults_TwoClaimersNeverGetOneMessage": resultsConcurrently,
		"CompleteJobs_HoldsTheMessageForTheCaller":   resultsHeldFromTheStart,
		"HeldResults_AreStillAsTheyWereClaimed":      resultsHeld,
		"AckResults_UnknownIsFine":                   resultsAck,
		"Undelivered_AreCountedFromTheOldestEnd":     resultsUndelivered,
		"ListDead_NewestFirstByCursorAndOffset":      deadPages,
		"ListDead_StopsBeforeTooManyBytes":           deadBytes,
		"RequeueJobs_Outcomes":                       requeueOutcomes,
		"RequeueJobs_StartsAfresh":                   requeueStartsAfresh,
		"RequeueJobs_TakesBackTheDeathsMessage":      requeueTakesBackMessage,
		"RequeueJobs_TwoAtOnceRequeueOnce":           requeueConcurrently,
		"DiscardJobs_Outcomes":                       discardOutcomes,
		"DiscardJobs_KeepsTheIDAndTheMessage":        discardIsFinal,
		"SetLimit_ReadsBackAndRemoves":               limitReadsBack,
		"SetLimit_RefusesNumbersOutOfBounds":         limitBounds,
		"SetLimit_ChangeKeepsWhatWasLeft":            limitChange,
		"SetLimit_TakesNoClaimBack":                  limitLowered,
		"MaxClaimed_HoldsUntilAClaimEnds":            maxClaimedHolds,
		"MaxClaimed_CountsClaimsThatTimedOut":        maxClaimedExpiry,
		"MaxClaimed_HoldsForRevivedClaims":           maxClaimedRevival,
		"MaxClaimed_OthersAreClaimedInstead":         maxClaimedOthers,
		"MaxClaimed_ConcurrentClaimersFillIt":        maxClaimedConcurrently,
		"Rate_LetsABurstThroughThenTheRate":          rateHolds,
		"Rate_OthersAreClaimedInstead":               rateOthers,
		"Rate_TellsWhenItLetsThrough":                rateTells,
		"Rate_ClocksThatDiffer":                      rateSkewedClocks,
		"Limits_HoldUnderEverythingAtOnce":           limitsRace,
		"Batches_OfAThousand":                        queueThousand,
		"Subscribe_HearsOfRoomInALimit":              limitHints,
		"Stats_CountsByService":                      statsCount,
		"Subscribe_HearsOfReadyJobs":                 subscribeHears,
		"Subscribe_EndsWithItsContext":               subscribeEnds,
		"EmptyBatches_AreFine":                       queueEmptyBatches,
		"Text_IsCleanedOrRefused":                    queueText,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
	t.Run("Model", func(t *testing.T) {
		t.Parallel()
		runQueueModel(t, open)
	})
	t.Run("Base", func(t *testing.T) {
		t.Parallel()
		runBase(t, func(t *testing.T) (storage.Base, func() error) {
			store := open(t)
			return store, func() error {
				return store.PutJobs(context.Background(), []storage.Job{aJob(1)})
			}
		})
	})
}

// aJob is a job of the service "transform", ready from at(n) on.
func aJob(n int) storage.Job {
	id := fmt.Sprintf("%04d", n)
	return storage.Job{
		ID: "job-" + id, TaskID: "task-" + id, RunID: "run-" + id, NodeKey: "node", Path: "sub/node/2", Visit: 3, Attempt: 2, RunNo: 5,
		Service: "transform", Input: json.RawMessage(`{"input":1}`), Status: storage.JobPending, AvailableAt: at(n), CreatedAt: at(n),
	}
}

// jobsOf makes n jobs of a service, numbered from first.
func jobsOf(service string, first, n int) []storage.Job {
	var jobs []storage.Job
	for i := range n {
		job := aJob(first + i)
		job.Service = service
		jobs = append(jobs, job)
	}
	return jobs
}

func put(t *testing.T, store storage.Queue, jobs ...storage.Job) {
	t.Helper()
	require.NoError(t, store.PutJobs(t.Context(), jobs))
}

// tokens makes tokens that differ.
func tokens() func() string {
	var n atomic.Int64
	return func() string { return "token-" + strconv.FormatInt(n.Add(1), 10) }
}

// claimAt is how the tests claim: at now, for ten seconds.
func claimAt(now time.Time, most int, services ...string) storage.ClaimJobs {
	return storage.ClaimJobs{
		WorkerID: "w-1", Services: services, Max: most, Now: now, VisibleUntil: now.Add(10 * time.Second), NewToken: tokens(),
	}
}

func claim(t *testing.T, store storage.Queue, claim storage.ClaimJobs) []storage.Job {
	t.Helper()
	jobs, err := store.ClaimJobs(t.Context(), claim)
	require.NoError(t, err)
	require.NotNil(t, jobs)
	return jobs
}

// claimOne puts job n and claims it at at(n).
func claimOne(t *testing.T, store storage.Queue, n int) storage.Job {
	t.Helper()
	put(t, store, aJob(n))
	jobs := claim(t, store, claimAt(at(n), 1, "transform"))
	require.Len(t, jobs, 1)
	require.Equal(t, aJob(n).ID, jobs[0].ID)
	return jobs[0]
}

func ids(jobs []storage.Job) []string {
	list := []string{}
	for _, job := range jobs {
		list = append(list, job.ID)
	}
	return list
}

func getJob(t *testing.T, store storage.Queue, id string) storage.Job {
	t.Helper()
	jobs, err := store.GetJobs(t.Context(), []string{id})
	require.NoError(t, err)
	require.Contains(t, jobs, id)
	return jobs[id]
}

// bare is a job as what does not return its input returns it.
func bare(job storage.Job) storage.Job {
	job.Input = nil
	return job
}

// results claims every message there is, whenever it is due.
func results(t *testing.T, store storage.Queue) []storage.JobResult {
	t.Helper()
	list, err := store.ClaimResults(t.Context(), at(1e6), at(1e6), 1000)
	require.NoError(t, err)
	return list
}

func putKeeps(t *testing.T, store storage.Queue) {
	job := aJob(1)
	job.Input = json.RawMessage(awkwardJSON)
	job.Priority, job.Trace = -7, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	job.AvailableAt = at(100)
	put(t, store, aJob(2), job)
	require.Equal(t, bare(job), getJob(t, store, job.ID))
	require.Equal(t, bare(aJob(2)), getJob(t, store, aJob(2).ID))
	claimed := claim(t, store, claimAt(at(100), 2, "transform"))
	require.Len(t, claimed, 2)
	require.Equal(t, []json.RawMessage{aJob(2).Input, job.Input}, []json.RawMessage{claimed[0].Input, claimed[1].Input})
}

func putRepeat(t *testing.T, store storage.Queue) {
	first := claimOne(t, store, 1)
	again := aJob(1)
	again.Input, again.Priority = json.RawMessage(`{}`), 9
	put(t, store, again, aJob(2), aJob(2))
	require.Equal(t, bare(first), getJob(t, store, first.ID))
	require.Len(t, claim(t, store, claimAt(at(5), 10, "transform")), 1, "one of the two is new")

	outcomes, err := store.WithdrawJobs(t.Context(), []string{first.ID}, at(6))
	require.NoError(t, err)
	requireOutcomes(t, storage.Outcomes{nil}, outcomes)
	put(t, store, again)
	require.Equal(t, storage.JobWithdrawn, getJob(t, store, first.ID).Status, "an ended job does not come back")
}

func putIgnoresClaim(t *testing.T, store storage.Queue) {
	job := aJob(1)
	job.Status, job.Deliveries, job.WorkerID, job.Token = storage.JobDead, 4, "w", "t"
	job.StartedAt, job.TimeoutAt, job.FinishedAt, job.ResultHash, job.LogPath = at(1), at(2), at(3), "h", "/l"
	put(t, store, job)
	require.Equal(t, bare(aJob(1)), getJob(t, store, job.ID))
}

func getJobs(t *testing.T, store storage.Queue) {
	put(t, store, aJob(1), aJob(2), aJob(3))
	jobs, err := store.GetJobs(t.Context(), []string{aJob(3).ID, "job-none", aJob(1).ID, aJob(3).ID})
	require.NoError(t, err)
	require.Equal(t, map[string]storage.Job{aJob(1).ID: bare(aJob(1)), aJob(3).ID: bare(aJob(3))}, jobs)
}

func nextChange(t *testing.T, store storage.Queue) {
	next := func(now time.Time) time.Time {
		t.Helper()
		change, err := store.NextChange(t.Context(), now)
		require.NoError(t, err)
		return change
	}
	require.True(t, next(at(0)).IsZero())

	put(t, store, aJob(30), aJob(20))
	require.Equal(t, at(20), next(at(0)))
	require.Equal(t, at(30), next(at(20)), "a job that is ready is no change to come")
	require.True(t, next(at(30)).IsZero())

	claimed := claim(t, store, claimAt(at(20), 1, "transform"))
	require.Equal(t, at(30), next(at(20)))
	_, err := store.ExtendClaims(t.Context(), []storage.ClaimRef{{JobID: claimed[0].ID, Token: claimed[0].Token}}, at(25))
	require.NoError(t, err)
	require.Equal(t, at(25), next(at(20)), "the claim's time-out")
	require.Equal(t, at(25), next(at(40)), "a time-out that has passed waits for ExpireClaims")
}

func statsCount(t *testing.T, store storage.Queue) {
	ctx := t.Context()
	stats, err := store.Stats(ctx, at(0))
	require.NoError(t, err)
	require.NotNil(t, stats)
	require.Empty(t, stats)

	put(t, store, append(jobsOf("b", 10, 5), jobsOf("a", 20, 2)...)...)
	claimed := claim(t, store, claimAt(at(11), 2, "b"))
	_, err = store.CompleteJobs(ctx, []storage.JobCompletion{completion(claimed[0])})
	require.NoError(t, err)
	put(t, store, jobsOf("dead", 1, 1)...)
	require.Len(t, claim(t, store, claimAt(at(1), 1, "dead")), 1)
	_, err = store.ExpireClaims(ctx, at(11), 1, 10, deadMessage)
	require.NoError(t, err)

	stats, err = store.Stats(ctx, at(13))
	require.NoError(t, err)
	require.Equal(t, []storage.ServiceStats{
		{Service: "a", Delayed: 2},
		{Service: "b", Ready: 2, Delayed: 1, Claimed: 1, OldestReadyAt: at(12)},
		{Service: "dead", Dead: 1},
	}, stats)
}

func queueEmptyBatches(t *testing.T, store storage.Queue) {
	ctx := t.Context()
	require.NoError(t, store.PutJobs(ctx, nil))
	require.NoError(t, store.AckResults(ctx, nil))
	require.NoError(t, store.ReleaseClaims(ctx, nil))
	ready, err := store.ReadyServices(ctx, nil, at(1))
	require.NoError(t, err)
	require.Equal(t, []string{}, ready)
	jobs, err := store.GetJobs(ctx, nil)
	require.NoError(t, err)
	require.Empty(t, jobs)
	for _, call := range []func() (storage.Outcomes, error){
		func() (storage.Outcomes, error) { return store.CompleteJobs(ctx, nil) },
		func() (storage.Outcomes, error) { return store.ExtendClaims(ctx, nil, at(1)) },
		func() (storage.Outcomes, error) { return store.WithdrawJobs(ctx, nil, at(1)) },
		func() (storage.Outcomes, error) { return store.RequeueJobs(ctx, nil, at(1)) },
		func() (storage.Outcomes, error) { return store.DiscardJobs(ctx, nil, at(1)) },
	} {
		outcomes, err := call()
		require.NoError(t, err)
		require.Empty(t, outcomes)
	}
	require.Empty(t, claim(t, store, claimAt(at(1), 5, "nothing", "here")))
}
