package runner

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/pause"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// replica is a runner that dies when its time has come.
type replica struct {
	*fixture
	mortal *mortal
}

// bear starts a replica in the place of one that is dead, with settings of its
// own: what they mean to a task is in its log.
func (w *randomWorld) bear(place int) {
	w.t.Helper()
	w.born++
	dice := w.chance("replica", w.born)
	store := &mortal{Tasks: w.store, death: deaths[dice.IntN(len(deaths))], left: 50 + dice.IntN(300), died: make(chan struct{})}
	f := setup(w.t, store, w.execute, func(c *Config, d *Deps) {
		c.Owner = fmt.Sprintf("%s-%d", w.t.Name(), w.born)
		c.LeaseTTL, c.Drain = 500*time.Millisecond, 0
		c.MaxInFlight = pick(dice, 100, 100, 5)
		c.Limits.MaxParallel = pick(dice, 1, 3, 100)
		c.Limits.MaxNesting = pick(dice, 3, 6)
		c.Limits.MaxValue = pick(dice, 1<<20, 1<<20, 1<<20, 3000)
		d.Plans = w.catalog
	}).run()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.live[place] = &replica{f, store}
}

func pick[V any](dice *rand.Rand, values ...V) V { return values[dice.IntN(len(values))] }

// replaceTheDeadUntil keeps two replicas alive until the tasks are over.
func (w *randomWorld) replaceTheDeadUntil(played <-chan error) error {
	w.t.Helper()
	for {
		place := 0
		select {
		case err := <-played:
			return err
		case <-w.live[0].mortal.died:
		case <-w.live[1].mortal.died:
			place = 1
		}
		dead := w.live[place]
		w.bear(place)
		// What it has begun may take until another one dies; the test's end
		// waits for it.
		go dead.stop()
	}
}

// anyone is a replica that lives, or has just died.
func (w *randomWorld) anyone(dice *rand.Rand) *replica {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.live[dice.IntN(len(w.live))]
}

// death is how a replica ends.
type death string

const (
	deathBeforeCommit death = "before_commit" // what it wanted to write is lost
	deathAfterCommit  death = "after_commit"  // it is written, and nobody was told
	deathBySleep      death = "by_sleep"      // what it wanted to write arrives when others have its tasks
	deathByStop       death = "by_stop"       // it gives its leases back
)

var deaths = []death{deathBeforeCommit, deathAfterCommit, deathBySleep, deathByStop}

var errDead = errors.New("this replica is dead")

// mortal is the database as a replica writes to it, a certain number of times.
// Once the replica is dead, nothing that it writes arrives any more: not even
// its leases are given back, they end with their time.
type mortal struct {
	storage.Tasks
	death death
	died  chan struct{} // closed

	mu   sync.Mutex
	left int // writes
}

// write makes a write unless the replica is dead, or dies of it.
func (m *mortal) write(make func() error) error {
	m.mu.Lock()
	m.left--
	last, dead := m.left == 0, m.left < 0
	m.mu.Unlock()
	if last {
		defer close(m.died)
	}
	switch {
	case m.death == deathByStop:
		return make()
	case last && m.death == deathAfterCommit:
		return errors.Join(errDead, make())
	case last, dead:
		return errDead
	}
	return make()
}

func (m *mortal) CreateTasks(ctx context.Context, tasks []storage.NewTask) (out []storage.CreateOutcome, err error) {
	err = m.write(func() error { out, err = m.Tasks.CreateTasks(ctx, tasks); return err })
	return out, err
}

func (m *mortal) SettleSteps(ctx context.Context, steps []storage.TaskStep) (out []storage.StepOutcome, err error) {
	err = m.write(func() error { out, err = m.Tasks.SettleSteps(ctx, steps); return err })
	if errors.Is(err, errDead) && m.death == deathBySleep && m.overtaken(steps[0]) {
		return m.Tasks.SettleSteps(context.WithoutCancel(ctx), steps)
	}
	return out, err
}

// overtaken waits until somebody else has taken a task whose lease this replica
// does not extend any more.
func (m *mortal) overtaken(step storage.TaskStep) bool {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for step.Take == nil {
		task, err := m.GetTask(ctx, step.Lease.TaskID)
		if err != nil || task.Lease.Epoch > step.Lease.Epoch {
			return err == nil
		}
		pause.For(ctx, lookEvery)
	}
	return false
}

func (m *mortal) ClaimTasks(ctx context.Context, p storage.ClaimParams, limit int) (tasks []storage.Task, err error) {
	err = m.write(func() error { tasks, err = m.Tasks.ClaimTasks(ctx, p, limit); return err })
	return tasks, err
}

func (m *mortal) ClaimTask(ctx context.Context, id string, p storage.ClaimParams) (task storage.Task, err error) {
	err = m.write(func() error { task, err = m.Tasks.ClaimTask(ctx, id, p); return err })
	return task, err
}

func (m *mortal) ExtendLeases(ctx context.Context, leases []storage.LeaseRef, until time.Time) (out []storage.ExtendOutcome, err error) {
	err = m.write(func() error { out, err = m.Tasks.ExtendLeases(ctx, leases, until); return err })
	return out, err
}

func (m *mortal) ReleaseLeases(ctx context.Context, leases []storage.LeaseRef, at time.Time) (out storage.Outcomes, err error) {
	err = m.write(func() error { out, err = m.Tasks.ReleaseLeases(ctx, leases, at); return err })
	return out, err
}
