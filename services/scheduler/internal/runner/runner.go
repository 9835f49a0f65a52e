// Package runner is the durable shell around the pure engine. It takes tasks
// by lease, feeds them events, commits every step in one transaction and
// carries out what the step asked for, once it is durable.
//
// # Loops
//
//   - poll: claims tasks whose time has come (new ones that nobody started, due
//     timers, orphans of a crashed replica: one question for all), and sleeps
//     until the earliest next one, a hint, or the poll interval.
//   - leases: extends the leases of all tasks held here in one batch.
//   - hints: wakes the holder of a task that has news, or the poll: at once for
//     what was written through this replica, a little later for what another
//     one is about to take.
//   - one goroutine per task held, and one per execution of it under way.
//
// # Invariants
//
//   - Nothing is carried out before the step that asked for it is durable.
//   - A task is changed only under the epoch that its goroutine claimed. A
//     runner that lost a lease can write nothing, and stops what it executes.
//   - A task that waits for the outside holds no lease, and memory only as long
//     as there is some to spare.
//   - At most MaxInFlight tasks are held; when all places are taken, creation
//     goes on and the tasks wait in the database.
package runner

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/plans"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/tracing"
)

// Config are the runner's settings.
type Config struct {
	// Owner names this replica in leases.
	Owner string
	// Ownership says whether another process may use the same Owner.
	Ownership    Ownership
	LeaseTTL     time.Duration // extended three times within it
	PollInterval time.Duration // the floor under hints
	MaxInFlight  int           // tasks held at once
	Drain        time.Duration // how long a stop waits for executions under way
	Limits       engine.Limits
}

// Ownership says whose an owner name is.
type Ownership string

const (
	// Shared means other replicas live; only expiry frees the leases of a dead one.
	Shared Ownership = "shared"
	// Exclusive means no other process can have the name now (SQLite's file lock
	// sees to it), so leases of that name are left from a crash and are freed
	// at once when the runner starts.
	Exclusive Ownership = "exclusive"
)

// Executor carries out one attempt.
type Executor interface {
	Do(ctx context.Context, taskID string, x engine.Execution) (engine.RunResult, error)
}

// Outbox delivers messages that a step has committed. It must not block.
type Outbox interface {
	Offer(messages []storage.OutboxMessage)
}

// Plans gives compiled flow versions.
type Plans interface {
	Get(ctx context.Context, versionID string) (*plans.Version, error)
	Known(versionID string) (version *plans.Version, known bool)
	ResolveRef(ctx context.Context, ref flow.Ref) (*plans.Version, error)
}

// Deps are what the runner works with.
type Deps struct {
	Store    storage.Tasks
	Plans    Plans
	Executor Executor
	Outbox   Outbox
	Log      *zap.Logger
	Metrics  *Metrics         // nil: nobody looks at them
	Tracer   trace.Tracer     // nil: nobody traces
	Now      func() time.Time // storage.Now but in tests
}

// Runner holds tasks and executes them. Make it with New, then Run it.
type Runner struct {
	Config
	Deps

	recent   *shelf[*engine.Laid] // what fans run, by run id
	waiting  *shelf[standing]     // tasks that wait for the queue, as they were let go here
	crew     *crew
	wake     chan struct{}  // cap 1: poll now
	look     chan struct{}  // cap 1: poll soon
	stopping chan struct{}  // closed: start nothing new
	tasks    sync.WaitGroup // counts places taken

	mu        sync.Mutex
	accepting bool // Run was called and has not begun to stop
	holding   map[string]*held
	places    int             // taken
	starved   bool            // somebody wanted a place and there was none
	claims    int             // claims under way
	kept      time.Time       // when leases were last extended, all of them
	cutOff    bool            // the stop waits for executions no longer
	passing   map[string]bool // tasks with hints that came for nobody while claims were under way
}

