package queue

import (
	"context"
	"encoding/json"
	"time"

	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/pause"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

const (
	// deliverBatch and deliverBytes bound one call to the scheduler; the bytes
	// keep it well within what a service reads, single large results aside.
	deliverBatch = 200
	deliverBytes = 1 << 20
	// deliverCall bounds the time of one call.
	deliverCall = 4 * time.Second
	// deliverHold is for how long claimed results are this replica's to
	// deliver: longer than a call, or two replicas would deliver the same, and
	// short, as it is what a crash in between delays them by.
	deliverHold = 5 * time.Second
)

// deliver hands results to the scheduler: at once when there is one, and by
// the floor's ticking those that another replica left behind.
func (q *Queue) deliver(ctx context.Context) {
	retry := newBackoff()
	for ctx.Err() == nil {
		until := storage.Now().Add(deliverHold)
		results, err := q.store.ClaimResults(ctx, storage.Now(), until, deliverBatch)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			q.log.Warn("results_not_read", zap.Error(err))
			pause.For(ctx, retry.Next())
		case len(results) == 0:
			retry.Reset()
			rest(ctx, floor, q.answered)
		default:
			retry.Reset()
			q.deliverAll(ctx, results, until)
		}
	}
}

// parcel is what goes into one call.
type parcel struct {
	ids     []string
	results []schedulerapi.JobResult
}

// deliverAll delivers the results that it holds until then.
func (q *Queue) deliverAll(ctx context.Context, results []storage.JobResult, until time.Time) {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	for _, p := range q.pack(results) {
		if !q.deliverParcel(ctx, p) {
			return
		}
	}
}

// pack splits results into parcels by size, in order.
func (q *Queue) pack(results []storage.JobResult) []parcel {
	var parcels []parcel
	size := 0
	for _, r := range results {
		var result schedulerapi.JobResult
		if err := json.Unmarshal(r.Payload, &result); err != nil {
			// It was written by this service; only a damaged database or a
			// newer version's row gets here. It stays where it is.
			q.log.Error("result_unreadable", zap.String("job_id", r.JobID), zap.Error(err))
			continue
		}
		if len(parcels) == 0 || size+len(r.Payload) > deliverBytes {
			parcels = append(parcels, parcel{})
			size = 0
		}
		last := &parcels[len(parcels)-1]
		last.ids = append(last.ids, r.JobID)
		last.results = append(last.results, result)
		size += len(r.Payload)
	}
	return parcels
}

// deliverParcel tries until the scheduler has the parcel, or ctx ends: false.
// Then the results are claimed again.
func (q *Queue) deliverParcel(ctx context.Context, p parcel) bool {
	retry := newBackoff()
	for tries := 1; ; tries++ {
		err := q.hand(ctx, p)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		if refused(err) {
			return q.deliverSingly(ctx, p, err)
		}
		if tries == 1 {
			q.log.Warn("results_not_delivered", zap.Int("results", len(p.ids)), zap.Error(err))
		}
		if !pause.For(ctx, retry.Next()) {
			return false
		}
	}
}

// deliverSingly finds the result that the scheduler refuses and delivers the
// others. A refused one is tried again when it is claimed again: the scheduler
// may be of an older version and about to be replaced.
func (q *Queue) deliverSingly(ctx context.Context, p parcel, cause error) bool {
	if len(p.ids) == 1 {
		q.log.Error("result_refused", zap.String("job_id", p.ids[0]), zap.String("task_id", p.results[0].TaskID), zap.Error(cause))
		return true
	}
	for i := range p.ids {
		if !q.deliverParcel(ctx, parcel{ids: p.ids[i : i+1], results: p.results[i : i+1]}) {
			return false
		}
	}
	return true
}

// hand is one call, and the acknowledgement in the database. A failed
// acknowledgement is repeated with the call, which is harmless.
func (q *Queue) hand(ctx context.Context, p parcel) error {
	call, cancel := context.WithTimeout(ctx, deliverCall)
	defer cancel()
	if err := q.scheduler.DeliverResults(call, p.results); err != nil {
		return err
	}
	return q.store.AckResults(ctx, p.ids)
}

// refused tells a scheduler that says no to what it was sent from one that is
// away.
func refused(err error) bool {
	switch errs.CodeOf(err) {
	case errs.InvalidArgument, errs.MalformedBody, errs.UnknownField, errs.BodyTooLarge:
		return true
	default:
		return false
	}
}
