package runner

import (
	"context"
	cryptorand "crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine/enginetest"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/plans"
	"github.com/pocketflowgo/pocketflow/shared/pause"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// player is a task, and all that comes to it from outside.
type player struct {
	*randomWorld
	dice    *rand.Rand
	drawn   enginetest.Task
	version *plans.Version

	id       string
	at       storage.TaskPosition       // where the task was when it was last looked at
	signals  int                        // sent so far
	canceled bool                       // or it was tried
	jobs     map[string]storage.NodeRun // queued so far, by run id
	accepted map[string]accepted        // by source id
	ended    storage.Task               // as it was when it was terminal first
}

// accepted is an event whose sender was told that it counts. Its data is nil
// when another one with that source id may have come first.
type accepted struct {
	kind storage.EventKind
	data json.RawMessage
}

const (
	// lookEvery is how often a task is looked at.
	lookEvery = 2 * time.Millisecond
	// enough events are a long life: the task is canceled.
	enough = 80
)

// play makes the task, and things happen to it until it has ended.
func (p *player) play(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, endsWithin, fmt.Errorf("does not end within %s", endsWithin))
	defer cancel()
	err := p.create(ctx)
	for err == nil && !p.ended.Status.Terminal() {
		if !pause.For(ctx, lookEvery) {
			err = context.Cause(ctx)
			break
		}
		err = p.look(ctx)
	}
	if err == nil {
		err = p.comeTooLate(ctx)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", p.about(), err)
	}
	return nil
}

// about names the task and says how it stands.
func (p *player) about() string {
	task, err := p.store.GetTask(context.Background(), p.id)
	return fmt.Sprintf("task %s (%v) of %s\n%s\nwith %s\nis %s at %s, waits for %q, inbox %d/%d, held by %+v, runnable at %s, state %s\n",
		p.id, err, p.drawn.Definition, p.drawn.Named, p.drawn.Params,
		task.Status, task.CurrentNode, task.WaitsFor, task.InboxDone, task.InboxSeq, task.Lease, task.RunnableAt, task.State)
}

// create asks replica after replica, as one may whose call was not answered.
func (p *player) create(ctx context.Context) error {
	request := cryptorand.Text() // the database may have been used before
	for {
		outcome, err := p.anyone(p.dice).Create(ctx, CreateParams{
			Version: p.version, Params: p.drawn.Params, RequestID: request, RequestHash: "h",
		})
		switch {
		case err == nil && outcome.Err == nil:
			p.id = outcome.Task.ID
			return nil
		case err == nil:
			return outcome.Err
		case !errors.Is(err, errDead) || !pause.For(ctx, lookEvery):
			return err
		}
	}
}

// look sees how the task stands, and does something about it. A task that has
// something to do and does not get on is left alone: what comes from outside
// would hide that nobody moves it on.
func (p *player) look(ctx context.Context) error {
	task, err := p.store.GetTask(ctx, p.id)
	if err != nil {
		return err
	}
	before := p.at
	p.at = storage.TaskPosition{Seq: task.Seq, InboxSeq: task.InboxSeq}
	moved := p.at != before
	switch {
	case task.Status.Terminal():
		p.ended = task
		return nil
	case moved:
		err = p.meddle(ctx, task.Seq)
	case task.InboxSeq > task.InboxDone:
		return nil
	}
	if err != nil {
		return err
	}
	jobs, err := p.unanswered(ctx)
	if err != nil {
		return err
	}
	if moved && len(p.jobs) > 0 && p.oneIn(4) {
		jobs = append(jobs, pick(p.dice, slices.Collect(maps.Values(p.jobs))...))
	}
	if err := p.answer(ctx, jobs); err != nil {
		return err
	}
	if task.WaitsFor == storage.WaitEvent || task.WaitsFor == storage.WaitApproval {
		return p.signal(ctx)
	}
	return nil
}

// meddle does what nobody waits for, sometimes.
func (p *player) meddle(ctx context.Context, seq int64) error {
	switch {
	case !p.canceled && (seq > enough || p.oneIn(80)):
		p.canceled = true
		return p.cancel(ctx)
	case p.oneIn(50):
		_ = p.anyone(p.dice).RunOnce(ctx, p.id) // the task is held, as a rule
	case p.oneIn(8):
		return p.signal(ctx)
	}
	return nil
}

func (p *player) oneIn(n int) bool { return p.dice.IntN(n) == 0 }

// unanswered are the jobs of which no result was accepted, and now and then a run
// that is executed here.
func (p *player) unanswered(ctx context.Context) ([]storage.NodeRun, error) {
	runs, err := p.store.ListRuns(ctx, p.id)
	if err != nil {
		return nil, err
	}
	var jobs []storage.NodeRun
	for _, run := range runs {
		switch {
		case run.Status == storage.RunQueued:
			p.jobs[run.ID] = run
		case run.Status == storage.RunRunning && p.oneIn(50): // which nobody may answer from outside
		default:
			continue
		}
		if _, answered := p.accepted[RunSource(run.ID)]; !answered {
			jobs = append(jobs, run)
		}
	}
	return jobs, nil
}

// answer sends results of jobs, in any order, and not all at once.
func (p *player) answer(ctx context.Context, jobs []storage.NodeRun) error {
	if len(jobs) == 0 {
		return nil
	}
	results, err := p.results(jobs)
	if err != nil {
		return err
	}
	p.dice.Shuffle(len(results), func(i, j int) { results[i], results[j] = results[j], results[i] })
	results = results[:1+p.dice.IntN(len(results))]
	switch p.dice.IntN(5) {
	case 0:
		return p.append(ctx, results)
	case 1:
		return p.deliver(ctx, results, p.anyone(p.dice), p.anyone(p.dice))
	case 2:
		return p.meet(ctx, results)
	default:
		return p.deliver(ctx, results, p.anyone(p.dice))
	}
}

