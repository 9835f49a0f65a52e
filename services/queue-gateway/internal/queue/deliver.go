package queue

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/shared/parcel"
	"github.com/pocketflowgo/pocketflow/shared/pause"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

const (
	// deliverBatch is the most results in one claim, and so in one call.
	deliverBatch = 200
	// deliverHold is for how long a result is the replica's that accepted or
	// claimed it: longer than a call of the usual size, or two replicas would
	// deliver the same, and short, as it is what a crash in between delays them
	// by.
	deliverHold = 5 * time.Second
	// lastHand is how long a stop waits for a claim or a call that is under way:
	// broken off, the results would be held for a replica that is gone.
	lastHand = 3 * time.Second
)

// outgoing is one result on its way, which this replica holds.
type outgoing struct {
	storage.HeldResult
	taskID  string
	payload json.RawMessage
	kind    resultKind
}

// resultKind says when a result is acknowledged.
type resultKind string

const (
	// anAnswer is the one message that there ever is of its job: its receipt may
	// wait for others.
	anAnswer resultKind = "answer"
	// anyResult may be of a death. A job that is requeued can bring another
	// message soon, which a receipt that comes late would take away.
	anyResult resultKind = "any"
)

func (o outgoing) size() int { return len(o.payload) }

// deliver hands results to the scheduler: at once those that were accepted here,
// and by the floor's ticking those that another replica, or this one, left
// behind.
func (q *Queue) deliver(ctx context.Context) {
	scan := time.NewTimer(0) // at once: there may be something left
	defer scan.Stop()
	retry := newBackoff()
	started := storage.Now()
	for {
		select {
		case <-ctx.Done():
			q.deliverLast(ctx)
			q.acknowledge(ctx)
			return
		case <-q.receipts.Due():
			q.acknowledge(ctx)
		case first := <-q.accepted.First():
			q.deliverAll(ctx, q.accepted.Take(ctx, first, deliverBatch))
		case <-q.died:
			scan.Reset(0)
		case <-scan.C:
			n, err := q.deliverDue(ctx, started)
			switch {
			case err != nil && ctx.Err() == nil:
				q.log.Warn("results_not_read", zap.Error(err))
				scan.Reset(retry.Next())
			case n > 0:
				scan.Reset(0)
			default:
				retry.Reset()
				scan.Reset(floor)
			}
		}
	}
}

// deliverLast hands over what was accepted by the end, as long as the scheduler
// takes it: others would wait for the hold to be over.
func (q *Queue) deliverLast(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastHand)
	defer cancel()
	for {
		select {
		case first := <-q.accepted.First():
			for _, p := range parcel.Pack(q.accepted.Take(ctx, first, deliverBatch), outgoing.size) {
				if q.hand(ctx, p) != nil {
					return
				}
			}
		default:
			return
		}
	}
}

// acknowledge writes the receipts. What is not acknowledged is delivered again
// when its hold is over.
func (q *Queue) acknowledge(ctx context.Context) {
	ctx, release := pause.Outlast(ctx, lastHand)
	defer release()
	err := q.receipts.Write(func(jobIDs []string) error { return q.store.AckResults(ctx, jobIDs) })
	if err != nil {
		q.log.Warn("results_not_acknowledged", zap.Error(err))
	}
}

// deliverDue claims results that are due, and what was left before the start when
// that can be nobody else's, and delivers them. It returns how many there were.
func (q *Queue) deliverDue(ctx context.Context, started time.Time) (int, error) {
	due := storage.Now()
	until := due.Add(deliverHold)
	if leftOver := started.Add(deliverHold); q.cfg.Alone && due.Before(leftOver) {
		due = leftOver
	}
	results, err := q.claimResults(ctx, due, until)
	if err != nil {
		return 0, err
	}
	q.deliverAll(ctx, q.readable(results, until))
	return len(results), nil
}

func (q *Queue) claimResults(ctx context.Context, due, until time.Time) ([]storage.JobResult, error) {
	ctx, release := pause.Outlast(ctx, lastHand)
	defer release()
	return q.store.ClaimResults(ctx, due, until, deliverBatch)
}

// readable leaves out what is no message.
func (q *Queue) readable(results []storage.JobResult, until time.Time) []outgoing {
	out := make([]outgoing, 0, len(results))
	for _, r := range results {
		if !json.Valid(r.Payload) {
			// It was written by this service; only a damaged database gets here.
			// It stays where it is.
			q.log.Error("result_unreadable", zap.String("job_id", r.JobID))
			continue
		}
		held := storage.HeldResult{JobID: r.JobID, Until: until}
		out = append(out, outgoing{held, r.TaskID, r.Payload, anyResult})
	}
	return out
}

func (q *Queue) deliverAll(ctx context.Context, results []outgoing) {
	for _, p := range parcel.Pack(results, outgoing.size) {
		if !q.deliverParcel(ctx, p) {
			return
		}
	}
}

// deliverParcel tries until the scheduler has the parcel, or what is left of it
// is not this replica's any more: then it is claimed again. It is false when ctx
// has ended.
func (q *Queue) deliverParcel(ctx context.Context, p []outgoing) bool {
	retry := newBackoff()
	for tries := 1; ; tries++ {
		now := storage.Now()
		p = slices.DeleteFunc(slices.Clone(p), func(o outgoing) bool { return !now.Before(o.Until) })
		if len(p) == 0 {
			return true
		}
		err := q.hand(ctx, p)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		if parcel.Refused(err) {
			return q.deliverSingly(ctx, p, err)
		}
		if tries == 1 {
			q.log.Warn("results_not_delivered", zap.Int("results", len(p)), zap.Error(err))
		}
		q.acknowledge(ctx) // the others' holds go on
		if !pause.For(ctx, retry.Next()) {
			return false
		}
		if p, err = q.stillHeld(ctx, p); err != nil {
			return ctx.Err() == nil
		}
	}
}

// stillHeld leaves out what is not there any more as it was claimed. A message
// may be taken back while the scheduler is away: that a job is dead is no longer
// true once it has been requeued.
func (q *Queue) stillHeld(ctx context.Context, p []outgoing) ([]outgoing, error) {
	asked := make([]storage.HeldResult, len(p))
	for i, o := range p {
		asked[i] = o.HeldResult
	}
	held, err := q.store.HeldResults(ctx, asked)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(p), func(o outgoing) bool { return !slices.Contains(held, o.JobID) }), nil
}

// deliverSingly finds the result that the scheduler refuses and delivers the
// others. A refused one is tried again when it is claimed again: the scheduler
// may be of an older version and about to be replaced.
func (q *Queue) deliverSingly(ctx context.Context, p []outgoing, cause error) bool {
	if len(p) == 1 {
		q.log.Error("result_refused", zap.String("job_id", p[0].JobID), zap.String("task_id", p[0].taskID), zap.Error(cause))
		return true
	}
	for i := range p {
		if !q.deliverParcel(ctx, p[i:i+1]) {
			return false
		}
	}
	return true
}

// hand is one call, and the acknowledgement in the database of what cannot wait
// for it. If that fails it is repeated with the call, which is harmless. The call
// may outlast the hold, as that of a large result may have to.
func (q *Queue) hand(ctx context.Context, p []outgoing) error {
	results := make([]json.RawMessage, len(p))
	var answers, others []string
	bytes := 0
	for i, o := range p {
		results[i] = o.payload
		bytes += len(o.payload)
		if o.kind == anAnswer {
			answers = append(answers, o.JobID)
		} else {
			others = append(others, o.JobID)
		}
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
	q.receipts.Add(answers...)
	return q.store.AckResults(ctx, others)
}
