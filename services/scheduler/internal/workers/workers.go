// Package workers knows which push workers are online and how busy this
// scheduler keeps them. The set comes from the registry as a snapshot that is
// refreshed by long poll; the executions in flight are counted here, on top.
//
// While the registry is away the last snapshot serves on.
package workers

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/shared/api/registryapi"
	"github.com/pocketflowgo/pocketflow/shared/pause"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Why there is no worker to be had.
var (
	// ErrNone: no online worker offers the service, and none came in time.
	ErrNone = errors.New("no online worker offers the service")
	// ErrTriedAll: every worker of the service was tried already.
	ErrTriedAll = errors.New("every worker of the service was tried")
)

const (
	// refresh is the longest that a long poll to the registry waits. It is
	// also how old the reported loads can get.
	refresh      = 5 * time.Second
	answerWithin = 5 * time.Second
	// retryRegistry is the pause after a failed poll.
	retryRegistry = 500 * time.Millisecond
	// asideFor is how long a worker that refused a connection is passed over.
	asideFor = 3 * time.Second
	// tryAgain is the pause before workers that refused connections, all of them,
	// are tried again.
	tryAgain = 500 * time.Millisecond
	// forgetAfter is how long a service that nobody offers is remembered, so
	// that names which flows made up do not pile up.
	forgetAfter = time.Hour
)

// Registry is what the pool asks.
type Registry interface {
	Snapshot(ctx context.Context, version string, wait time.Duration) (registryapi.Snapshot, error)
}

// Config bounds the pool.
type Config struct {
	MaxPerWorker int           // executions in flight to one worker, at most
	NoWorkerWait time.Duration // how long a service may be without a worker that can be reached before Pick fails
}

// Pool is safe for concurrent use.
type Pool struct {
	config   Config
	registry Registry
	log      *zap.Logger

	mu        sync.Mutex
	loaded    bool
	byID      map[string]*worker
	byService map[string]*service
}

type worker struct {
	id, url    string
	services   []string
	load       int
	limit      int
	inFlight   int
	asideUntil time.Time
}

type service struct {
	workers []*worker
	// empty is since when there is no worker: since somebody asked for one, or
	// since the last one left. Zero while there is one, or nobody has asked.
	empty time.Time
	// refused is since when its workers refuse connections, as those do that have
	// just died and are still online to the registry, and refusedLast when one
	// did last. Zero once one has taken work.
	refused, refusedLast time.Time
	turn                 int       // of round robin
	waiting              []*waiter // oldest first
}

// NewPool makes a pool that knows no worker until Run has asked for them.
func NewPool(config Config, registry Registry, log *zap.Logger) *Pool {
	return &Pool{
		config: config, registry: registry, log: log,
		byID: map[string]*worker{}, byService: map[string]*service{},
	}
}

// Load is how busy a pool's workers are.
type Load struct {
	Workers int // online, as far as is known here
	Waiting int // executions that wait for a worker, or for a place in one
}

// Load tells how busy the workers are.
func (p *Pool) Load() Load {
	p.mu.Lock()
	defer p.mu.Unlock()
	load := Load{Workers: len(p.byID)}
	for _, s := range p.byService {
		load.Waiting += len(s.waiting)
	}
	return load
}

// Run keeps the snapshot fresh until ctx ends.
func (p *Pool) Run(ctx context.Context) {
	version, away := "", false
	for ctx.Err() == nil {
		snapshot, err := p.ask(ctx, version)
		if err != nil {
			if ctx.Err() == nil && !away {
				p.log.Warn("registry_unreachable", zap.Error(err))
			}
			away = true
			// A registry that comes back may have other workers under the
			// same version name.
			version = ""
			pause.For(ctx, retryRegistry)
			continue
		}
		if away {
			p.log.Info("registry_reachable")
			away = false
		}
		version = snapshot.Version
		p.update(snapshot.Workers)
	}
}