// meet lets a signal arrive while results are delivered.
func (p *player) meet(ctx context.Context, results []storage.InboxEvent) error {
	signal, err := p.nextSignal()
	if err != nil {
		return err
	}
	var appending errgroup.Group
	var outcomes []storage.AppendOutcome
	appending.Go(func() (err error) {
		outcomes, err = p.store.AppendEvents(ctx, signal)
		return err
	})
	err = p.deliver(ctx, results, p.anyone(p.dice))
	if err := errors.Join(appending.Wait(), err); err != nil {
		return err
	}
	return p.note(signal, outcomes)
}

// results draws how workers end jobs. That of a repeat may be another one.
func (p *player) results(jobs []storage.NodeRun) ([]storage.InboxEvent, error) {
	results := make([]storage.InboxEvent, len(jobs))
	for i, job := range jobs {
		result := resultOf(p.dice, job.ID, job.Path)
		event := engine.Event{Kind: storage.EventRunFinished, Result: &result}
		data, err := event.Data()
		if err != nil {
			return nil, err
		}
		results[i] = p.event(RunSource(job.ID), event.Kind, data)
	}
	return results, nil
}

func (p *player) event(source string, kind storage.EventKind, data json.RawMessage) storage.InboxEvent {
	return storage.InboxEvent{TaskID: p.id, SourceID: source, Kind: kind, Data: data, At: storage.Now()}
}

// deliver offers results to replicas at the same time, and appends what they
// leave.
func (p *player) deliver(ctx context.Context, results []storage.InboxEvent, to ...*replica) error {
	left := make([][]storage.InboxEvent, len(to))
	var group sync.WaitGroup
	for i, replica := range to {
		group.Go(func() { left[i] = replica.Deliver(ctx, results) })
	}
	group.Wait()
	for _, left := range left {
		for _, result := range results {
			if slices.ContainsFunc(left, func(l storage.InboxEvent) bool { return l.SourceID == result.SourceID }) {
				continue
			}
			if _, before := p.accepted[result.SourceID]; before {
				return fmt.Errorf("%s was applied, and had been accepted before", result.SourceID)
			}
			p.accepted[result.SourceID] = accepted{result.Kind, result.Data}
		}
	}
	return p.append(ctx, slices.Concat(left...))
}

// append puts events into the inbox. It is refused when the task has ended, or
// is to end by a cancel.
func (p *player) append(ctx context.Context, events []storage.InboxEvent) error {
	outcomes, err := p.store.AppendEvents(ctx, events)
	if err != nil {
		return err
	}
	return p.note(events, outcomes)
}

// note keeps what was accepted.
func (p *player) note(events []storage.InboxEvent, outcomes []storage.AppendOutcome) error {
	for i, outcome := range outcomes {
		event := events[i]
		_, before := p.accepted[event.SourceID]
		switch {
		case errors.Is(outcome.Err, storage.ErrEnded):
		case outcome.Err != nil:
			return outcome.Err
		case outcome.Duplicate && !before: // its commit was not heard of
			p.accepted[event.SourceID] = accepted{kind: event.Kind}
		case before && !outcome.Duplicate:
			return fmt.Errorf("%s was accepted twice", event.SourceID)
		case !before:
			p.accepted[event.SourceID] = accepted{event.Kind, event.Data}
		}
	}
	return nil
}

func (p *player) signal(ctx context.Context) error {
	signal, err := p.nextSignal()
	if err != nil {
		return err
	}
	return p.append(ctx, signal)
}

// nextSignal draws a signal that was not sent before.
func (p *player) nextSignal() ([]storage.InboxEvent, error) {
	p.signals++
	signal := engine.Signal{
		Key:   pick(p.dice, enginetest.SignalKeys...),
		Value: rapid.Custom(enginetest.DrawValue).Example(p.dice.Int()),
	}
	event := engine.Event{Kind: storage.EventSignal, Signal: &signal}
	data, err := event.Data()
	return []storage.InboxEvent{p.event(fmt.Sprintf("signal:%d", p.signals), event.Kind, data)}, err
}

// cancel records a cancel, and sometimes waits for it.
func (p *player) cancel(ctx context.Context) error {
	err := p.append(ctx, []storage.InboxEvent{p.event("cancel", storage.EventCancel, json.RawMessage(`{}`))})
	if err == nil && p.oneIn(2) {
		_ = p.anyone(p.dice).Attend(ctx, p.id) // the task has a holder, or the replica is dead
	}
	return err
}

// comeTooLate does to a task that has ended what can be done to one.
func (p *player) comeTooLate(ctx context.Context) error {
	late := []storage.InboxEvent{
		p.event("late", storage.EventSignal, json.RawMessage(`{"key":"late","value":1}`)),
		p.event("late cancel", storage.EventCancel, json.RawMessage(`{}`)),
	}
	runs, err := p.store.ListRuns(ctx, p.id)
	if err != nil {
		return err
	}
	results, err := p.results(runs)
	if err != nil {
		return err
	}
	left := p.anyone(p.dice).Deliver(ctx, results)
	if len(left) != len(results) {
		return fmt.Errorf("%d of %d results were applied after the end", len(results)-len(left), len(results))
	}
	outcomes, err := p.store.AppendEvents(ctx, append(late, results...))
	if err != nil {
		return err
	}
	for i, outcome := range outcomes {
		if !outcome.Duplicate && !errors.Is(outcome.Err, storage.ErrEnded) {
			return fmt.Errorf("event %d was accepted after the end: %+v", i, outcome)
		}
	}
	if err := p.anyone(p.dice).RunOnce(ctx, p.id); err == nil {
		return errors.New("a step was made after the end")
	}
	return nil
}
