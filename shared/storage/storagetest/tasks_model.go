package storagetest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

var tasksModelTests = []tasksTest{
	{"Model_AnswersAsTheContractsSay", modelAnswers},
}

// modelTasks is how many tasks a story has at most; few, so that operations
// meet on them.
const modelTasks = 6

// modelAnswers runs random stories against the store and against a model in
// memory, which must give the same answers. All stories share the store; each
// ends its tasks, so that none is left to claim for the next.
func modelAnswers(t *testing.T, tasks storage.Tasks) {
	story := 0
	rapid.Check(t, func(r *rapid.T) {
		m := &tasksModel{store: tasks, base: story * modelTasks, now: start, tasks: map[int]*modelTask{}}
		story++
		defer m.end(t.Context())
		r.Repeat(map[string]func(*rapid.T){
			"create": m.create, "append": m.append, "settle": m.settle, "claim": m.claim, "claimTask": m.claimTask,
			"extend": m.extend, "release": m.release, "releaseOwner": m.releaseOwner, "outbox": m.outbox,
			"": m.check,
		})
		for n := range m.tasks {
			m.compare(r, n)
		}
	})
}

// tasksModel is the tasks role in a map, and the clock of its story.
type tasksModel struct {
	store    storage.Tasks
	base     int // number of the story's first task
	now      time.Time
	tasks    map[int]*modelTask
	messages []storage.OutboxMessage
	serial   int // makes source and message ids
}

type modelTask struct {
	storage.Task
	events []storage.TaskEvent // in order of arrival; Seq 0: not applied
	runs   []storage.NodeRun
}

func (m *tasksModel) tick(r *rapid.T) time.Time {
	m.now = m.now.Add(time.Duration(rapid.IntRange(0, 40).Draw(r, "seconds")) * time.Second)
	return m.now
}

func (m *tasksModel) number(r *rapid.T) int {
	return m.base + rapid.IntRange(0, modelTasks-1).Draw(r, "task")
}

func (m *tasksModel) create(r *rapid.T) {
	n, now := m.number(r), m.tick(r)
	created := pendingTask(n)
	if rapid.Bool().Draw(r, "held") {
		created = heldTask(n)
		created.Task.Lease.Expiry = now.Add(time.Minute)
	}
	created.Task.RunnableAt = now
	if created.Task.Lease.Owner != "" {
		created.Task.RunnableAt = created.Task.Lease.Expiry
	}
	created.Task.CreatedAt, created.Task.UpdatedAt = now, now
	request := rapid.IntRange(0, 2).Draw(r, "request")
	if request > 0 {
		created.Task.RequestID = fmt.Sprintf("req-%d-%d", m.base, request)
		created.Task.RequestHash = rapid.SampledFrom([]string{"h1", "h2"}).Draw(r, "hash")
	}

	want := storage.CreateOutcome{Task: created.Task}
	if _, exists := m.tasks[n]; exists {
		want = storage.CreateOutcome{Err: storage.ErrConflict}
	}
	for _, task := range m.tasks {
		if request > 0 && task.RequestID == created.Task.RequestID {
			want = storage.CreateOutcome{Err: storage.ErrConflict, Task: task.Task}
			if task.RequestHash == created.Task.RequestHash {
				want = storage.CreateOutcome{Existing: true, Task: task.Task}
			}
		}
	}
	outcomes, err := m.store.CreateTasks(r.Context(), []storage.NewTask{created})
	require.NoError(r, err)
	require.Equal(r, []storage.CreateOutcome{want}, outcomes)
	if want.Err == nil && !want.Existing {
		m.tasks[n] = &modelTask{Task: created.Task, events: slices.Clone(created.Events), runs: slices.Clone(created.Started)}
	}
}

