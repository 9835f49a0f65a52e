package storagetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

var tasksRaceTests = []tasksTest{
	{"Race_TwoClaimersNeverGetOneTask", raceClaimers},
	{"Race_TwoClaimersNeverGetOneMessage", raceOutbox},
	{"Race_OneRequestIDMakesOneTask", raceRequests},
	{"Race_OneStealerWinsAnExpiredLease", raceSteal},
	{"Race_NoEventIsLostBetweenAppendAndRelease", raceAppendRelease},
	{"Race_NoEventIsLostBetweenAppendAndEnd", raceAppendEnd},
	{"Race_OneAppendOnlyAtAPlaceWins", raceOnlyAt},
	{"Race_AnAppendOnlyAtAPlaceNeverReachesAHolder", raceOnlyAtClaim},
	{"Race_OverlappingBatchesDoNotBlockEachOther", raceBatches},
	{"Race_ACanceledCallerHarmsNobody", raceCanceled},
}

const racers = 8

// race runs a function in several goroutines at once and waits for all.
func race(run func(i int)) {
	var group sync.WaitGroup
	for i := range racers {
		group.Go(func() { run(i) })
	}
	group.Wait()
}

func raceClaimers(t *testing.T, tasks storage.Tasks) {
	const count = 200
	created := make([]storage.NewTask, count)
	for n := range created {
		created[n] = pendingTask(n)
	}
	mustCreate(t, tasks, created...)
	var mu sync.Mutex
	owners := map[string]string{}
	race(func(i int) {
		owner := fmt.Sprint("owner-", i)
		for {
			claimed, err := tasks.ClaimTasks(t.Context(), claimBy(owner, start), 7)
			if !assert.NoError(t, err) {
				return
			}
			mu.Lock()
			for _, task := range claimed {
				assert.Empty(t, owners[task.ID])
				assert.Equal(t, int64(1), task.Lease.Epoch)
				owners[task.ID] = owner
			}
			done := len(owners) == count
			mu.Unlock()
			if done {
				return
			}
		}
	})
	for id, owner := range owners {
		task, err := tasks.GetTask(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, owner, task.Lease.Owner)
	}
}

func raceOutbox(t *testing.T, tasks storage.Tasks) {
	const count = 200
	messages := make([]storage.OutboxMessage, count)
	for i := range messages {
		messages[i] = putJob(fmt.Sprint("m", i), start)
	}
	createWithOutbox(t, tasks, messages...)
	var mu sync.Mutex
	seen := map[string]bool{}
	race(func(int) {
		for {
			claimed, err := tasks.ClaimOutbox(t.Context(), start, after(time.Minute), 9)
			if !assert.NoError(t, err) {
				return
			}
			mu.Lock()
			for _, message := range claimed {
				assert.False(t, seen[message.ID])
				seen[message.ID] = true
			}
			done := len(seen) == count
			mu.Unlock()
			if done {
				return
			}
		}
	})
}

func raceRequests(t *testing.T, tasks storage.Tasks) {
	var made atomic.Int64
	race(func(i int) {
		// Overlapping batches in opposite order.
		first, second := requested(2*i, "req-a", "hash"), requested(2*i+1, "req-b", "hash")
		if i%2 == 1 {
			first, second = second, first
		}
		outcomes, err := tasks.CreateTasks(t.Context(), []storage.NewTask{first, second})
		if !assert.NoError(t, err) {
			return
		}
		for _, outcome := range outcomes {
			assert.NoError(t, outcome.Err)
			assert.NotEmpty(t, outcome.Task.ID)
			if !outcome.Existing {
				made.Add(1)
			}
		}
	})
	require.Equal(t, int64(2), made.Load())
	page, err := tasks.ListTasks(t.Context(), storage.TaskQuery{ListOptions: storage.ListOptions{Limit: 10}})
	require.NoError(t, err)
	require.Equal(t, 2, page.Total)
}