// New makes a runner. It starts nothing.
func New(config Config, deps Deps) *Runner {
	if deps.Tracer == nil {
		deps.Tracer = tracing.Tracer(nil, "")
	}
	if deps.Metrics == nil {
		deps.Metrics = newMetrics()
	}
	return &Runner{
		Config: config, Deps: deps, crew: newCrew(),
		recent: newShelf[*engine.Laid](recentFans, recentBytes), waiting: newShelf[standing](waitingTasks, waitingBytes),
		wake: make(chan struct{}, 1), look: make(chan struct{}, 1), stopping: make(chan struct{}),
		holding: map[string]*held{}, passing: map[string]bool{},
	}
}

// errLeaseLost is the cause that ends the context of a task taken by another.
var errLeaseLost = errors.New("the lease was lost")

// errCutOff ends executions that a stop does not wait for any longer. The
// task goes on elsewhere, or at the next start, with the same run id.
var errCutOff = errors.New("the scheduler is stopping")

// Run executes tasks until ctx ends. Then it takes nothing new, waits up to
// Drain for executions under way, and gives all leases back.
func (r *Runner) Run(ctx context.Context) error {
	if r.Ownership == Exclusive {
		freed, err := r.Store.ReleaseOwner(ctx, r.Owner, r.Now())
		switch {
		case err != nil && ctx.Err() == nil:
			return err
		case freed > 0:
			r.Log.Info("recovered_tasks", zap.Int("count", freed))
		}
	}
	r.mu.Lock()
	r.accepting, r.kept = true, r.Now()
	r.mu.Unlock()

	// Leases are extended and hints heard until the last task has let go.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var polling, loops sync.WaitGroup
	polling.Go(func() { r.poll(ctx) })
	loops.Go(func() { r.keepLeases(background) })
	loops.Go(func() { r.hear(background) })

	<-ctx.Done()
	polling.Wait() // what it claims last is drained with the rest
	r.drain()
	stop()
	loops.Wait()
	r.crew.dismiss()
	return nil
}

func (r *Runner) drain() {
	r.mu.Lock()
	r.accepting = false
	r.mu.Unlock()
	close(r.stopping)

	finished := make(chan struct{})
	go func() {
		r.tasks.Wait()
		close(finished)
	}()
	timer := time.NewTimer(r.Drain)
	defer timer.Stop()
	select {
	case <-finished:
		return
	case <-timer.C:
	}
	r.mu.Lock()
	r.cutOff = true
	for _, h := range r.holding {
		h.cancel(errCutOff)
	}
	r.mu.Unlock()
	<-finished
}

// Poke makes the poll look now.
func (r *Runner) Poke() { signal(r.wake) }

// signal sends on a channel of capacity 1, which need not hold more.
func signal(channel chan struct{}) {
	select {
	case channel <- struct{}{}:
	default:
	}
}

// InFlight is the number of tasks held.
func (r *Runner) InFlight() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.holding)
}

// reserve takes up to n places and returns how many it got.
func (r *Runner) reserve(n int) int { return r.reserveOf(r.MaxInFlight, n) }

// reserveOf is reserve with another number of places in all.
func (r *Runner) reserveOf(all, n int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.accepting {
		return 0
	}
	got := min(n, all-r.places)
	if got <= 0 {
		r.starved = true
		return 0
	}
	r.places += got
	r.tasks.Add(got) // under the lock, so never after drain has begun to wait
	return got
}

// free gives places back and lets the poll fill them when it is behind.
func (r *Runner) free(n int) {
	r.mu.Lock()
	r.places -= n
	behind := r.starved && r.places < r.MaxInFlight
	if behind {
		r.starved = false
	}
	r.mu.Unlock()
	if behind {
		r.Poke()
	}
	r.tasks.Add(-n)
}

// hear passes hints on until ctx ends.
func (r *Runner) hear(ctx context.Context) {
	err := r.Store.Subscribe(ctx, func(hint storage.TaskHint) {
		r.mu.Lock()
		h := r.holding[hint.TaskID]
		switch {
		case h != nil:
			h.notify() // under the lock: letGo looks whether it was read
		case r.claims > 0:
			r.passing[hint.TaskID] = true
		}
		r.mu.Unlock()
		switch {
		case h != nil:
		case hint.Own:
			r.Poke()
		default:
			signal(r.look)
		}
	})
	if err != nil && ctx.Err() == nil {
		r.Log.Error("hints_ended", zap.Error(err))
	}
}
