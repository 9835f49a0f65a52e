package storagetest

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Text that a database may refuse, and what is stored of it where only people
// read it.
const (
	dirty   = "a\x00b\xff\xfec"
	cleaned = "a\uFFFDb\uFFFDc"
)

// unstorable are ids that no record can have.
var unstorable = []string{"\x00", "task-0001\x00", "\xff", dirty}

// badJSON is raw JSON that passes encoding/json's decoder.
var badJSON = json.RawMessage("{\"a\":\"\xff\"}")

var tasksTextTests = []tasksTest{
	{"Text_ForPeopleIsCleaned", textCleaned},
	{"Text_InNewTasksIsRefusedItemByItem", textInNewTasks},
	{"Text_InStepsIsRefusedItemByItem", textInSteps},
	{"Text_InEventsIsRefusedItemByItem", textInEvents},
	{"Text_ThatNoIDCanBeFindsNothing", textFindsNoTask},
}

func dirtyRun(n, no int) (run, want storage.NodeRun) {
	run = startedRun(n, no)
	run.NodeKey, run.Path, run.SubStatus, run.BranchID = dirty, dirty, dirty, dirty
	run.ErrorCode, run.ErrorText, run.Action = dirty, dirty, dirty
	run.WorkerID, run.WorkerURL, run.LogPath = dirty, dirty, dirty
	run.DecidedBy, run.Comment = dirty, dirty
	want = startedRun(n, no)
	want.NodeKey, want.Path, want.SubStatus, want.BranchID = cleaned, cleaned, cleaned, cleaned
	want.ErrorCode, want.ErrorText, want.Action = cleaned, cleaned, cleaned
	want.WorkerID, want.WorkerURL, want.LogPath = cleaned, cleaned, cleaned
	want.DecidedBy, want.Comment = cleaned, cleaned
	return run, want
}

func textCleaned(t *testing.T, tasks storage.Tasks) {
	created := heldTask(1)
	created.Task.FlowName, created.Task.CurrentNode = dirty, dirty
	first, wantFirst := dirtyRun(1, 1)
	created.Started = []storage.NodeRun{first}
	outcomes, err := tasks.CreateTasks(t.Context(), []storage.NewTask{created})
	require.NoError(t, err)
	want := heldTask(1).Task
	want.FlowName, want.CurrentNode = cleaned, cleaned
	require.Equal(t, []storage.CreateOutcome{{Task: want}}, outcomes, "as it is stored")
	require.Equal(t, want, mustGet(t, tasks, 1))

	step := keepStep(1, 1)
	step.CurrentNode = dirty
	second, wantSecond := dirtyRun(1, 2)
	step.Started = []storage.NodeRun{second}
	step.Finished = []storage.RunFinish{{
		No: 1, Status: storage.RunError, SubStatus: dirty, ErrorCode: dirty, ErrorText: dirty, Action: dirty,
		WorkerID: dirty, WorkerURL: dirty, LogPath: dirty, DecidedBy: dirty, Comment: dirty, FinishedAt: after(time.Second),
	}}
	mustSettle(t, tasks, step)
	require.Equal(t, cleaned, mustGet(t, tasks, 1).CurrentNode)
	wantFirst.Status, wantFirst.FinishedAt = storage.RunError, after(time.Second)
	runs, err := tasks.ListRuns(t.Context(), taskID(1))
	require.NoError(t, err)
	require.Equal(t, []storage.NodeRun{wantFirst, wantSecond}, runs)
}

func textInNewTasks(t *testing.T, tasks storage.Tasks) {
	n := 0
	for _, spoil := range []func(*storage.NewTask){
		func(c *storage.NewTask) { c.Task.ID = dirty },
		func(c *storage.NewTask) { c.Task.FlowID = dirty },
		func(c *storage.NewTask) { c.Task.FlowVersionID = dirty },
		func(c *storage.NewTask) { c.Task.RequestID = dirty },
		func(c *storage.NewTask) { c.Task.RequestHash = dirty },
		func(c *storage.NewTask) { c.Task.Lease.Owner = dirty },
		func(c *storage.NewTask) { c.Task.Params = badJSON },
		func(c *storage.NewTask) { c.Task.Shared = json.RawMessage("{\"a\":\"\x00\"}") },
		func(c *storage.NewTask) { c.Task.State = badJSON },
		func(c *storage.NewTask) { c.Task.Error = badJSON },
		func(c *storage.NewTask) { c.Events[0].SourceID = dirty },
		func(c *storage.NewTask) { c.Events[0].Data = badJSON },
		func(c *storage.NewTask) { c.Started[0].ID = dirty },
		func(c *storage.NewTask) { c.Started[0].Input = badJSON },
		func(c *storage.NewTask) { c.Started[0].Params = badJSON },
		func(c *storage.NewTask) { c.Started[0].Output = badJSON },
		func(c *storage.NewTask) { c.Outbox[0].ID = dirty },
		func(c *storage.NewTask) { c.Outbox[0].Payload = badJSON },
	} {
		n += 3
		bad := heldTask(n + 1)
		bad.Outbox = []storage.OutboxMessage{putJob("m", after(time.Hour))}
		spoil(&bad)
		outcomes, err := tasks.CreateTasks(t.Context(), []storage.NewTask{pendingTask(n), bad, pendingTask(n + 2)})
		require.NoError(t, err)
		require.Equal(t, []storage.CreateOutcome{
			{Task: pendingTask(n).Task}, {Err: storage.ErrInvalidText}, {Task: pendingTask(n + 2).Task},
		}, outcomes)
		_, err = tasks.GetTask(t.Context(), taskID(n+1))
		require.ErrorIs(t, err, storage.ErrNotFound)
	}
}

