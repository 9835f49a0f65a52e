//go:build unix

package chaos

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
)

// asked is a flow of one queued node, with settings beside it.
func asked(service, settings string) string {
	return fmt.Sprintf(`{"start": "only", "nodes": {"only": {"kind": "executor", "exec_type": "queue", "service": %q, "post": {"output_key": "result"}%s}}}`, service, settings)
}

// create starts a task of a new flow.
func (p parts) create(t *testing.T, name, definition string) string {
	t.Helper()
	id, err := p.client.Tasks.CreateTask(t.Context(), schedulerapi.CreateTaskRequest{FlowVersionID: p.client.Publish(t, name, definition)})
	require.NoError(t, err)
	return id
}

// claim waits for a job of a service, for claimTime.
func (p parts) claim(t *testing.T, service, worker string) queueapi.Job {
	t.Helper()
	jobs, err := p.jobs.Poll(t.Context(), queueapi.PollParams{
		WorkerID: worker, Services: []string{service}, Wait: taskTimeout, Visibility: claimTime,
	})
	require.NoError(t, err)
	require.Len(t, jobs, 1)
	return jobs[0]
}

// awaitEnd waits until a task has ended.
func (p parts) awaitEnd(t *testing.T, id string) (task schedulerapi.Task) {
	t.Helper()
	awaitTask(t, p, id, func(is schedulerapi.Task) bool {
		task = is
		return is.FinishedAt != 0
	})
	return task
}

func awaitTask(t *testing.T, p parts, id string, is func(schedulerapi.Task) bool) {
	t.Helper()
	await(t, func() error {
		task, err := p.client.Tasks.GetTask(t.Context(), id)
		if err == nil && !is(task) {
			err = fmt.Errorf("task %s is %s at %q", id, task.Status, task.CurrentNodeKey)
		}
		return err
	})
}

// answer completes a job with a result that names who has it.
func answer(job queueapi.Job, result string) queueapi.CompleteRequest {
	return queueapi.CompleteRequest{QueueID: job.ID, Token: job.Token, RunID: job.RunID, Result: fmt.Appendf(nil, "%q", result)}
}

// refused requires an answer to be refused with a code and its status.
func (p parts) refused(t *testing.T, request queueapi.CompleteRequest, code errs.Code, status int) {
	t.Helper()
	err := p.jobs.Complete(t.Context(), request)
	require.Equal(t, code, errs.CodeOf(err), "%v", err)
	require.Equal(t, status, postStatus(t, p.queue.URL+"/queue/complete", request))
}

func TestQueueAnswers_OnlyTheHoldersHasAnEffectAndOne(t *testing.T) {
	t.Parallel()
	for _, d := range drivers {
		t.Run(string(d), func(t *testing.T) {
			p := d.startParts(t)
			t.Run("Late", func(t *testing.T) { answerLate(t, p) })
			t.Run("Canceled", func(t *testing.T) { answerCanceled(t, p) })
			t.Run("Odd", func(t *testing.T) { answerOddly(t, p) })
		})
	}
}

func answerLate(t *testing.T, p parts) {
	task := p.create(t, "late", asked("late", ""))
	first := p.claim(t, "late", "slow")
	second := p.claim(t, "late", "quick")
	require.Equal(t, first.RunID, second.RunID)
	require.Equal(t, 2, second.Attempt)
	p.refused(t, answer(first, "slow"), errs.ClaimLost, http.StatusConflict)
	require.NoError(t, p.jobs.Complete(t.Context(), answer(second, "quick")))
	require.Equal(t, "completed", p.awaitEnd(t, task).Status)

	// Neither a repeat nor the loser's answer changes what is there.
	before := p.tell(t, task)
	require.NoError(t, p.jobs.Complete(t.Context(), answer(second, "quick")))
	p.refused(t, answer(second, "otherwise"), errs.ClaimLost, http.StatusConflict)
	p.refused(t, answer(first, "slow"), errs.ClaimLost, http.StatusConflict)
	p.settle(t)
	require.Equal(t, before, p.tell(t, task))
	require.Contains(t, before.task.SharedJSON, `"quick"`)
	require.Len(t, before.runs, 1)
	require.Equal(t, "quick", before.runs[0].WorkerID)
	require.Equal(t, onceEach(first.RunID), heard(t, p.scheduler.URL, task))
}

func answerCanceled(t *testing.T, p parts) {
	task := p.create(t, "canceled", asked("canceled", ""))
	job := p.claim(t, "canceled", "holder")
	require.NoError(t, p.client.Tasks.Cancel(t.Context(), task))
	await(t, func() error {
		err := p.jobs.Heartbeat(t.Context(), queueapi.HeartbeatRequest{QueueID: job.ID, Token: job.Token})
		if errs.CodeOf(err) != errs.TaskEnded {
			return fmt.Errorf("the holder has not heard of it: %w", err)
		}
		return nil
	})
	require.Equal(t, "canceled", p.awaitEnd(t, task).Status)
	before := p.tell(t, task)
	p.refused(t, answer(job, "too late"), errs.TaskEnded, http.StatusConflict)
	p.settle(t)
	require.Equal(t, before, p.tell(t, task))
}

