//go:build unix

package chaos

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
)

const deliveries = 2

func TestQueueDead_FailTheirRunAndAreKeptAndRequeued(t *testing.T) {
	t.Parallel()
	for _, d := range drivers {
		t.Run(string(d), func(t *testing.T) {
			p := d.startParts(t, fmt.Sprintf("QUEUE_MAX_DELIVERIES=%d", deliveries))
			t.Run("Retried", func(t *testing.T) { retryDead(t, p) })
			t.Run("Failed", func(t *testing.T) { failDead(t, p) })
			t.Run("SchedulerAway", func(t *testing.T) { requeueInTime(t, p) })
		})
	}
}

// die has a job of a service delivered until it is dead.
func (p parts) die(t *testing.T, service string) queueapi.DeadJob {
	t.Helper()
	var job queueapi.Job
	for delivery := range deliveries {
		job = p.claim(t, service, "mute")
		require.Equal(t, delivery+1, job.Attempt)
	}
	var dead []queueapi.DeadJob
	await(t, func() error {
		page, err := p.jobs.ListDead(t.Context(), queueapi.DeadQuery{Service: service})
		if err == nil && page.Total != 1 {
			err = fmt.Errorf("%d jobs of %s are dead", page.Total, service)
		}
		dead = page.Data
		return err
	})
	require.Equal(t, job.ID, dead[0].ID)
	require.Equal(t, deliveries, dead[0].Deliveries)
	return dead[0]
}

// requeue makes a dead job ready again.
func (p parts) requeue(t *testing.T, dead queueapi.DeadJob) {
	t.Helper()
	outcomes, err := p.jobs.Requeue(t.Context(), []string{dead.ID})
	require.NoError(t, err)
	require.Len(t, outcomes, 1)
	require.NoError(t, outcomes[0].Err())
}

// answerRequeued answers a job that was dead.
func (p parts) answerRequeued(t *testing.T, dead queueapi.DeadJob) queueapi.Job {
	t.Helper()
	job := p.claim(t, dead.Service, "able")
	require.Equal(t, dead.ID, job.ID)
	require.Equal(t, 1, job.Attempt, "it counts anew")
	require.NoError(t, p.jobs.Complete(t.Context(), answer(job, "at last")))
	return job
}

// retryDead: a dead job fails its attempt, whose retry is a job of its own.
func retryDead(t *testing.T, p parts) {
	task := p.create(t, "retried", asked("retried", `, "max_retries": 1`))
	dead := p.die(t, "retried")
	again := p.claim(t, "retried", "able")
	require.NotEqual(t, dead.ID, again.ID)
	require.NoError(t, p.jobs.Complete(t.Context(), answer(again, "second attempt")))
	require.Equal(t, "completed", p.awaitEnd(t, task).Status)
	told := p.tell(t, task)
	require.Len(t, told.runs, 2)
	require.Equal(t, "error", told.runs[0].Status)
	require.Equal(t, "delivery_exhausted", told.runs[0].ErrorCode)
	require.Equal(t, "ok", told.runs[1].Status)

	outcomes, err := p.jobs.Discard(t.Context(), []string{dead.ID, again.ID})
	require.NoError(t, err)
	require.NoError(t, outcomes[0].Err())
	require.Error(t, outcomes[1].Err(), "it is not dead")
	require.Equal(t, errs.TaskEnded, errs.CodeOf(p.jobs.Complete(t.Context(), queueapi.CompleteRequest{QueueID: dead.ID, WorkerID: "mute"})))
}

// failDead: the task has failed, and what is done later does not change that.
func failDead(t *testing.T, p parts) {
	task := p.create(t, "failed", asked("failed", ""))
	dead := p.die(t, "failed")
	ended := p.awaitEnd(t, task)
	require.Equal(t, "failed", ended.Status)
	require.Equal(t, "delivery_exhausted", ended.Error.Code)
	before := p.tell(t, task)
	p.requeue(t, dead)
	p.answerRequeued(t, dead)
	p.settle(t)
	require.Equal(t, before, p.tell(t, task))
}

// requeueInTime: a scheduler that is away has not heard of the death, and hears
// of the result alone, though the queue-gateway was about to tell it of the death.
func requeueInTime(t *testing.T, p parts) {
	task := p.create(t, "in-time", asked("in-time", ""))
	await(t, func() error { return p.ready(t, "in-time", 1) })
	p.scheduler.Kill(t)
	dead := p.die(t, "in-time")
	p.requeue(t, dead)
	job := p.answerRequeued(t, dead)
	p.scheduler.Restart(t)
	ended := p.awaitEnd(t, task)
	require.Equal(t, "completed", ended.Status, "%+v", ended.Error)
	require.JSONEq(t, `{"result": "at last"}`, ended.SharedJSON)
	require.Equal(t, onceEach(job.RunID), heard(t, p.scheduler.URL, task))
}
