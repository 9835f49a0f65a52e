package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/parcel"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// CodeJobRefused is the error code of a run whose job the queue-gateway does
// not take.
const CodeJobRefused = "job_refused"

// maxJob is the most bytes of a job: with its envelope it must be within what
// the queue-gateway reads.
const maxJob = httpx.MaxInternalBody - 4<<10

func size(m storage.OutboxMessage) int { return len(m.Payload) }

// withdrawals are jobs to take back, and the messages that say so.
type withdrawals struct{ messageIDs, jobIDs []string }

// deliver hands a batch over, to be acknowledged with others. Jobs go before withdrawals:
// then a job that is withdrawn at once is on record as what it was.
func (d *Deliverer) deliver(ctx context.Context, messages []storage.OutboxMessage) error {
	jobs, taken := d.sort(messages)
	for _, p := range parcel.Pack(jobs, size) {
		if err := d.put(ctx, p); err != nil {
			return err
		}
	}
	return d.withdraw(ctx, taken)
}

// sort tells jobs, which go out as they are stored, from withdrawals. What is no
// message stays where it is: it was written by this service, so that only a
// damaged database or a newer version's row gets here.
func (d *Deliverer) sort(messages []storage.OutboxMessage) ([]storage.OutboxMessage, withdrawals) {
	var jobs []storage.OutboxMessage
	var taken withdrawals
	for _, m := range messages {
		var err error
		switch m.Kind {
		case storage.OutboxPutJob:
			if json.Valid(m.Payload) {
				jobs = append(jobs, m)
			} else {
				err = errors.New("the job is not JSON")
			}
		case storage.OutboxWithdrawJob:
			var id string
			if err = json.Unmarshal(m.Payload, &id); err == nil {
				taken.messageIDs = append(taken.messageIDs, m.ID)
				taken.jobIDs = append(taken.jobIDs, id)
			}
		default:
			err = fmt.Errorf("unknown kind %q", m.Kind)
		}
		if err != nil {
			d.Log.Error("outbox_message_unreadable", zap.String("message_id", m.ID), zap.String("task_id", m.TaskID), zap.Error(err))
		}
	}
	return jobs, taken
}

// put hands a parcel of jobs over. When the queue-gateway is there and does not
// take it, it goes again job by job, so that one job stops no other. It fails
// when the queue-gateway is away.
func (d *Deliverer) put(ctx context.Context, p []storage.OutboxMessage) error {
	err := d.putJobs(ctx, p)
	switch {
	case err == nil:
		ids := make([]string, len(p))
		for i, m := range p {
			ids[i] = m.ID
		}
		d.Metrics.delivered.Add(float64(len(ids)))
		d.receipts.Add(ids...)
		return nil
	case isAway(err) || ctx.Err() != nil:
		return err
	case len(p) > 1:
		for i := range p {
			if err := d.put(ctx, p[i:i+1]); err != nil {
				return err
			}
		}
		return nil
	case parcel.Refused(err):
		err = d.refuse(ctx, p[0], err)
	}
	if err != nil { // the scan tries it again
		d.Log.Error("job_not_delivered", zap.String("message_id", p[0].ID), zap.String("task_id", p[0].TaskID), zap.Error(err))
	}
	return nil
}

// isAway tells a queue-gateway that takes nothing now from one that says no.
func isAway(err error) bool {
	code := errs.CodeOf(err)
	return code == errs.Unavailable || code == errs.DeadlineExceeded
}

func (d *Deliverer) putJobs(ctx context.Context, p []storage.OutboxMessage) error {
	jobs := make([]json.RawMessage, len(p))
	bytes := 0
	for i, m := range p {
		jobs[i] = m.Payload
		bytes += len(m.Payload)
	}
	if bytes > maxJob {
		// Only a single job can be. Who sends a body over the limit may find
		// the connection closed instead of an answer.
		return errs.New(errs.BodyTooLarge, "the job is %d bytes when encoded, at most %d are taken", bytes, maxJob)
	}
	ctx, cancel := context.WithTimeout(ctx, parcel.CallTime(bytes))
	defer cancel()
	return d.Queue.PutEncodedJobs(ctx, jobs)
}

// refuse ends the run of a job that will never be executed.
func (d *Deliverer) refuse(ctx context.Context, m storage.OutboxMessage, cause error) error {
	var job queueapi.NewJob
	if err := json.Unmarshal(m.Payload, &job); err != nil {
		return errors.Join(cause, fmt.Errorf("read the job: %w", err))
	}
	d.Log.Warn("job_refused", zap.String("job_id", job.ID), zap.String("task_id", job.TaskID), zap.Error(cause))
	message := "the queue-gateway does not take the job"
	var e *errs.Error
	if errors.As(cause, &e) {
		message += ": " + e.Detail
	}
	retryable := false
	err := d.Results.DeliverResults(ctx, []schedulerapi.JobResult{{
		TaskID: job.TaskID, RunID: job.RunID, ErrorCode: CodeJobRefused, Error: message,
		Retryable: &retryable, FinishedAt: d.Now().UnixMilli(),
	}})
	if err != nil {
		return fmt.Errorf("end the run of job %s: %w", job.ID, err)
	}
	d.Metrics.refused.Inc()
	return d.acknowledge(ctx, []string{m.ID})
}

func (d *Deliverer) withdraw(ctx context.Context, taken withdrawals) error {
	if len(taken.jobIDs) == 0 {
		return nil
	}
	call, cancel := context.WithTimeout(ctx, parcel.CallTime(0))
	defer cancel()
	if err := d.Queue.WithdrawJobs(call, taken.jobIDs); err != nil {
		return err
	}
	d.Metrics.delivered.Add(float64(len(taken.jobIDs)))
	d.receipts.Add(taken.messageIDs...)
	return nil
}

// writeReceipts acknowledges what has been delivered. What is not acknowledged
// is delivered again when its time has come.
func (d *Deliverer) writeReceipts(ctx context.Context) {
	err := d.receipts.Write(func(ids []string) error { return d.acknowledge(ctx, ids) })
	if err != nil && ctx.Err() == nil {
		d.Log.Warn("outbox_not_acknowledged", zap.Error(err))
	}
}

func (d *Deliverer) acknowledge(ctx context.Context, messageIDs []string) error {
	if err := d.Store.AckOutbox(ctx, messageIDs); err != nil {
		return fmt.Errorf("acknowledge: %w", err)
	}
	return nil
}