func (m *tasksModel) append(r *rapid.T) {
	n, now := m.number(r), m.tick(r)
	event := signal(n, fmt.Sprint("s", rapid.IntRange(0, 5).Draw(r, "source")))
	if rapid.IntRange(0, 3).Draw(r, "kind") == 0 {
		event.Kind = storage.EventCancel
	}
	event.At = now
	task := m.tasks[n]
	if task != nil && rapid.IntRange(0, 3).Draw(r, "conditional") == 0 {
		behind := int64(rapid.IntRange(0, 1).Draw(r, "behind"))
		event = onlyAt(event, task.Seq-behind, task.InboxSeq)
	}

	var want storage.AppendOutcome
	switch {
	case task == nil:
		want.Err = storage.ErrNotFound
	case task.event(event.SourceID) != nil:
		want = storage.AppendOutcome{Duplicate: true, Stored: *task.event(event.SourceID), Leased: task.held(now)}
	case task.Status.Terminal() || task.Status == storage.TaskCanceling:
		want.Err = storage.ErrEnded
	case event.OnlyAt != nil && (task.Lease.Owner != "" || event.OnlyAt.Seq != task.Seq):
		want.Err = storage.ErrMoved
	default:
		want.Leased = task.held(now)
		task.InboxSeq++
		task.UpdatedAt = now
		if event.Kind == storage.EventCancel {
			task.Status = storage.TaskCanceling
		}
		if task.Lease.Owner == "" && (task.RunnableAt.IsZero() || task.RunnableAt.After(now)) {
			task.RunnableAt = now
		}
		task.events = append(task.events, storage.TaskEvent{
			TaskID: event.TaskID, SourceID: event.SourceID, Kind: event.Kind, Data: event.Data, At: now, Arrival: task.InboxSeq,
		})
	}
	outcomes, err := m.store.AppendEvents(r.Context(), []storage.InboxEvent{event})
	require.NoError(r, err)
	require.Equal(r, []storage.AppendOutcome{want}, outcomes)
}

// event is the event of that source, or nil.
func (t *modelTask) event(source string) *storage.TaskEvent {
	i := slices.IndexFunc(t.events, func(e storage.TaskEvent) bool { return e.SourceID == source })
	if i < 0 {
		return nil
	}
	return &t.events[i]
}

func (t *modelTask) held(now time.Time) bool { return t.Lease.Owner != "" && t.Lease.Expiry.After(now) }

// current tells whether a step under the epoch may write.
func (t *modelTask) current(epoch int64) bool {
	return t != nil && t.Lease.Owner != "" && t.Lease.Epoch == epoch
}

// asSeen tells whether a step with Take may write.
func (t *modelTask) asSeen(step *storage.TaskStep) bool {
	return t != nil && t.Lease.Owner == "" && t.Lease.Epoch == step.Lease.Epoch && t.InboxSeq == step.InboxDone &&
		!t.Status.Terminal() && t.Status != storage.TaskCanceling
}

// lease draws a task and a lease on it: mostly the current one.
func (m *tasksModel) lease(r *rapid.T) (*modelTask, storage.LeaseRef) {
	n := m.number(r)
	ref := storage.LeaseRef{TaskID: taskID(n), Epoch: 1}
	if task := m.tasks[n]; task != nil {
		ref.Epoch = task.Lease.Epoch
	}
	if rapid.IntRange(0, 5).Draw(r, "stale") == 0 {
		ref.Epoch--
	}
	return m.tasks[n], ref
}