func raceSteal(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, heldTask(1))
	var won, settled atomic.Int64
	race(func(i int) {
		if i%2 == 0 {
			_, err := tasks.ClaimTask(t.Context(), taskID(1), claimBy("thief", after(time.Minute)))
			if err == nil {
				won.Add(1)
				return
			}
			assert.ErrorIs(t, err, storage.ErrLeaseHeld)
			return
		}
		outcomes, err := tasks.SettleSteps(t.Context(), []storage.TaskStep{keepStep(1, 2)})
		if assert.NoError(t, err) && outcomes[0].Err == nil {
			settled.Add(1)
		}
	})
	require.Equal(t, int64(1), won.Load())
	require.Equal(t, int64(2), mustGet(t, tasks, 1).Lease.Epoch)
}

// raceAppendRelease lets a holder apply and release while others append. After
// every release the task must be claimable when its inbox holds an event.
func raceAppendRelease(t *testing.T, tasks storage.Tasks) {
	const perSender = 25
	mustCreate(t, tasks, heldTask(1))
	var senders sync.WaitGroup
	for i := range racers {
		senders.Go(func() {
			for n := range perSender {
				outcomes, err := tasks.AppendEvents(t.Context(), []storage.InboxEvent{signal(1, fmt.Sprintf("%d-%d", i, n))})
				assert.NoError(t, err)
				assert.NoError(t, outcomes[0].Err)
			}
		})
	}
	sent := make(chan struct{})
	go func() { defer close(sent); senders.Wait() }()

	task := mustGet(t, tasks, 1)
	for {
		applyInbox(t, tasks, &task)
		select {
		case <-sent:
			task = mustGet(t, tasks, 1)
			if task.InboxDone == racers*perSender {
				return
			}
		default:
		}
		task = mustGet(t, tasks, 1)
		require.False(t, task.InboxSeq > task.InboxDone && task.RunnableAt.IsZero(), "a wake-up is lost")
		claimed, err := tasks.ClaimTasks(t.Context(), claimBy("beta", after(3*time.Second)), 1)
		require.NoError(t, err)
		if len(claimed) == 0 {
			continue // idle until the next event
		}
		task = claimed[0]
	}
}

// applyInbox applies what is in the inbox under the task's lease and releases
// it until an event arrives.
func applyInbox(t *testing.T, tasks storage.Tasks, task *storage.Task) {
	if task.Lease.Owner == "" {
		return
	}
	inbox, err := tasks.LoadInbox(t.Context(), task.ID, 100)
	require.NoError(t, err)
	step := releaseStep(1, task.Lease.Epoch, time.Time{})
	step.Seq, step.InboxDone = task.Seq, task.InboxDone
	for _, event := range inbox {
		require.Equal(t, step.InboxDone+1, event.Arrival, "in order, without a gap")
		step.Seq++
		step.InboxDone++
		event.Seq = step.Seq
		step.Events = append(step.Events, event)
	}
	mustSettle(t, tasks, step)
}

func raceAppendEnd(t *testing.T, tasks storage.Tasks) {
	for n := range 20 {
		mustCreate(t, tasks, heldTask(n))
		var accepted atomic.Int64
		var ended atomic.Bool
		race(func(i int) {
			if i == 0 {
				outcomes, err := tasks.SettleSteps(t.Context(), []storage.TaskStep{endStep(n, 1)})
				if assert.NoError(t, err) {
					ended.Store(outcomes[0].Err == nil)
				}
				return
			}
			outcomes, err := tasks.AppendEvents(t.Context(), []storage.InboxEvent{signal(n, fmt.Sprint(i))})
			if assert.NoError(t, err) && outcomes[0].Err == nil {
				accepted.Add(1)
			}
		})
		require.NotEqual(t, ended.Load(), accepted.Load() > 0, "either the end or the events, never both")
		inbox, err := tasks.LoadInbox(t.Context(), taskID(n), 100)
		require.NoError(t, err)
		require.Len(t, inbox, int(accepted.Load()))
	}
}