// ask polls the registry. The time-out is for one that accepts and never
// answers.
func (p *Pool) ask(ctx context.Context, version string) (registryapi.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, refresh+answerWithin)
	defer cancel()
	return p.registry.Snapshot(ctx, version, refresh)
}

// update takes a snapshot over. Workers that stay keep their counts.
func (p *Pool) update(online []registryapi.Worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.loaded = true
	for _, s := range p.byService {
		s.workers = nil
	}
	known := p.byID
	p.byID = make(map[string]*worker, len(online))
	for _, w := range online {
		if storage.WorkerType(w.Type) != storage.WorkerHTTP {
			continue
		}
		entry := known[w.ID]
		if entry == nil || entry.url != w.URL {
			entry = &worker{id: w.ID, url: w.URL}
		}
		entry.services, entry.load, entry.limit = w.Services, w.Load, p.config.MaxPerWorker
		if w.MaxConcurrency > 0 {
			entry.limit = min(entry.limit, w.MaxConcurrency)
		}
		p.byID[w.ID] = entry
		for _, name := range w.Services {
			s := p.service(name)
			s.workers = append(s.workers, entry)
		}
	}
	now := time.Now()
	for name, s := range p.byService {
		s.wakeAll()
		switch {
		case len(s.workers) > 0:
			s.empty = time.Time{}
		case s.empty.IsZero():
			s.empty = now
		case now.Sub(s.empty) > forgetAfter:
			delete(p.byService, name)
		}
	}
}

func (p *Pool) service(name string) *service {
	s := p.byService[name]
	if s == nil {
		s = &service{}
		p.byService[name] = s
	}
	return s
}

// waiter is a place in the line for a service. Its turn is closed once.
type waiter struct {
	turn  chan struct{}
	tried map[string]bool
	empty time.Time // since when the service has no worker at all; zero: it has
}

func (s *service) wakeAll() {
	for _, w := range s.waiting {
		close(w.turn)
	}
	s.waiting = nil
}

// wakeFor wakes the first in line that has not tried the worker which has a
// free place.
func (s *service) wakeFor(workerID string) {
	for i, w := range s.waiting {
		if !w.tried[workerID] {
			close(w.turn)
			s.waiting = append(s.waiting[:i], s.waiting[i+1:]...)
			return
		}
	}
}

// Order is how workers of one service are chosen.
type Order string

const (
	RoundRobin  Order = "round_robin"
	LeastLoaded Order = "least_loaded" // in flight here + load as reported; ties by chance
)

// Want is what Pick looks for.
type Want struct {
	Service string
	Order   Order
	Tried   map[string]bool // ids to pass over
	// Patience bounds the wait for a first worker below what the config says;
	// 0 does not.
	Patience time.Duration
}

// Taken is a worker with a place in it reserved. Done gives the place back.
type Taken struct {
	ID, URL string
	pool    *Pool
	entry   *worker
	service *service
}

// Pick reserves a place in a worker of the service. When all of them are full
// it waits for a place, however long that takes; when there is no worker at
// all, until there has been none for as long as the config says: of ten thousand
// executions for a service that nobody offers, the first ones wait. Workers that
// refuse connections, all of them, are as good as none: for as long, those that
// were tried are tried again. It fails with ErrNone, ErrTriedAll or the context's
// error.
func (p *Pool) Pick(ctx context.Context, want Want) (*Taken, error) {
	began := time.Now()
	for {
		taken, wait, err := p.try(want)
		if errors.Is(err, ErrTriedAll) && p.mayComeBack(want, began) {
			if !pause.For(ctx, tryAgain) {
				return nil, ctx.Err()
			}
			clear(want.Tried)
			continue
		}
		if taken != nil || err != nil {
			return taken, err
		}
		var over <-chan time.Time
		if !wait.empty.IsZero() {
			over = time.After(time.Until(p.patience(want, began, wait.empty)))
		}
		select {
		case <-wait.turn:
		case <-over:
			p.leave(want.Service, wait)
			return nil, ErrNone
		case <-ctx.Done():
			p.leave(want.Service, wait)
			return nil, ctx.Err()
		}
	}
}

