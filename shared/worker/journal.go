package worker

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
)

const (
	// markAfter is how long a job is worked on before its run is marked as
	// running: of one that is done sooner nobody would see the mark.
	markAfter = 100 * time.Millisecond
	// logEvery is the longest that a line waits while its job goes on.
	logEvery = time.Second
	// logSoon is how many bytes are sent without waiting for that.
	logSoon = 32 << 10
	// logMost is how many bytes wait for a queue-gateway that is away; what comes
	// then is lost, and counted.
	logMost = 256 << 10
	// logLine is the most bytes of one line.
	logLine = 16 << 10
	// logCall bounds a call with log lines. The last one holds up the answer.
	logCall = 2 * time.Second
)

// journal gathers the log lines of one execution.
type journal struct {
	full chan struct{} // kicked when there is enough to send

	mu   sync.Mutex
	text []byte
	lost int // lines
}

func newJournal() *journal { return &journal{full: make(chan struct{}, 1)} }

// add appends a line. It never waits, and lines are lost rather than memory.
func (j *journal) add(line string) {
	if len(line) > logLine {
		line = line[:logLine] + "…"
	}
	line = storable(strings.TrimSuffix(line, "\n")) + "\n"
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.text)+len(line) > logMost {
		j.lost++
		return
	}
	j.text = append(j.text, line...)
	if len(j.text) >= logSoon {
		select {
		case j.full <- struct{}{}:
		default:
		}
	}
}

// take empties the journal.
func (j *journal) take() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	text := string(j.text)
	if j.lost > 0 {
		text += fmt.Sprintf("(%d lines lost)\n", j.lost)
	}
	j.text, j.lost = nil, 0
	return text
}

// reporter tells the queue-gateway how an execution goes on: that it runs, and
// what it logs. It fails nothing: the work goes on without it.
type reporter struct {
	client  *queueapi.Client
	job     queueapi.Job
	journal *journal
	lose    context.CancelCauseFunc
	log     *zap.Logger

	marked bool
	gone   bool   // the queue-gateway does not want to hear of the job any more
	unsent string // taken from the journal, and maybe heard: it is repeated by its number
	number int    // of unsent
}

// run reports until the execution has ended, or ctx. A call under way is not cut
// short: what it said would be said again.
func (r *reporter) run(ctx context.Context, executed <-chan struct{}) {
	timer := time.NewTimer(markAfter)
	defer timer.Stop()
	for {
		select {
		case <-executed:
			return
		case <-ctx.Done():
			return
		case <-timer.C:
			r.report(ctx, r.mark)
		case <-r.journal.full:
			r.report(ctx, r.mark)
		}
		timer.Reset(logEvery)
	}
}

// finish sends what is left, once.
func (r *reporter) finish(ctx context.Context) {
	if r.unsent != "" {
		r.report(ctx, r.add)
	}
	if r.unsent == "" {
		r.report(ctx, r.add)
	}
}

// report makes one call with what there is to say.
func (r *reporter) report(ctx context.Context, send func(context.Context) error) {
	if r.gone {
		return
	}
	if r.unsent == "" {
		r.unsent = r.journal.take()
		r.number++
	}
	ctx, cancel := context.WithTimeout(ctx, logCall)
	defer cancel()
	err := send(ctx)
	switch errs.CodeOf(err) {
	case "":
		r.unsent = ""
		return
	case errs.ClaimLost, errs.TaskEnded:
		r.gone = true
		r.lose(fmt.Errorf("report: %w", err))
		return
	case errs.NotFound, errs.InvalidArgument, errs.MalformedBody, errs.BodyTooLarge:
		// A queue-gateway without this route, too, which takes the answer.
		r.gone = true
	default:
	}
	r.log.Info("not_reported", zap.Int("log_bytes", len(r.unsent)), zap.Error(err))
}

// mark sends what is unsent, and the mark with it if that is still to come.
func (r *reporter) mark(ctx context.Context) error {
	if r.marked {
		return r.add(ctx)
	}
	err := r.client.UpdateRun(ctx, queueapi.UpdateRunRequest{
		RunID: r.job.RunID, Status: queueapi.StatusRunning, Log: r.unsent, LogID: strconv.Itoa(r.number),
		QueueID: r.job.ID, WorkerID: r.job.WorkerID, Token: r.job.Token,
	})
	r.marked = err == nil
	return err
}

func (r *reporter) add(ctx context.Context) error {
	if r.unsent == "" {
		return nil
	}
	return r.client.AddLogs(ctx, queueapi.LogsRequest{
		RunID: r.job.RunID, Text: r.unsent, LogID: strconv.Itoa(r.number),
		QueueID: r.job.ID, WorkerID: r.job.WorkerID, Token: r.job.Token,
	})
}
