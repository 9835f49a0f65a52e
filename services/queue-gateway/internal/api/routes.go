// Package api is the queue-gateway's HTTP: it decodes and checks a request,
// makes one call of the queue and encodes what comes back.
package api

import (
	"net/http"
	"time"

	"github.com/pocketflowgo/pocketflow/services/queue-gateway/internal/queue"
	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Routes lists the queue-gateway's routes.
func Routes(q *queue.Queue) []httpx.Route {
	h := handlers{queue: q}
	return []httpx.Route{
		{Method: http.MethodPost, Path: "/queue/poll", Handler: h.poll},
		{Method: http.MethodPost, Path: "/queue/complete", Handler: h.complete},
		{Method: http.MethodPost, Path: "/queue/heartbeat", Handler: h.heartbeat},
		{Method: http.MethodGet, Path: "/queue/stats", Handler: h.stats},
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
	if body.MaxJobs == 0 {
		err = httpx.WriteJSON(w, http.StatusOK, wire.Jobs[0])
	} else {
		err = httpx.WriteJSON(w, http.StatusOK, wire)
	}
	if r.Context().Err() != nil {
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

func (h handlers) stats(w http.ResponseWriter, r *http.Request) error {
	stats, now, err := h.queue.Stats(r.Context())
	if err != nil {
		return problem(err, "")
	}
	out := make([]queueapi.ServiceStats, 0, len(stats))
	for _, s := range stats {
		out = append(out, wireStats(s, now))
	}
	return httpx.WriteJSON(w, http.StatusOK, out)
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
	if err := h.queue.Withdraw(r.Context(), body.IDs); err != nil {
		return problem(err, "")
	}
	return httpx.WriteJSON(w, http.StatusOK, done)
}

func wireJob(job storage.Job) queueapi.Job {
	return queueapi.Job{
		ID: job.ID, TaskID: job.TaskID, RunID: job.RunID, NodeKey: job.NodeKey, Service: job.Service,
		InputJSON: string(job.Input), Status: string(job.Status), Attempt: job.Deliveries, Priority: job.Priority,
		WorkerID: job.WorkerID, Token: job.Token,
		CreatedAt: job.CreatedAt.UnixMilli(), StartedAt: job.StartedAt.UnixMilli(), TimeoutAt: job.TimeoutAt.UnixMilli(),
	}
}

func wireStats(s storage.ServiceStats, now time.Time) queueapi.ServiceStats {
	wire := queueapi.ServiceStats{Service: s.Service, Ready: s.Ready, Delayed: s.Delayed, Claimed: s.Claimed, Dead: s.Dead}
	if !s.OldestReadyAt.IsZero() {
		wire.OldestAgeMS = max(now.Sub(s.OldestReadyAt).Milliseconds(), 0)
	}
	return wire
}
