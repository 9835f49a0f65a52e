// Package api is the queue-gateway's HTTP: it decodes and checks a request,
// makes one call of the queue and encodes what comes back.
package api

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"

	"github.com/pocketflowgo/pocketflow/services/queue-gateway/internal/queue"
	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Routes lists the queue-gateway's routes.
func Routes(q *queue.Queue) []httpx.Route {
	h := handlers{queue: q}
	return []httpx.Route{
		{Method: http.MethodPost, Path: "/queue/poll", Handler: h.poll, Background: true},
		{Method: http.MethodPost, Path: "/queue/complete", Handler: h.complete, Background: true},
		{Method: http.MethodPost, Path: "/queue/heartbeat", Handler: h.heartbeat, Background: true},
		{Method: http.MethodPost, Path: "/queue/update_run", Handler: h.updateRun, Background: true},
		{Method: http.MethodPost, Path: "/queue/logs", Handler: h.logs, Background: true},

		{Method: http.MethodGet, Path: "/queue/stats", Handler: h.stats},
		{Method: http.MethodGet, Path: "/queue/dead", Handler: h.listDead},
		{Method: http.MethodPost, Path: "/queue/requeue", Handler: h.requeue},
		{Method: http.MethodPost, Path: "/queue/discard", Handler: h.discard},
		{Method: http.MethodGet, Path: "/queue/limits", Handler: h.limits},
		{Method: http.MethodPost, Path: "/queue/limits", Handler: h.setLimits},

		{Method: http.MethodPost, Path: "/internal/jobs", Handler: h.put, Internal: true},
		{Method: http.MethodPost, Path: "/internal/jobs/withdraw", Handler: h.withdraw, Internal: true},
	}
}

type handlers struct{ queue *queue.Queue }

var done = queueapi.OK{OK: "1"}

// poll answers one bare job, or {"jobs": […]} when max_jobs was given.
func (h handlers) poll(w http.ResponseWriter, r *http.Request) error {
	var body queueapi.PollRequest
	if err := httpx.Decode(r, &body); err != nil {
		return err
	}
	params, err := pollParams(body)
	if err != nil {
		return err
	}
	jobs, err := h.queue.Poll(r.Context(), params)
	if err != nil {
		return problem(err, "")
	}
	if len(jobs) == 0 {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	wire := queueapi.Jobs{Jobs: make([]queueapi.Job, 0, len(jobs))}
	for _, job := range jobs {
		wire.Jobs = append(wire.Jobs, wireJob(job))
	}
	if len(jobs) == 1 {
		httpx.NameTask(w, jobs[0].TaskID)
	}
	if body.MaxJobs == 0 {
		err = httpx.WriteJSON(w, http.StatusOK, wire.Jobs[0])
	} else {
		err = httpx.WriteJSON(w, http.StatusOK, wire)
	}
	if errors.Is(err, httpx.ErrCallerGone) {
		h.queue.GiveBack(r.Context(), jobs)
	}
	return err
}

func (h handlers) complete(w http.ResponseWriter, r *http.Request) error {
	var body completeBody
	if err := httpx.Decode(r, &body); err != nil {
		return err
	}
	answers, form, err := body.answers()
	if err != nil {
		return err
	}
	outcomes, err := h.queue.Complete(r.Context(), answers)
	if err != nil {
		return problem(err, "")
	}
	return writeOutcomes(w, form, outcomes, func(i int) string { return answers[i].Claim.JobID })
}

func (h handlers) heartbeat(w http.ResponseWriter, r *http.Request) error {
	var body heartbeatBody
	if err := httpx.Decode(r, &body); err != nil {
		return err
	}
	claims, visibility, form, err := body.extension()
	if err != nil {
		return err
	}
	outcomes, err := h.queue.Extend(r.Context(), claims, visibility)
	if err != nil {
		return problem(err, "")
	}
	return writeOutcomes(w, form, outcomes, func(i int) string { return claims[i].JobID })
}

func (h handlers) updateRun(w http.ResponseWriter, r *http.Request) error {
	var body queueapi.UpdateRunRequest
	if err := httpx.Decode(r, &body); err != nil {
		return err
	}
	report, err := updateOf(body)
	if err != nil {
		return err
	}
	return h.report(w, r, report)
}

func (h handlers) logs(w http.ResponseWriter, r *http.Request) error {
	var body queueapi.LogsRequest
	if err := httpx.Decode(r, &body); err != nil {
		return err
	}
	report, err := logsOf(body)
	if err != nil {
		return err
	}
	return h.report(w, r, report)
}

// reportAgain is what a worker is told, in seconds, to wait before it repeats a
// report.
const reportAgain = "1"

func (h handlers) report(w http.ResponseWriter, r *http.Request, report queue.Report) error {
	if err := h.queue.Report(r.Context(), report); err != nil {
		err = problem(err, cmp.Or(report.Claim.JobID, queueapi.JobID(report.RunID)))
		if errs.CodeOf(err) == errs.Unavailable {
			w.Header().Set("Retry-After", reportAgain)
		}
		return err
	}
	return httpx.WriteJSON(w, http.StatusOK, done)
}

func (h handlers) put(w http.ResponseWriter, r *http.Request) error {
	var body queueapi.PutJobsRequest
	if err := httpx.Decode(r, &body); err != nil {
		return err
	}
	jobs, err := newJobs(body)
	if err != nil {
		return err
	}
	if err := h.queue.Put(r.Context(), jobs); err != nil {
		return problem(err, "")
	}
	return httpx.WriteJSON(w, http.StatusOK, done)
}

func (h handlers) withdraw(w http.ResponseWriter, r *http.Request) error {
	var body queueapi.WithdrawJobsRequest
	if err := httpx.Decode(r, &body); err != nil {
		return err
	}
	var c checker
	for i, id := range body.IDs {
		c.required(fmt.Sprintf("ids[%d]", i), id)
	}
	if err := c.Err(); err != nil {
		return err
	}
	if err := h.queue.Withdraw(r.Context(), body.IDs); err != nil {
		return problem(err, "")
	}
	return httpx.WriteJSON(w, http.StatusOK, done)
}

func wireJob(job storage.Job) queueapi.Job {
	return queueapi.Job{
		ID: job.ID, TaskID: job.TaskID, RunID: job.RunID, NodeKey: job.NodeKey, Service: job.Service,
		InputJSON: string(job.Input), Status: string(job.Status), Attempt: job.Deliveries, Priority: job.Priority,
		Traceparent: job.Trace,
		WorkerID:    job.WorkerID, Token: job.Token,
		CreatedAt: job.CreatedAt.UnixMilli(), AvailableAt: job.AvailableAt.UnixMilli(),
		StartedAt: job.StartedAt.UnixMilli(), TimeoutAt: job.TimeoutAt.UnixMilli(),
	}
}