func textInSteps(t *testing.T, tasks storage.Tasks) {
	n := 0
	for _, spoil := range []func(*storage.TaskStep){
		func(s *storage.TaskStep) { s.Shared = badJSON },
		func(s *storage.TaskStep) { s.State = badJSON },
		func(s *storage.TaskStep) { s.Error = badJSON },
		func(s *storage.TaskStep) { s.Events[0].SourceID = dirty },
		func(s *storage.TaskStep) { s.Events[0].Data = badJSON },
		func(s *storage.TaskStep) { s.Started[0].ID = dirty },
		func(s *storage.TaskStep) { s.Started[0].Input = badJSON },
		func(s *storage.TaskStep) { s.Finished[0].Output = badJSON },
		func(s *storage.TaskStep) { s.Outbox[0].ID = dirty },
		func(s *storage.TaskStep) { s.Outbox[0].Payload = badJSON },
	} {
		n += 2
		mustCreate(t, tasks, heldTask(n), heldTask(n+1))
		bad := keepStep(n, 1)
		bad.Events = []storage.TaskEvent{startedEvent(n)}
		bad.Started = []storage.NodeRun{startedRun(n, 2)}
		bad.Finished = []storage.RunFinish{{No: 1, Status: storage.RunOK}}
		bad.Outbox = []storage.OutboxMessage{putJob("m", after(time.Hour))}
		spoil(&bad)
		outcomes, err := tasks.SettleSteps(t.Context(), []storage.TaskStep{bad, keepStep(n+1, 1)})
		require.NoError(t, err)
		require.Equal(t, []storage.StepOutcome{{Err: storage.ErrInvalidText}, {}}, outcomes)
		require.Equal(t, heldTask(n).Task, mustGet(t, tasks, n))
		require.Equal(t, "b", mustGet(t, tasks, n+1).CurrentNode)
	}
}

func textInEvents(t *testing.T, tasks storage.Tasks) {
	mustCreate(t, tasks, pendingTask(1))
	source, data, task := signal(1, dirty), signal(1, "s"), signal(1, "s")
	data.Data, task.TaskID = badJSON, dirty
	source.Data = json.RawMessage(`{}`)
	outcomes, err := tasks.AppendEvents(t.Context(), []storage.InboxEvent{source, data, task, signal(1, "good")})
	require.NoError(t, err)
	require.Equal(t, []storage.AppendOutcome{
		{Err: storage.ErrInvalidText}, {Err: storage.ErrInvalidText}, {Err: storage.ErrNotFound}, {},
	}, outcomes)
	outcomes, err = tasks.AppendEvents(t.Context(), []storage.InboxEvent{source})
	require.NoError(t, err)
	require.Equal(t, []storage.AppendOutcome{{Err: storage.ErrInvalidText}}, outcomes)
	require.Equal(t, int64(1), mustGet(t, tasks, 1).InboxSeq)
}