func (p *Pool) mayComeBack(want Want, began time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	refused := p.service(want.Service).refused
	return !refused.IsZero() && time.Now().Before(p.patience(want, began, refused))
}

// patience is when the wait for a first worker is over.
func (p *Pool) patience(want Want, began, empty time.Time) time.Time {
	over := empty.Add(p.config.NoWorkerWait)
	if bound := began.Add(want.Patience); want.Patience > 0 && bound.Before(over) {
		return bound
	}
	return over
}

func (p *Pool) try(want Want) (*Taken, *waiter, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.service(want.Service)
	best, untried := s.choose(want, time.Now())
	switch {
	case best != nil:
		best.inFlight++
		return &Taken{ID: best.id, URL: best.url, pool: p, entry: best, service: s}, nil, nil
	case !untried && len(s.workers) > 0:
		return nil, nil, ErrTriedAll
	}
	w := &waiter{turn: make(chan struct{}), tried: want.Tried}
	if p.loaded && len(s.workers) == 0 {
		if s.empty.IsZero() {
			s.empty = time.Now()
		}
		w.empty = s.empty
	}
	s.waiting = append(s.waiting, w)
	return nil, w, nil
}

// choose picks a worker with a free place; nil when there is none. untried
// tells whether there is any that the caller has not tried.
func (s *service) choose(want Want, now time.Time) (best *worker, untried bool) {
	var aside *worker
	ties := 0
	n := len(s.workers)
	for i := range n {
		w := s.workers[(s.turn+i)%n]
		if want.Tried[w.id] {
			continue
		}
		untried = true
		switch {
		case w.inFlight >= w.limit:
		case w.asideUntil.After(now):
			aside = w
		case best == nil:
			best, ties = w, 1
		case want.Order == LeastLoaded && w.busy() < best.busy():
			best, ties = w, 1
		case want.Order == LeastLoaded && w.busy() == best.busy():
			ties++
			if rand.IntN(ties) == 0 {
				best = w
			}
		}
	}
	if best == nil {
		// A worker that refused lately is better than none.
		best = aside
	}
	if best != nil {
		s.turn++
	}
	return best, untried
}

func (w *worker) busy() int { return w.inFlight + w.load }

// leave gives up a place in the line. When its turn had come already, the turn
// goes to the next ones: which place was free is not known any more.
func (p *Pool) leave(name string, w *waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.byService[name]
	if s == nil {
		return
	}
	for i, other := range s.waiting {
		if other == w {
			s.waiting = append(s.waiting[:i], s.waiting[i+1:]...)
			return
		}
	}
	for _, entry := range s.workers {
		if entry.inFlight < entry.limit {
			s.wakeFor(entry.id)
		}
	}
}

// Done gives the place back.
func (t *Taken) Done() {
	t.pool.mu.Lock()
	defer t.pool.mu.Unlock()
	t.entry.inFlight--
	for _, name := range t.entry.services {
		if s := t.pool.byService[name]; s != nil {
			s.wakeFor(t.entry.id)
		}
	}
}

// Took tells that the worker has taken work: the service's workers can be
// reached.
func (t *Taken) Took() {
	t.pool.mu.Lock()
	defer t.pool.mu.Unlock()
	t.service.refused = time.Time{}
}

// SetAside passes the worker over for a few seconds, because it refused a
// connection.
func (t *Taken) SetAside() {
	t.pool.mu.Lock()
	defer t.pool.mu.Unlock()
	now := time.Now()
	t.entry.asideUntil = now.Add(asideFor)
	// What was long ago is another matter.
	if s := t.service; s.refused.IsZero() || now.Sub(s.refusedLast) > max(t.pool.config.NoWorkerWait, asideFor) {
		s.refused = now
	}
	t.service.refusedLast = now
}
