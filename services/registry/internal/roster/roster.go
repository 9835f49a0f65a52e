// Package roster is the list of workers as the registry knows it: a view in
// memory, loaded from the database, kept in step with it and answered from.
//
// It owns who is online, the groups in which heartbeats are written, and the
// rule by which the view and the database are brought together when several
// replicas share one. It refuses to know about HTTP.
package roster

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/netguard"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Status says whether a worker is heard of.
type Status string

const (
	Online  Status = "online"
	Offline Status = "offline"
)

// Statuses lists every status.
var Statuses = []Status{Online, Offline}

// Member is a worker and how it stands now.
type Member struct {
	storage.Worker
	Status Status
}

// Config are a roster's settings.
type Config struct {
	Log       *zap.Logger
	TTL       time.Duration // of a heartbeat
	Keep      time.Duration // of a worker that is not heard of
	Addresses netguard.Policy
}

// Roster is safe for concurrent use.
type Roster struct {
	config Config
	store  storage.Workers

	// membership keeps a refresh apart from writes: a view that was read
	// before a write must not replace the write's effect. Whoever writes
	// shares it, a refresh has it alone.
	membership sync.RWMutex

	// mu guards what follows. It is never held across a call of the store.
	// What a worker refers to (services, labels) is never changed in place,
	// so copies may leave the lock.
	mu      sync.Mutex
	workers map[string]storage.Worker
	pending map[string]storage.Heartbeat // not yet written, one per worker
	changed chan struct{}                // closed and replaced when Snapshot has news

	flushNow chan struct{} // holds one wish at most
	stopping chan struct{} // closed when Run begins to end
}

// New makes an empty roster; Load fills it, Run keeps it.
func New(store storage.Workers, config Config) *Roster {
	return &Roster{
		config:   config,
		store:    store,
		workers:  map[string]storage.Worker{},
		pending:  map[string]storage.Heartbeat{},
		changed:  make(chan struct{}),
		flushNow: make(chan struct{}, 1),
		stopping: make(chan struct{}),
	}
}

// Run writes heartbeats, refreshes the view and prunes until ctx ends. Waiting
// snapshots are then answered at once. It is called once.
func (r *Roster) Run(ctx context.Context) error {
	var chores sync.WaitGroup
	for _, c := range []chore{
		{name: "flush_heartbeats", interval: flushInterval, early: r.flushNow, work: r.flush},
		{name: "refresh_workers", interval: refreshInterval, work: r.Load},
		{name: "prune_workers", interval: pruneInterval, work: r.prune},
	} {
		chores.Go(func() { r.repeat(ctx, c) })
	}
	<-ctx.Done()
	close(r.stopping)
	chores.Wait()
	return nil
}

// chore is work that is done at each interval, and early when it is asked for.
type chore struct {
	name     string
	interval time.Duration
	early    <-chan struct{} // nil: never
	work     func(context.Context) error
}

// repeat does a chore until ctx ends. A failure is logged and tried again: the
// view in memory serves on while the database is away.
func (r *Roster) repeat(ctx context.Context, c chore) {
	ticker := time.NewTicker(c.interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-c.early:
		}
		if err := c.work(ctx); err != nil && ctx.Err() == nil {
			r.config.Log.Warn(c.name+"_failed", zap.Error(err))
		}
	}
}

// Register makes a worker known and online, once it is durable. Repeats are
// harmless. Errors: invalid_argument, with every fault.
func (r *Roster) Register(ctx context.Context, worker storage.Worker) error {
	if err := r.checkRegistration(worker); err != nil {
		return err
	}
	r.membership.RLock()
	defer r.membership.RUnlock()
	worker.RegisteredAt = storage.Now()
	worker.LastHeartbeat = worker.RegisteredAt
	if err := r.store.UpsertWorkers(ctx, []storage.Worker{worker}); err != nil {
		return fmt.Errorf("register worker %s: %w", worker.ID, err)
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	// A heartbeat from before must not write its address over the new one.
	delete(r.pending, worker.ID)
	before, known := r.workers[worker.ID]
	if known {
		worker.RegisteredAt = before.RegisteredAt
	}
	r.workers[worker.ID] = worker
	if !known || !r.online(before, worker.LastHeartbeat) || !sameOffer(before, worker) {
		r.announce()
	}
	return nil
}

// Deregister forgets a worker at once. Error: storage.ErrNotFound.
func (r *Roster) Deregister(ctx context.Context, id string) error {
	if err := checkID(id).Err(); err != nil {
		return err
	}
	r.membership.RLock()
	defer r.membership.RUnlock()
	outcomes, err := r.store.DeleteWorkers(ctx, []string{id})
	if err != nil {
		return fmt.Errorf("deregister worker %s: %w", id, err)
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.pending, id)
	if _, known := r.workers[id]; known {
		delete(r.workers, id)
		r.announce()
	}
	return outcomes[0]
}

// List returns the workers of a service ("" for all), ordered by id. A worker
// is online when it was heard of within ttl; 0 takes the configured one.
func (r *Roster) List(service string, ttl time.Duration) []Member {
	now, ttl := storage.Now(), cmp.Or(ttl, r.config.TTL)
	r.mu.Lock()
	members := make([]Member, 0, len(r.workers))
	for _, w := range r.workers {
		if service != "" && !slices.Contains(w.Services, service) {
			continue
		}
		status := Offline
		if now.Sub(w.LastHeartbeat) < ttl {
			status = Online
		}
		members = append(members, Member{Worker: w, Status: status})
	}
	r.mu.Unlock()
	slices.SortFunc(members, byID)
	return members
}

// Allocate picks the least loaded online worker of a service, one of them by
// chance when several are. Error: no_worker.
func (r *Roster) Allocate(service string) (Member, error) {
	now := storage.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	var best []storage.Worker
	for _, w := range r.workers {
		if !r.online(w, now) || !slices.Contains(w.Services, service) {
			continue
		}
		if len(best) > 0 && w.Load < best[0].Load {
			best = best[:0]
		}
		if len(best) == 0 || w.Load == best[0].Load {
			best = append(best, w)
		}
	}
	if len(best) == 0 {
		return Member{}, errs.New(errs.NoWorker, "no online worker offers the service %q", service)
	}
	return Member{Worker: best[rand.IntN(len(best))], Status: Online}, nil
}

func (r *Roster) online(w storage.Worker, now time.Time) bool {
	return now.Sub(w.LastHeartbeat) < r.config.TTL
}

// announce wakes everyone who waits in Snapshot. Call it with mu held.
func (r *Roster) announce() {
	close(r.changed)
	r.changed = make(chan struct{})
}

func byID(a, b Member) int { return cmp.Compare(a.ID, b.ID) }