func textFindsNoTask(t *testing.T, tasks storage.Tasks) {
	ctx := t.Context()
	mustCreate(t, tasks, heldTask(1))
	for _, id := range unstorable {
		_, err := tasks.GetTask(ctx, id)
		require.ErrorIs(t, err, storage.ErrNotFound)
		_, err = tasks.ClaimTask(ctx, id, claimBy("beta", start))
		require.ErrorIs(t, err, storage.ErrNotFound)
		runs, err := tasks.ListRuns(ctx, id)
		require.NoError(t, err)
		require.Equal(t, []storage.NodeRun{}, runs)
		runs, err = tasks.LoadRuns(ctx, id, []int{1})
		require.NoError(t, err)
		require.Empty(t, runs)
		events, err := tasks.ListEvents(ctx, id, 0, 10)
		require.NoError(t, err)
		require.Empty(t, events)
		events, err = tasks.LoadInbox(ctx, id, 10)
		require.NoError(t, err)
		require.Empty(t, events)
		for _, query := range []storage.TaskQuery{
			{FlowID: id}, {FlowVersionID: id}, {Status: storage.TaskStatus(id)}, {ListOptions: storage.ListOptions{Cursor: id}},
		} {
			query.Limit = 10
			page, err := tasks.ListTasks(ctx, query)
			require.NoError(t, err)
			require.Equal(t, []storage.Task{}, page.Items)
			require.Empty(t, page.Next)
		}
		lease := storage.LeaseRef{TaskID: id, Epoch: 1}
		held := storage.LeaseRef{TaskID: taskID(1), Epoch: 1}
		extended, err := tasks.ExtendLeases(ctx, []storage.LeaseRef{lease, held}, after(time.Minute))
		require.NoError(t, err)
		require.Equal(t, []storage.ExtendOutcome{{Err: storage.ErrLeaseLost}, {}}, extended)
		released, err := tasks.ReleaseLeases(ctx, []storage.LeaseRef{lease}, start)
		require.NoError(t, err)
		require.Equal(t, storage.Outcomes{storage.ErrLeaseLost}, released)
		step := keepStep(1, 1)
		step.Lease = lease
		settled, err := tasks.SettleSteps(ctx, []storage.TaskStep{step})
		require.NoError(t, err)
		require.Equal(t, []storage.StepOutcome{{Err: storage.ErrLeaseLost}}, settled)
		count, err := tasks.ReleaseOwner(ctx, id, start)
		require.NoError(t, err)
		require.Zero(t, count)
		require.NoError(t, tasks.AckOutbox(ctx, []string{id}))
		_, err = tasks.ClaimTasks(ctx, claimBy(id, after(time.Hour)), 1)
		require.ErrorIs(t, err, storage.ErrInvalidText, "an owner is something that leases are found by")
	}
	require.Equal(t, heldTask(1).Task, mustGet(t, tasks, 1))
}

func workersText(t *testing.T, store storage.Workers) {
	ctx := t.Context()
	worker := aWorker("w")
	worker.URL, worker.Services, worker.Labels = dirty, []string{"a\x00"}, map[string]string{"zone": "b\x00"}
	require.NoError(t, store.UpsertWorkers(ctx, []storage.Worker{worker}))
	worker.URL = cleaned
	got, err := store.ListWorkers(ctx, time.Time{})
	require.NoError(t, err)
	require.Equal(t, []storage.Worker{worker}, got)

	outcomes, err := store.RecordHeartbeats(ctx, []storage.Heartbeat{
		{ID: dirty, At: at(9)}, {ID: "w", URL: "http://" + dirty, Load: 7, At: at(9)},
	})
	require.NoError(t, err)
	requireOutcomes(t, storage.Outcomes{storage.ErrNotFound, nil}, outcomes)
	got, err = store.ListWorkers(ctx, time.Time{})
	require.NoError(t, err)
	require.Equal(t, "http://"+cleaned, got[0].URL)

	for _, id := range unstorable {
		require.ErrorIs(t, store.UpsertWorkers(ctx, []storage.Worker{aWorker("other"), aWorker(id)}), storage.ErrInvalidText)
		outcomes, err := store.DeleteWorkers(ctx, []string{id})
		require.NoError(t, err)
		requireOutcomes(t, storage.Outcomes{storage.ErrNotFound}, outcomes)
	}
	got, err = store.ListWorkers(ctx, time.Time{})
	require.NoError(t, err)
	require.Len(t, got, 1, "a batch is refused whole")
}

func flowsText(t *testing.T, store storage.Flows) {
	ctx := t.Context()
	flow := aFlow(1)
	flow.Name, flow.Description = dirty, dirty
	require.NoError(t, store.CreateFlow(ctx, flow))
	flow.Name, flow.Description = cleaned, cleaned
	for _, name := range []string{dirty, cleaned} {
		got, err := store.FindFlow(ctx, name)
		require.NoError(t, err)
		require.Equal(t, flow, got)
		page, err := store.ListFlows(ctx, storage.FlowQuery{Name: name, ListOptions: storage.ListOptions{Limit: 10}})
		require.NoError(t, err)
		require.Equal(t, storage.Page[storage.Flow]{Items: []storage.Flow{flow}, Total: 1}, page)
	}

	version := aVersion(1, flow, 0)
	version.Definition = string(badJSON)
	_, err := store.CreateVersion(ctx, version)
	require.ErrorIs(t, err, storage.ErrInvalidText)
	for _, id := range unstorable {
		bad := aFlow(2)
		bad.ID = id
		require.ErrorIs(t, store.CreateFlow(ctx, bad), storage.ErrInvalidText)
		version := aVersion(1, flow, 0)
		version.FlowID = id
		_, err := store.CreateVersion(ctx, version)
		require.ErrorIs(t, err, storage.ErrNotFound)
		version = aVersion(1, flow, 0)
		version.ID = id
		_, err = store.CreateVersion(ctx, version)
		require.ErrorIs(t, err, storage.ErrInvalidText)
		for _, look := range []func(context.Context) error{
			func(ctx context.Context) error { _, err := store.GetFlow(ctx, id); return err },
			func(ctx context.Context) error { _, err := store.GetVersion(ctx, id); return err },
			func(ctx context.Context) error { _, err := store.ResolveVersion(ctx, id, 0); return err },
			func(ctx context.Context) error { _, err := store.ResolveVersion(ctx, id, 1); return err },
			func(ctx context.Context) error { _, err := store.ListVersions(ctx, id); return err },
		} {
			require.ErrorIs(t, look(ctx), storage.ErrNotFound)
		}
	}
}

