package queue

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/parcel"
	"github.com/pocketflowgo/pocketflow/shared/pause"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

const (
	// deliverBatch is the most results in one claim, and so in one call.
	deliverBatch = 200
	// deliverHold is for how long claimed results are this replica's to
	// deliver: longer than a call of the usual size, or two replicas would
	// deliver the same, and short, as it is what a crash in between delays them
	// by.
	deliverHold = 5 * time.Second
	// lastHand is how long a stop waits for a claim or a call that is under way:
	// broken off, the results would be held for a replica that is gone.
	lastHand = 3 * time.Second
)

// deliver hands results to the scheduler: at once when there is one, and by
// the floor's ticking those that another replica left behind.
func (q *Queue) deliver(ctx context.Context) {
	retry := newBackoff()
	leftOver := storage.Now().Add(deliverHold)
	for ctx.Err() == nil {
		due := storage.Now()
		until := due.Add(deliverHold)
		if q.cfg.Alone && due.Before(leftOver) {
			due = leftOver
		}
		results, err := q.claimResults(ctx, due, until)
		switch {
		case err != nil && ctx.Err() != nil:
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

func (q *Queue) claimResults(ctx context.Context, due, until time.Time) ([]storage.JobResult, error) {
	ctx, release := pause.Outlast(ctx, lastHand)
	defer release()
	return q.store.ClaimResults(ctx, due, until, deliverBatch)
}

// outgoing is one result on its way.
type outgoing struct {
	jobID  string
	bytes  int
	result schedulerapi.JobResult
}

func (o outgoing) size() int { return o.bytes }

// deliverAll delivers the results that it holds until then.
func (q *Queue) deliverAll(ctx context.Context, results []storage.JobResult, until time.Time) {
	for _, p := range parcel.Pack(q.read(results), outgoing.size) {
		if !q.deliverParcel(ctx, p, until) {
			return
		}
	}
}

// read decodes results.
func (q *Queue) read(results []storage.JobResult) []outgoing {
	out := make([]outgoing, 0, len(results))
	for _, r := range results {
		o := outgoing{jobID: r.JobID, bytes: len(r.Payload)}
		if err := json.Unmarshal(r.Payload, &o.result); err != nil {
			// It was written by this service; only a damaged database or a
			// newer version's row gets here. It stays where it is.
			q.log.Error("result_unreadable", zap.String("job_id", r.JobID), zap.Error(err))
			continue
		}
		out = append(out, o)
	}
	return out
}

// deliverParcel tries until the scheduler has the parcel, or they are not this
// replica's any more: false. Then the results are claimed again. A message may
// be taken back while the scheduler is away: that a job is dead is no longer
// true once it has been requeued.
func (q *Queue) deliverParcel(ctx context.Context, p []outgoing, until time.Time) bool {
	retry := newBackoff()
	for tries := 1; storage.Now().Before(until); tries++ {
		err := q.hand(ctx, p)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		if parcel.Refused(err) {
			return q.deliverSingly(ctx, p, until, err)
		}
		if tries == 1 {
			q.log.Warn("results_not_delivered", zap.Int("results", len(p)), zap.Error(err))
		}
		if !pause.For(ctx, retry.Next()) {
			return false
		}
		if p, err = q.stillHeld(ctx, p, until); err != nil || len(p) == 0 {
			return err == nil
		}
	}
	return false
}

// stillHeld leaves out what is not there any more as it was claimed.
func (q *Queue) stillHeld(ctx context.Context, p []outgoing, until time.Time) ([]outgoing, error) {
	held, err := q.store.HeldResults(ctx, jobIDs(p), until)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(p), func(o outgoing) bool { return !slices.Contains(held, o.jobID) }), nil
}

func jobIDs(p []outgoing) []string {
	ids := make([]string, len(p))
	for i, o := range p {
		ids[i] = o.jobID
	}
	return ids
}

// deliverSingly finds the result that the scheduler refuses and delivers the
// others. A refused one is tried again when it is claimed again: the scheduler
// may be of an older version and about to be replaced.
func (q *Queue) deliverSingly(ctx context.Context, p []outgoing, until time.Time, cause error) bool {
	if len(p) == 1 {
		q.log.Error("result_refused", zap.String("job_id", p[0].jobID), zap.String("task_id", p[0].result.TaskID), zap.Error(cause))
		return true
	}
	for i := range p {
		if !q.deliverParcel(ctx, p[i:i+1], until) {
			return false
		}
	}
	return true
}

// hand is one call, and the acknowledgement in the database. A failed
// acknowledgement is repeated with the call, which is harmless. The call may
// outlast the hold, as that of a large result may have to.
func (q *Queue) hand(ctx context.Context, p []outgoing) error {
	results := make([]schedulerapi.JobResult, len(p))
	bytes := 0
	for i, o := range p {
		results[i] = o.result
		bytes += o.bytes
	}
	ctx, release := pause.Outlast(ctx, lastHand)
	defer release()
	call, cancel := context.WithTimeout(ctx, parcel.CallTime(bytes))
	defer cancel()
	err := q.scheduler.DeliverResults(call, results)
	q.metrics.handed(ctx, len(results), err)
	if err != nil {
		return err
	}
	return q.store.AckResults(ctx, jobIDs(p))
}