func raceOnlyAt(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, pendingTask(1))
	var won, moved atomic.Int64
	race(func(i int) {
		outcomes, err := tasks.AppendEvents(t.Context(), []storage.InboxEvent{onlyAt(signal(1, fmt.Sprint("s", i)), 0, 0)})
		if !assert.NoError(t, err) {
			return
		}
		switch {
		case outcomes[0].Err == nil:
			won.Add(1)
		case errors.Is(outcomes[0].Err, storage.ErrMoved):
			moved.Add(1)
		}
	})
	require.Equal(t, int64(1), won.Load())
	require.Equal(t, int64(racers-1), moved.Load())
	require.Equal(t, int64(1), mustGet(t, tasks, 1).InboxSeq)
}

// Whoever takes the task has either the event in its inbox from the start, or
// never.
func raceOnlyAtClaim(t *testing.T, tasks storage.Tasks) {
	const rounds = 50
	for n := range rounds {
		mustCreate(t, tasks, pendingTask(n))
		var claimed storage.Task
		var outcome storage.AppendOutcome
		var both sync.WaitGroup
		both.Go(func() {
			var err error
			claimed, err = tasks.ClaimTask(t.Context(), taskID(n), claimBy("alpha", start))
			assert.NoError(t, err)
		})
		both.Go(func() {
			outcomes, err := tasks.AppendEvents(t.Context(), []storage.InboxEvent{onlyAt(signal(n, "s"), 0, 0)})
			if assert.NoError(t, err) {
				outcome = outcomes[0]
			}
		})
		both.Wait()
		if outcome.Err == nil {
			require.Equal(t, int64(1), claimed.InboxSeq)
			continue
		}
		require.ErrorIs(t, outcome.Err, storage.ErrMoved)
		require.Zero(t, claimed.InboxSeq)
		require.Zero(t, mustGet(t, tasks, n).InboxSeq)
	}
}

func raceBatches(t *testing.T, tasks storage.Tasks) {
	const count = 30
	var leases []storage.LeaseRef
	for n := range count {
		mustCreate(t, tasks, heldTask(n))
		leases = append(leases, storage.LeaseRef{TaskID: taskID(n), Epoch: 1})
	}
	race(func(i int) {
		for round := range 10 {
			events, steps, refs := make([]storage.InboxEvent, 0, count), make([]storage.TaskStep, 0, count), make([]storage.LeaseRef, 0, count)
			for k := range count {
				n := (k*7 + i*11) % count // each in another order
				events = append(events, signal(n, fmt.Sprintf("%d-%d", i, round)))
				steps = append(steps, keepStep(n, 1))
				refs = append(refs, leases[n])
			}
			var err error
			switch i % 3 {
			case 0:
				_, err = tasks.AppendEvents(t.Context(), events)
			case 1:
				_, err = tasks.SettleSteps(t.Context(), steps)
			default:
				var extended []storage.ExtendOutcome
				extended, err = tasks.ExtendLeases(t.Context(), refs, after(time.Hour))
				for _, outcome := range extended {
					assert.NoError(t, outcome.Err, "a row that is locked, or was changed meanwhile, is not a lost lease")
				}
			}
			assert.NoError(t, err)
		}
	})
	for n := range count {
		require.Equal(t, int64(30), mustGet(t, tasks, n).InboxSeq)
	}
}

func raceCanceled(t *testing.T, tasks storage.Tasks) {
	const rounds = 20
	race(func(i int) {
		for round := range rounds {
			n := i*rounds + round
			ctx, stop := context.WithCancel(t.Context())
			if i%2 == 0 {
				go stop()
			}
			outcomes, err := tasks.CreateTasks(ctx, []storage.NewTask{pendingTask(n)})
			stop()
			if i%2 == 0 {
				if err != nil {
					assert.ErrorIs(t, err, context.Canceled)
				}
				continue
			}
			if assert.NoError(t, err) {
				assert.NoError(t, outcomes[0].Err)
			}
		}
	})
	for i := 1; i < racers; i += 2 {
		for round := range rounds {
			mustGet(t, tasks, i*rounds+round)
		}
	}
}