func (m *tasksModel) settle(r *rapid.T) {
	task, ref := m.lease(r)
	step := storage.TaskStep{
		Lease: ref, At: m.tick(r), State: json.RawMessage(fmt.Sprintf(`{"serial":%d}`, m.serial)), CurrentNode: "x",
		Status:   rapid.SampledFrom(storage.TaskStatuses[1:6]).Draw(r, "status"),
		WaitsFor: rapid.SampledFrom(storage.WaitKinds).Draw(r, "waits for"),
	}
	m.serial++
	if step.Status.Terminal() {
		step.CurrentNode, step.FinishedAt = "", step.At
	}
	if rapid.Bool().Draw(r, "shared") {
		step.Shared = json.RawMessage(fmt.Sprintf(`{"n":%d}`, m.serial))
	}
	if rapid.Bool().Draw(r, "release") {
		step.Release = true
		if rapid.Bool().Draw(r, "timer") {
			step.RunnableAt = step.At.Add(30 * time.Second)
		}
	}
	if rapid.IntRange(0, 3).Draw(r, "outbox") == 0 {
		step.Outbox = []storage.OutboxMessage{{
			ID: fmt.Sprintf("m-%d-%d", m.base, m.serial), TaskID: ref.TaskID, Kind: storage.OutboxPutJob, Payload: json.RawMessage(`{}`), NextAt: step.At,
		}}
	}
	if task != nil {
		m.fillStep(r, task, &step)
	}
	if rapid.IntRange(0, 2).Draw(r, "take") == 0 {
		step.Take = &storage.Take{Owner: "beta", Until: step.At.Add(time.Minute)}
	}

	var want storage.StepOutcome
	switch {
	case step.Take != nil && !task.asSeen(&step):
		want.Err = storage.ErrMoved
	case step.Take != nil:
		task.Lease = storage.Lease{Owner: step.Take.Owner, Expiry: step.Take.Until, Epoch: ref.Epoch + 1}
		task.RunnableAt = step.Take.Until
		m.apply(task, &step)
	case !task.current(ref.Epoch):
		want.Err = storage.ErrLeaseLost
	case step.Status.Terminal() && task.InboxSeq > step.InboxDone:
		want.Err = storage.ErrInboxPending
	default:
		want.InboxPending = task.InboxSeq > step.InboxDone
		m.apply(task, &step)
	}
	outcomes, err := m.store.SettleSteps(r.Context(), []storage.TaskStep{step})
	require.NoError(r, err)
	require.Equal(r, []storage.StepOutcome{want}, outcomes)
}

// fillStep lets the step apply some of the inbox, make an event, start a run
// and finish another.
func (m *tasksModel) fillStep(r *rapid.T, task *modelTask, step *storage.TaskStep) {
	step.Seq, step.InboxDone = task.Seq, task.InboxDone
	apply := rapid.IntRange(0, 3).Draw(r, "apply")
	for _, event := range task.events {
		if event.Seq == 0 && apply > 0 {
			apply--
			step.Seq++
			step.InboxDone++
			event.Seq = step.Seq
			step.Events = append(step.Events, event)
		}
	}
	if rapid.Bool().Draw(r, "event") {
		step.Seq++
		step.Events = append(step.Events, storage.TaskEvent{
			TaskID: task.ID, SourceID: fmt.Sprint("made-", m.serial), Kind: storage.EventRunFinished, Data: json.RawMessage(`{}`), At: step.At, Seq: step.Seq,
		})
	}
	if rapid.Bool().Draw(r, "run") {
		run := startedRun(0, len(task.runs)+1)
		run.TaskID = task.ID
		step.Started = []storage.NodeRun{run}
		step.Finished = []storage.RunFinish{{No: rapid.IntRange(1, run.No).Draw(r, "no"), Status: storage.RunOK, FinishedAt: step.At}}
	}
}

func (m *tasksModel) apply(task *modelTask, step *storage.TaskStep) {
	if task.Status != storage.TaskCanceling || step.Status.Terminal() {
		task.Status = step.Status
	}
	task.WaitsFor = step.WaitsFor
	if step.Status.Terminal() {
		task.WaitsFor = storage.WaitNone
	}
	if step.Shared != nil {
		task.Shared = step.Shared
	}
	task.State, task.CurrentNode, task.Error, task.FinishedAt = step.State, step.CurrentNode, step.Error, step.FinishedAt
	task.Seq, task.InboxDone, task.UpdatedAt = step.Seq, step.InboxDone, step.At
	switch {
	case step.Status.Terminal():
		task.Lease, task.RunnableAt = storage.Lease{Epoch: task.Lease.Epoch}, time.Time{}
	case step.Release:
		task.Lease, task.RunnableAt = storage.Lease{Epoch: task.Lease.Epoch}, step.RunnableAt
		if task.InboxSeq > task.InboxDone {
			task.RunnableAt = step.At
		}
	}
	for _, event := range step.Events {
		if known := task.event(event.SourceID); known != nil {
			known.Seq = event.Seq
			continue
		}
		task.events = append(task.events, event)
	}
	task.runs = append(task.runs, step.Started...)
	for _, finish := range step.Finished {
		finish.Close(&task.runs[finish.No-1])
	}
	m.messages = append(m.messages, step.Outbox...)
}

