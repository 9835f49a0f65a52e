package worker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/shared/api/registryapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/pause"
)

const (
	// firstRetry is the first wait after a failed call to a peer.
	firstRetry = 100 * time.Millisecond
	// registryCall bounds one call to the registry.
	registryCall = 5 * time.Second
	// farewell bounds the deregistration, so that a registry that is away does
	// not eat the drain time. Missing it is harmless: the worker's entry goes
	// offline by itself.
	farewell = 2 * time.Second
	// missedBeats is how many heartbeat intervals without an answer make the
	// registry take a worker for offline (its default time to live over the
	// default interval).
	missedBeats = 3
)

// standing is what the worker believes that the registry thinks of it.
type standing string

const (
	online  standing = "online"
	offline standing = "offline"
)

// presence keeps the worker known to the registry.
type presence struct {
	client  *registryapi.Client
	request registryapi.RegisterRequest
	every   time.Duration
	load    func() int
	log     *zap.Logger

	mu     sync.Mutex
	now    standing
	change chan struct{} // closed when now changes
}

func newPresence(client *registryapi.Client, every time.Duration, load func() int, log *zap.Logger) *presence {
	return &presence{client: client, every: every, load: load, log: log, now: offline, change: make(chan struct{})}
}

// keep registers, heartbeats and registers again when the registry has
// forgotten the worker, until ctx ends; then it deregisters. It fails only
// when the registry refuses the first registration as wrong in itself.
func (p *presence) keep(ctx context.Context) error {
	defer p.leave(ctx)
	retry := pause.Backoff{First: firstRetry, Most: p.every}
	var known, away bool
	var heard time.Time
	for {
		call := p.register
		if known {
			call = p.heartbeat
		}
		err := p.bounded(ctx, call)
		wait := p.every
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			if !known || away {
				p.log.Info("registered", zap.String("worker_id", p.request.ID), zap.String("url", p.request.URL))
			}
			known, away, heard = true, false, time.Now()
			p.set(online)
			retry.Reset()
		case known && errs.CodeOf(err) == errs.NotFound:
			known = false
			wait = 0
		case heard.IsZero() && errs.CodeOf(err) == errs.InvalidArgument:
			return fmt.Errorf("register: %w", err)
		default:
			if !away {
				p.log.Warn("registry_away", zap.Error(err))
			}
			away = true
			if time.Since(heard) > missedBeats*p.every {
				p.set(offline)
			}
			wait = retry.Next()
		}
		if !pause.For(ctx, wait) {
			return nil
		}
	}
}

func (p *presence) bounded(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, registryCall)
	defer cancel()
	return call(ctx)
}

func (p *presence) register(ctx context.Context) error {
	req := p.request
	req.Load = registryapi.Load(p.load())
	return p.client.Register(ctx, req)
}

func (p *presence) heartbeat(ctx context.Context) error {
	return p.client.Heartbeat(ctx, registryapi.HeartbeatRequest{ID: p.request.ID, URL: p.request.URL, Load: registryapi.Load(p.load())})
}

func (p *presence) leave(ctx context.Context) {
	p.set(offline)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	if err := p.client.Deregister(ctx, p.request.ID); err != nil {
		p.log.Info("not_deregistered", zap.Error(err))
	}
}

func (p *presence) set(s standing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now != s {
		p.now = s
		close(p.change)
		p.change = make(chan struct{})
	}
}

// standing is how the worker stands, and a channel that closes when that
// changes.
func (p *presence) standing() (now standing, change <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now, p.change
}

// awaitOnline returns once the registry knows the worker; false when ctx ended
// first.
func (p *presence) awaitOnline(ctx context.Context) bool {
	for ctx.Err() == nil {
		now, change := p.standing()
		if now == online {
			return true
		}
		select {
		case <-change:
		case <-ctx.Done():
		}
	}
	return false
}
