package api

import (
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/ids"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// The routes of those who run the queue.

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

func (h handlers) listDead(w http.ResponseWriter, r *http.Request) error {
	q := httpx.NewQuery(r)
	at := q.Page(ids.Job)
	query := storage.DeadQuery{ListOptions: at.ListOptions, Service: q.String("service")}
	if err := q.Err(); err != nil {
		return err
	}
	page, err := h.queue.ListDead(r.Context(), query)
	if err != nil {
		return problem(err, "")
	}
	return httpx.WriteJSON(w, http.StatusOK, httpx.NewList(at, page, wireDead))
}

func (h handlers) requeue(w http.ResponseWriter, r *http.Request) error {
	jobIDs, err := decodeIDs(r)
	if err != nil {
		return err
	}
	outcomes, err := h.queue.Requeue(r.Context(), jobIDs)
	if err != nil {
		return problem(err, "")
	}
	return writeOutcomes(w, batch, outcomes, func(i int) string { return jobIDs[i] })
}

func (h handlers) discard(w http.ResponseWriter, r *http.Request) error {
	jobIDs, err := decodeIDs(r)
	if err != nil {
		return err
	}
	outcomes, err := h.queue.Discard(r.Context(), jobIDs)
	if err != nil {
		return problem(err, "")
	}
	return writeOutcomes(w, batch, outcomes, func(i int) string { return jobIDs[i] })
}

func decodeIDs(r *http.Request) ([]string, error) {
	var body queueapi.JobIDs
	if err := httpx.Decode(r, &body); err != nil {
		return nil, err
	}
	var c checker
	if n := len(body.IDs); n == 0 || n > queueapi.MaxBatch {
		c.Add("ids", "must name 1 to %d jobs", queueapi.MaxBatch)
	}
	for i, id := range body.IDs {
		c.required(fmt.Sprintf("ids[%d]", i), id)
	}
	return body.IDs, c.Err()
}

func (h handlers) limits(w http.ResponseWriter, r *http.Request) error {
	limits, err := h.queue.Limits(r.Context())
	if err != nil {
		return problem(err, "")
	}
	out := make([]queueapi.ServiceLimits, 0, len(limits))
	for _, l := range limits {
		out = append(out, queueapi.ServiceLimits{
			Service: l.Service, MaxClaimed: l.MaxClaimed, RatePerSecond: l.RatePerSecond, Burst: l.Burst,
		})
	}
	return httpx.WriteJSON(w, http.StatusOK, out)
}

func (h handlers) setLimits(w http.ResponseWriter, r *http.Request) error {
	var body queueapi.ServiceLimits
	if err := httpx.Decode(r, &body); err != nil {
		return err
	}
	limit, err := limitOf(body)
	if err != nil {
		return err
	}
	if err := h.queue.SetLimit(r.Context(), limit); err != nil {
		return problem(err, "")
	}
	return httpx.WriteJSON(w, http.StatusOK, done)
}

// limitOf reads limits. A rate without a burst takes what it lets through in a
// second, at least one.
func limitOf(body queueapi.ServiceLimits) (storage.ServiceLimit, error) {
	var c checker
	c.name("service", body.Service)
	c.within("max_claimed", body.MaxClaimed, 0, math.MaxInt32)
	rate := body.RatePerSecond
	switch {
	case rate != 0 && (rate < storage.MinRatePerSecond || rate > storage.MaxRatePerSecond):
		c.Add("rate_per_second", "must be 0 or from %g to %g", storage.MinRatePerSecond, storage.MaxRatePerSecond)
	case rate == 0 && body.Burst != 0:
		c.Add("burst", "goes with rate_per_second only")
	case rate != 0 && body.Burst == 0:
		body.Burst = min(max(int(math.Ceil(rate)), 1), storage.MaxBurst)
	case rate != 0:
		c.within("burst", body.Burst, 1, storage.MaxBurst)
	}
	return storage.ServiceLimit{
		Service: body.Service, MaxClaimed: body.MaxClaimed, RatePerSecond: rate, Burst: body.Burst,
	}, c.Err()
}

func wireStats(s storage.ServiceStats, now time.Time) queueapi.ServiceStats {
	wire := queueapi.ServiceStats{Service: s.Service, Ready: s.Ready, Delayed: s.Delayed, Claimed: s.Claimed, Dead: s.Dead}
	if !s.OldestReadyAt.IsZero() {
		wire.OldestAgeMS = max(now.Sub(s.OldestReadyAt).Milliseconds(), 0)
	}
	return wire
}

func wireDead(job storage.Job) queueapi.DeadJob {
	return queueapi.DeadJob{
		ID: job.ID, TaskID: job.TaskID, RunID: job.RunID, NodeKey: job.NodeKey, Path: job.Path, Service: job.Service,
		InputJSON: string(job.Input), Priority: job.Priority, Deliveries: job.Deliveries, WorkerID: job.WorkerID,
		CreatedAt: job.CreatedAt.UnixMilli(), DeadAt: job.FinishedAt.UnixMilli(),
	}
}
