package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/parcel"
	"github.com/pocketflowgo/pocketflow/shared/pause"
)

const (
	// mostWait is the longest wait between tries of the queue-gateway.
	mostWait = 5 * time.Second
	// queueCall bounds one call to the queue-gateway, a poll's waiting aside.
	queueCall = 10 * time.Second
)

// puller fetches jobs and answers them.
type puller struct {
	worker    *Worker
	client    *queueapi.Client
	claims    *claims
	completer *completer
	services  []string
	stopped   chan struct{}  // closed when fetch has returned
	jobs      sync.WaitGroup // under way; grows only in fetch
}

func newPuller(w *Worker) *puller {
	return &puller{
		worker: w, client: w.queue, services: w.services(), stopped: make(chan struct{}),
		claims: newClaims(w.queue, w.cfg, w.log), completer: newCompleter(w.queue, w.cfg),
	}
}

// attend keeps claims and sends answers until working ends.
func (p *puller) attend(working context.Context) {
	var loops sync.WaitGroup
	loops.Go(func() { p.claims.keep(working) })
	for range senders {
		loops.Go(func() { p.completer.run(working) })
	}
	loops.Wait()
}

// fetch takes jobs until ctx ends. Jobs are executed under working, which
// outlives ctx by the drain time. It polls only while a slot is free, so a
// claim never waits for a slot, and only while the registry knows the worker
// and the claims that it has can be kept: a worker that is cut off lets others
// have the work.
func (p *puller) fetch(ctx, working context.Context) {
	defer close(p.stopped)
	retry := pause.Backoff{First: firstRetry, Most: mostWait}
	for p.worker.presence.awaitOnline(ctx) && p.claims.awaitKept(ctx) {
		slots := p.takeSlots(ctx)
		if slots == 0 {
			return
		}
		jobs, err := p.poll(ctx, slots)
		for range slots - len(jobs) {
			<-p.worker.slots
		}
		for _, job := range jobs {
			p.jobs.Go(func() {
				defer func() { <-p.worker.slots }()
				p.work(working, job)
			})
		}
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			p.worker.log.Warn("poll_failed", zap.Error(err))
			pause.For(ctx, retry.Next())
		default:
			retry.Reset()
		}
	}
}

// takeSlots waits for a free slot and takes all that are free; 0 when ctx
// ended first.
func (p *puller) takeSlots(ctx context.Context) int {
	select {
	case p.worker.slots <- struct{}{}:
	case <-ctx.Done():
		return 0
	}
	for n := 1; ; n++ {
		select {
		case p.worker.slots <- struct{}{}:
		default:
			return n
		}
	}
}

func (p *puller) poll(ctx context.Context, slots int) ([]queueapi.Job, error) {
	cfg := p.worker.cfg
	ctx, cancel := context.WithTimeout(ctx, cfg.PollWait+queueCall)
	defer cancel()
	jobs, err := p.client.Poll(ctx, queueapi.PollParams{
		WorkerID: cfg.ID, Services: p.services, Max: slots, Wait: cfg.PollWait, Visibility: cfg.Visibility,
	})
	if len(jobs) > slots {
		return jobs[:slots], fmt.Errorf("poll: got %d jobs, asked for %d", len(jobs), slots)
	}
	return jobs, err
}

// work executes a job and answers it, and keeps its claim until the answer is
// accepted.
func (p *puller) work(ctx context.Context, claimed queueapi.Job) {
	log := p.worker.log.With(zap.String("job_id", claimed.ID), zap.String("task_id", claimed.TaskID))
	ctx, lose := context.WithCancelCause(ctx)
	defer lose(nil)
	held := p.claims.hold(claimed, lose)
	defer p.claims.release(held)

	report := &reporter{client: p.client, job: claimed, journal: newJournal(), lose: lose, log: log}
	executed := make(chan struct{})
	var reports sync.WaitGroup
	reports.Go(func() { report.run(ctx, executed) })
	a, err := p.execute(ctx, claimed, report.journal)
	close(executed)
	reports.Wait()
	if ctx.Err() != nil {
		log.Info("job_given_up", zap.NamedError("cause", context.Cause(ctx)))
		return
	}
	report.finish(ctx)
	if err != nil {
		a = failure(err)
	}
	if err := p.answer(ctx, claimed, a); err != nil {
		log.Warn("answer_not_taken", zap.Error(err))
	}
}

func (p *puller) execute(ctx context.Context, claimed queueapi.Job, journal *journal) (answer, error) {
	var in payload
	if err := json.Unmarshal([]byte(claimed.InputJSON), &in); err != nil {
		return answer{}, Permanent(fmt.Errorf("input_json: %w", err))
	}
	job := Job{
		RunID: claimed.RunID, TaskID: claimed.TaskID, Node: claimed.NodeKey, Service: claimed.Service, Attempt: claimed.Attempt,
		log: journal.add, trace: claimed.Traceparent,
	}.with(in)
	return p.worker.deliveries.do(ctx, job.RunID, func(ctx context.Context) (answer, error) {
		return p.worker.invoke(ctx, job), nil
	})
}

// answer completes the job, and tries again until the queue-gateway has said
// yes or a no that will not change.
func (p *puller) answer(ctx context.Context, claimed queueapi.Job, a answer) error {
	retry := pause.Backoff{First: firstRetry, Most: mostWait}
	replaced := false
	for {
		err := p.completer.complete(ctx, queueapi.CompleteRequest{
			QueueID: claimed.ID, Result: a.Result, Error: a.Error, RunID: claimed.RunID,
			WorkerID: claimed.WorkerID, Token: claimed.Token, Retryable: a.Retryable,
		})
		switch {
		case err == nil:
			return nil
		case claimGone(err), replaced && parcel.Refused(err):
			return err
		case parcel.Refused(err):
			// Unanswered, the job would come back and be refused again. What the
			// handler said is left out, as that is what is refused.
			said := "result"
			if a.failed() {
				said = "error"
			}
			a = failure(Permanent(fmt.Errorf("the queue-gateway refused the %s: %w", said, err)))
			replaced = true
		}
		if !pause.For(ctx, retry.Next()) {
			return fmt.Errorf("complete: %w (last try: %w)", context.Cause(ctx), err)
		}
	}
}

// drain waits for the jobs under way.
func (p *puller) drain(ctx context.Context) error {
	idle := make(chan struct{})
	go func() {
		defer close(idle)
		<-p.stopped
		p.jobs.Wait()
	}()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