func (m *tasksModel) outbox(r *rapid.T) {
	now := m.tick(r)
	until := now.Add(time.Minute)
	slices.SortFunc(m.messages, func(a, b storage.OutboxMessage) int {
		return cmp.Or(a.NextAt.Compare(b.NextAt), cmp.Compare(a.ID, b.ID))
	})
	want := []storage.OutboxMessage{}
	for i := range m.messages {
		if message := &m.messages[i]; !message.NextAt.After(now) {
			message.NextAt = until
			message.Attempts++
			want = append(want, *message)
		}
	}
	got, err := m.store.ClaimOutbox(r.Context(), now, until, 1000)
	require.NoError(r, err)
	require.Equal(r, want, got)
	if len(got) > 0 && rapid.Bool().Draw(r, "ack") {
		require.NoError(r, m.store.AckOutbox(r.Context(), []string{got[0].ID}))
		m.messages = slices.DeleteFunc(m.messages, func(message storage.OutboxMessage) bool { return message.ID == got[0].ID })
	}
}

// check compares what can be read of one task, and the earliest time of all.
func (m *tasksModel) check(r *rapid.T) {
	m.compare(r, m.number(r))
	var next time.Time
	for _, task := range m.tasks {
		if !task.RunnableAt.IsZero() && (next.IsZero() || task.RunnableAt.Before(next)) {
			next = task.RunnableAt
		}
	}
	got, err := m.store.NextRunnable(r.Context())
	require.NoError(r, err)
	require.Equal(r, next, got)
}

func (m *tasksModel) compare(r *rapid.T, n int) {
	task := m.tasks[n]
	if task == nil {
		_, err := m.store.GetTask(r.Context(), taskID(n))
		require.ErrorIs(r, err, storage.ErrNotFound)
		return
	}
	want := everything{task: task.Task, runs: task.runs}
	for _, event := range task.events {
		if event.Seq > 0 {
			want.events = append(want.events, event)
		} else {
			want.inbox = append(want.inbox, event)
		}
	}
	slices.SortFunc(want.events, func(a, b storage.TaskEvent) int { return cmp.Compare(a.Seq, b.Seq) })
	got := snapshot(r, m.store, n)
	require.Equal(r, want.task, got.task)
	require.ElementsMatch(r, want.runs, got.runs)
	require.Equal(r, append([]storage.TaskEvent{}, want.events...), got.events)
	require.Equal(r, append([]storage.TaskEvent{}, want.inbox...), got.inbox)
	if len(want.inbox) > 0 {
		require.False(r, task.RunnableAt.IsZero(), "a task with events pending is runnable or leased")
	}
}

// end ends every task of the story and delivers its messages, so that nothing
// is left to claim; also when the story failed, for rapid tells others then.
func (m *tasksModel) end(ctx context.Context) {
	m.now = m.now.Add(time.Hour)
	for n := range m.tasks {
		claimed, err := m.store.ClaimTask(ctx, taskID(n), claimBy("end", m.now))
		if err != nil {
			continue // it has ended
		}
		step := endStep(n, claimed.Lease.Epoch)
		step.InboxDone = claimed.InboxSeq
		_, _ = m.store.SettleSteps(ctx, []storage.TaskStep{step})
	}
	for _, message := range m.messages {
		_ = m.store.AckOutbox(ctx, []string{message.ID})
	}
}
