package storagetest

import (
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// benchCallers is how many callers a benchmark lets wait at once.
const benchCallers = 64

// BenchmarkTasks measures what every task is made of, durable, from callers of
// one item each: 64 of them share commits, one has its own.
func BenchmarkTasks(b *testing.B, open func(b *testing.B) storage.Tasks) {
	b.Run("Create_64Callers", func(b *testing.B) { benchmarkCreate(b, open(b), benchCallers) })
	b.Run("Create_1Caller", func(b *testing.B) { benchmarkCreate(b, open(b), 1) })
	b.Run("Claim_1Caller", func(b *testing.B) { benchmarkClaim(b, open(b)) })
	b.Run("Settle_64Callers", func(b *testing.B) { benchmarkSettle(b, open(b), storage.RunRunning) })
	b.Run("SettleQueued_64Callers", func(b *testing.B) { benchmarkSettle(b, open(b), storage.RunQueued) })
	b.Run("Settle_1Caller", func(b *testing.B) { benchmarkSettleAlone(b, open(b)) })
}

func benchmarkCreate(b *testing.B, tasks storage.Tasks, callers int) {
	var next atomic.Int64
	perCaller(b, callers, func() {
		n := int(next.Add(1))
		created := heldTask(n)
		created.Task.ID = benchID(n)
		created.Events[0].TaskID, created.Started[0].TaskID = created.Task.ID, created.Task.ID
		outcomes, err := tasks.CreateTasks(b.Context(), []storage.NewTask{created})
		if err != nil || outcomes[0].Err != nil {
			b.Error("create", err, outcomes)
		}
	})
}

// benchmarkClaim takes ten tasks that are due, and gives them back as due.
func benchmarkClaim(b *testing.B, tasks storage.Tasks) {
	const due = 10
	for n := range due {
		_, err := tasks.CreateTasks(b.Context(), []storage.NewTask{pendingTask(n)})
		require.NoError(b, err)
	}
	perCaller(b, 1, func() {
		claimed, err := tasks.ClaimTasks(b.Context(), storage.ClaimParams{Owner: "alpha", Now: start, Until: after(time.Minute)}, due)
		if err != nil || len(claimed) != due {
			b.Error("claim", err, len(claimed))
		}
		leases := make([]storage.LeaseRef, len(claimed))
		for i, task := range claimed {
			leases[i] = storage.LeaseRef{TaskID: task.ID, Epoch: task.Lease.Epoch}
		}
		if _, err := tasks.ReleaseLeases(b.Context(), leases, start); err != nil {
			b.Error("release", err)
		}
	})
}

func benchmarkSettle(b *testing.B, tasks storage.Tasks, started storage.RunStatus) {
	var next atomic.Int64
	createBench(b, tasks, benchCallers)
	steps := make(chan *benchTask, benchCallers)
	for n := range benchCallers {
		steps <- &benchTask{id: benchID(n), seq: 1}
	}
	perCaller(b, benchCallers, func() {
		task := <-steps
		settleBench(b, tasks, task, benchRun(int(next.Add(1)), started))
		steps <- task
	})
}

func benchmarkSettleAlone(b *testing.B, tasks storage.Tasks) {
	createBench(b, tasks, 1)
	task := &benchTask{id: benchID(0), seq: 1}
	perCaller(b, 1, func() { settleBench(b, tasks, task, benchRun(int(task.seq), storage.RunRunning)) })
}

func createBench(b *testing.B, tasks storage.Tasks, count int) {
	for n := range count {
		created := heldTask(n)
		created.Task.ID = benchID(n)
		created.Events[0].TaskID, created.Started[0].TaskID = created.Task.ID, created.Task.ID
		_, err := tasks.CreateTasks(b.Context(), []storage.NewTask{created})
		require.NoError(b, err)
	}
}

func benchID(n int) string { return fmt.Sprintf("task-%032d", n) }

// benchTask is a held task that goes on and on.
type benchTask struct {
	id  string
	seq int64
}

// benchRun is the nth run that starts: ids of runs sort by time.
func benchRun(n int, status storage.RunStatus) storage.NodeRun {
	run := startedRun(n, 1)
	run.ID, run.Status = fmt.Sprintf("run-%032d", n), status
	return run
}

// settleBench commits a typical step: one run finished, the next started, one
// event in the log, a new state.
func settleBench(b *testing.B, tasks storage.Tasks, task *benchTask, run storage.NodeRun) {
	task.seq++
	no := int(task.seq)
	run.TaskID, run.No = task.id, no
	step := storage.TaskStep{
		Lease: storage.LeaseRef{TaskID: task.id, Epoch: 1}, At: after(time.Duration(no) * time.Millisecond),
		Status: storage.TaskRunning, Shared: json.RawMessage(`{"a":1,"b":"some shared state","c":[1,2,3]}`),
		State: json.RawMessage(`{"cursor":"node-17","frames":[],"visits":{"a":1,"b":2}}`), CurrentNode: "b", Seq: task.seq,
		Events: []storage.TaskEvent{{
			TaskID: task.id, SourceID: fmt.Sprint("run-", no), Kind: storage.EventRunFinished,
			Data: json.RawMessage(`{"no":1,"result":{"ok":true,"value":42}}`), At: start, Seq: task.seq,
		}},
		Started:  []storage.NodeRun{run},
		Finished: []storage.RunFinish{{No: no - 1, Status: storage.RunOK, Output: json.RawMessage(`{"ok":true}`), FinishedAt: start}},
	}
	outcomes, err := tasks.SettleSteps(b.Context(), []storage.TaskStep{step})
	if err != nil || outcomes[0].Err != nil {
		b.Error("settle", err, outcomes)
	}
}

// perCaller spreads the iterations over that many callers and reports them per
// second.
func perCaller(b *testing.B, callers int, run func()) {
	var left atomic.Int64
	left.Store(int64(b.N))
	done := make(chan struct{})
	b.ReportAllocs()
	b.ResetTimer()
	for range callers {
		go func() {
			defer func() { done <- struct{}{} }()
			for left.Add(-1) >= 0 {
				run()
			}
		}()
	}
	for range callers {
		<-done
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
}
