package approvals

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/connect"
)

func TestDigest_NamesTheRunTheKeyAndTheInput(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for name, approval := range map[string]engine.Approval{
		"plain":          {RunID: "run-1", Key: "k", Input: json.RawMessage(`{"a":1}`)},
		"another run":    {RunID: "run-2", Key: "k", Input: json.RawMessage(`{"a":1}`)},
		"another key":    {RunID: "run-1", Key: "k2", Input: json.RawMessage(`{"a":1}`)},
		"moved border":   {RunID: `run-1" "k`, Key: "", Input: json.RawMessage(`{"a":1}`)},
		"another input":  {RunID: "run-1", Key: "k", Input: json.RawMessage(`{"a":2}`)},
		"another number": {RunID: "run-1", Key: "k", Input: json.RawMessage(`{"a":1.0}`)},
		"twice":          {RunID: "run-1", Key: "k", Input: json.RawMessage(`{"a":2,"a":1}`)},
		"none":           {RunID: "run-1", Key: "k"},
	} {
		d := digest(approval)
		require.Empty(t, seen[d], "%s is told from it", name)
		seen[d] = name
	}
	require.Equal(t, "plain", seen[digest(engine.Approval{RunID: "run-1", Key: "k", Input: json.RawMessage(" { \"a\" : 1 }\n")})])
	require.Equal(t, "none", seen[digest(engine.Approval{RunID: "run-1", Key: "k", Input: json.RawMessage(`null`)})])
}

// still shows tasks whose engine has just come to an approval, and never moves
// them on.
type still struct {
	program engine.Program
	failure error
}

func (s still) View(_ context.Context, task storage.Task) (engine.Program, engine.State, error) {
	state, err := engine.Load(task)
	if err != nil {
		return engine.Program{}, engine.State{}, err
	}
	return s.program, state, s.failure
}

func (still) Attend(context.Context, string) error { return nil }

func setup(t *testing.T, waiting int) (*Desk, *still) {
	t.Helper()
	store, err := connect.Tasks(t.Context(), filepath.Join(t.TempDir(), "scheduler.db"), connect.Options{Migration: connect.MigrateOnOpen})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	definition, faults := flow.Parse([]byte(`{"start":"review","nodes":{"review":{"kind":"approval","approval_key":"verdict"}}}`))
	require.Empty(t, faults)
	plan, err := flow.Compile(definition)
	require.NoError(t, err)
	runner := &still{program: engine.Program{
		Plan: plan, Params: json.RawMessage(`{}`), Limits: engine.Limits{MaxSteps: 10, MaxValue: 1 << 20},
	}}
	now := storage.Now()
	tasks := make([]storage.NewTask, waiting)
	for i := range tasks {
		id := fmt.Sprintf("task-%d", i)
		state, effects := runner.program.Step(engine.NewState(), engine.Event{Kind: storage.EventStarted, At: now})
		text, err := state.JSON()
		require.NoError(t, err)
		for n := range effects.Started {
			effects.Started[n].TaskID = id
		}
		tasks[i] = storage.NewTask{
			Task: storage.Task{
				ID: id, Status: state.Status, WaitsFor: runner.program.WaitsFor(state), Params: json.RawMessage(`{}`), Shared: state.Shared,
				State: text, CurrentNode: state.CurrentNode(), Seq: 1, CreatedAt: now, UpdatedAt: now,
			},
			Started: effects.Started,
		}
	}
	_, err = store.CreateTasks(t.Context(), tasks)
	require.NoError(t, err)
	return New(Deps{Store: store, Runner: runner, Log: zap.NewNop(), Now: storage.Now}), runner
}

func all() Query { return Query{ListOptions: storage.ListOptions{Limit: 100}} }

func TestList_KeepsTheOrderAndLeavesOutWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	desk, _ := setup(t, 5)
	task, err := desk.Store.ClaimTask(t.Context(), "task-3", storage.ClaimParams{Owner: "o", Now: storage.Now(), Until: storage.Now()})
	require.NoError(t, err)
	_, err = desk.Store.SettleSteps(t.Context(), []storage.TaskStep{{
		Lease: storage.LeaseRef{TaskID: task.ID, Epoch: task.Lease.Epoch}, At: storage.Now(), Release: true,
		Status: storage.TaskWaiting, WaitsFor: storage.WaitApproval, State: json.RawMessage(`{"v":99}`), Seq: 2,
	}})
	require.NoError(t, err)
	page, err := desk.List(t.Context(), all())
	require.NoError(t, err)
	require.Equal(t, 5, page.Total)
	var ids []string
	for _, pending := range page.Items {
		require.False(t, pending.RequestedAt.IsZero())
		ids = append(ids, pending.Task.ID)
	}
	require.Equal(t, []string{"task-4", "task-2", "task-1", "task-0"}, ids)
}

func TestList_TellsThatAPlanCannotBeReached(t *testing.T) {
	t.Parallel()
	desk, runner := setup(t, 2)
	runner.failure = errs.New(errs.Unavailable, "the catalog is away")
	_, err := desk.List(t.Context(), all())
	require.Equal(t, errs.Unavailable, errs.CodeOf(err))
}

// A decision that is durable and not applied yet is a decision.
func TestDecide_RecognisesADecisionThatIsNotAppliedYet(t *testing.T) {
	t.Parallel()
	desk, _ := setup(t, 1)
	page, err := desk.List(t.Context(), all())
	require.NoError(t, err)
	decision := Decision{TaskID: "task-0", Digest: page.Items[0].Digest, Value: json.RawMessage(`"later"`), By: "dora"}
	require.NoError(t, desk.Decide(t.Context(), decision))
	decision.Value = json.RawMessage(`"\u006cater"`)
	require.NoError(t, desk.Decide(t.Context(), decision), "the same in another spelling")
	decision.By = "eve"
	err = desk.Decide(t.Context(), decision)
	require.Equal(t, errs.ApprovalClosed, errs.CodeOf(err))
	require.ErrorContains(t, err, `by "dora"`)
	inbox, err := desk.Store.LoadInbox(t.Context(), "task-0", 10)
	require.NoError(t, err)
	require.Len(t, inbox, 1)
}

func TestDecide_EndsWithTheCaller(t *testing.T) {
	t.Parallel()
	desk, _ := setup(t, 1)
	page, err := desk.List(t.Context(), all())
	require.NoError(t, err)
	_, err = desk.Store.AppendEvents(t.Context(), []storage.InboxEvent{{
		TaskID: "task-0", SourceID: "s", Kind: storage.EventSignal, Data: json.RawMessage(`{"key":"a","value":1}`), At: storage.Now(),
	}})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 50*firstLook)
	defer cancel()
	err = desk.Decide(ctx, Decision{TaskID: "task-0", Digest: page.Items[0].Digest, Value: json.RawMessage(`true`)})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	task, err := desk.Store.GetTask(t.Context(), "task-0")
	require.NoError(t, err)
	require.EqualValues(t, 1, task.InboxSeq)
}