func queueText(t *testing.T, store storage.Queue) {
	ctx := t.Context()
	job := aJob(1)
	job.NodeKey, job.Path = dirty, dirty
	require.NoError(t, store.PutJobs(ctx, []storage.Job{job}))
	claimed, err := store.ClaimJobs(ctx, storage.ClaimJobs{
		WorkerID: dirty, Services: []string{dirty, job.Service}, Max: 2, Now: at(2), VisibleUntil: at(60),
		NewToken: func() string { return "token" },
	})
	require.NoError(t, err)
	require.Len(t, claimed, 1)
	require.Equal(t, cleaned, claimed[0].NodeKey)
	require.Equal(t, cleaned, claimed[0].Path)
	require.Equal(t, cleaned, claimed[0].WorkerID)
	require.Equal(t, bare(claimed[0]), getJob(t, store, job.ID))

	done := completion(claimed[0])
	done.WorkerID, done.Token, done.LogPath = dirty, "", dirty
	result, hash, unknown := done, done, done
	result.Result, hash.Hash, unknown.JobID = badJSON, dirty, dirty
	requireOutcomes(t, storage.Outcomes{
		storage.ErrInvalidText, storage.ErrInvalidText, storage.ErrNotFound, nil,
	}, complete(t, store, result, hash, unknown, done))
	require.Equal(t, cleaned, getJob(t, store, job.ID).LogPath)

	for _, id := range unstorable {
		for _, spoil := range []func(*storage.Job){
			func(j *storage.Job) { j.ID = id },
			func(j *storage.Job) { j.TaskID = id },
			func(j *storage.Job) { j.RunID = id },
			func(j *storage.Job) { j.Service = id },
			func(j *storage.Job) { j.Input = badJSON },
		} {
			bad := aJob(3)
			spoil(&bad)
			require.ErrorIs(t, store.PutJobs(ctx, []storage.Job{aJob(2), bad}), storage.ErrInvalidText)
		}
		found, err := store.GetJobs(ctx, []string{id, job.ID})
		require.NoError(t, err)
		require.Len(t, found, 1)
		outcomes, err := store.WithdrawJobs(ctx, []string{id, "job-withdrawn"}, at(9))
		require.NoError(t, err)
		requireOutcomes(t, storage.Outcomes{storage.ErrInvalidText, nil}, outcomes)
		outcomes, err = store.ExtendClaims(ctx, []storage.ClaimRef{{JobID: id}}, at(9))
		require.NoError(t, err)
		requireOutcomes(t, storage.Outcomes{storage.ErrNotFound}, outcomes)
		for _, change := range []func(context.Context, []string, time.Time) (storage.Outcomes, error){store.RequeueJobs, store.DiscardJobs} {
			outcomes, err = change(ctx, []string{id, job.ID}, at(9))
			require.NoError(t, err)
			requireOutcomes(t, storage.Outcomes{storage.ErrNotFound, storage.ErrEnded}, outcomes)
		}
		require.ErrorIs(t, store.SetLimit(ctx, storage.ServiceLimit{Service: id, MaxClaimed: 1, UpdatedAt: at(9)}), storage.ErrInvalidText)
		dead, err := store.ListDead(ctx, storage.DeadQuery{Service: id, ListOptions: storage.ListOptions{Limit: 10}})
		require.NoError(t, err)
		require.Equal(t, storage.Page[storage.Job]{Items: []storage.Job{}}, dead)
		require.NoError(t, store.AckResults(ctx, []string{id}))
	}
	found, err := store.GetJobs(ctx, []string{aJob(2).ID})
	require.NoError(t, err)
	require.Empty(t, found, "a batch is refused whole")
}