func answerOddly(t *testing.T, p parts) {
	one, other := p.create(t, "one", asked("odd", "")), p.create(t, "other", asked("odd", ""))
	first, second := p.claim(t, "odd", "holder"), p.claim(t, "odd", "holder")
	crossed := answer(first, "crossed")
	crossed.Token = second.Token
	p.refused(t, crossed, errs.ClaimLost, http.StatusConflict)
	unknown := answer(first, "unknown")
	unknown.QueueID, unknown.RunID = "job-unknown", ""
	p.refused(t, unknown, errs.NotFound, http.StatusNotFound)
	for _, job := range []queueapi.Job{first, second} {
		require.NoError(t, p.jobs.Complete(t.Context(), answer(job, job.TaskID)))
	}
	for _, id := range []string{one, other} {
		require.JSONEq(t, fmt.Sprintf(`{"result": %q}`, id), p.awaitEnd(t, id).SharedJSON)
	}
}

// toldTask is what is told of a task and its runs.
type toldTask struct {
	task schedulerapi.Task
	runs []schedulerapi.Run
}

func (p parts) tell(t *testing.T, id string) toldTask {
	t.Helper()
	task, err := p.client.Tasks.GetTask(t.Context(), id)
	require.NoError(t, err)
	runs, err := p.client.Tasks.ListRuns(t.Context(), id)
	require.NoError(t, err)
	return toldTask{task: task, runs: runs}
}

// settle lets a job go all its way: whatever was on its way before has arrived.
func (p parts) settle(t *testing.T) {
	t.Helper()
	id := p.create(t, "settle", asked("settle", ""))
	require.NoError(t, p.jobs.Complete(t.Context(), answer(p.claim(t, "settle", "settler"), "done")))
	require.Equal(t, "completed", p.awaitEnd(t, id).Status)
}

const orderDelay = 600 * time.Millisecond

// The jobs wait before anybody polls, so that their order is the queue's.
func TestQueueOrder_IsByPriorityThenByAge(t *testing.T) {
	t.Parallel()
	for _, d := range drivers {
		t.Run(string(d), func(t *testing.T) {
			p := d.startParts(t)
			// The node's params cannot be overridden by the task's.
			flow := p.client.Publish(t, "ordered", asked("ordered", `, "params": {"delay_ms": 0}`))
			priorities := []int{0, 5, -3, 5, 0, 9}
			want := []int{5, 1, 3, 0, 4, 2}
			for i, priority := range priorities {
				_, err := p.client.Tasks.CreateTask(t.Context(), schedulerapi.CreateTaskRequest{
					FlowVersionID: flow, Params: fmt.Appendf(nil, `{"no": %d, "priority": %d, "delay_ms": 3600000}`, i, priority),
				})
				require.NoError(t, err)
				await(t, func() error { return p.ready(t, "ordered", i+1) })
			}
			var got []int
			for range priorities {
				job := p.claim(t, "ordered", "poller")
				var payload struct{ Params struct{ No int } }
				require.NoError(t, json.Unmarshal([]byte(job.InputJSON), &payload))
				require.Equal(t, priorities[payload.Params.No], job.Priority)
				got = append(got, payload.Params.No)
				require.NoError(t, p.jobs.Complete(t.Context(), answer(job, "done")))
			}
			require.Equal(t, want, got)

			delayed := p.create(t, "delayed", asked("delayed", fmt.Sprintf(`, "params": {"delay_ms": %d}`, orderDelay.Milliseconds())))
			job := p.claim(t, "delayed", "poller")
			runs, err := p.client.Tasks.ListRuns(t.Context(), delayed)
			require.NoError(t, err)
			waited := time.UnixMilli(job.StartedAt).Sub(time.UnixMilli(runs[0].StartedAt))
			t.Logf("a job that is delayed by %v was delivered after %v", orderDelay, waited)
			require.GreaterOrEqual(t, waited, orderDelay)
			require.Less(t, waited, orderDelay+2*time.Second)
			require.NoError(t, p.jobs.Complete(t.Context(), answer(job, "done")))
			require.Equal(t, "completed", p.awaitEnd(t, delayed).Status)
		})
	}
}

// ready is nil when so many jobs of a service are ready.
func (p parts) ready(t *testing.T, service string, want int) error {
	t.Helper()
	stats, err := p.jobs.Stats(t.Context())
	if err != nil {
		return err
	}
	for _, s := range stats {
		if s.Service == service && s.Ready == want {
			return nil
		}
	}
	return fmt.Errorf("the queue has %+v, not yet %d of %s", stats, want, service)
}
