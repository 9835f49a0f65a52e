package worker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/shared/api/registryapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
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

// presence keeps the worker known to the registry.
type presence struct {
	client  *registryapi.Client
	request registryapi.RegisterRequest
	every   time.Duration
	load    func() int
	log     *zap.Logger

	mu     sync.Mutex
	online bool
	change chan struct{} // closed when online changes
}

func newPresence(client *registryapi.Client, every time.Duration, load func() int, log *zap.Logger) *presence {
	return &presence{client: client, every: every, load: load, log: log, change: make(chan struct{})}
}

// keep registers, heartbeats and registers again when the registry has
// forgotten the worker, until ctx ends; then it deregisters. It fails only
// when the registry refuses the first registration as wrong in itself.
func (p *presence) keep(ctx context.Context) error {
	defer p.leave(ctx)
	retry := backoff{first: firstRetry, most: p.every}
	var known, away bool
	var heard time.Time
	for {
		err := p.call(ctx, known)
		wait := p.every
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			if !known || away {
				p.log.Info("registered", zap.String("worker_id", p.request.ID), zap.String("url", p.request.URL))
			}
			known, away, heard = true, false, time.Now()
			p.set(true)
			retry.reset()
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
				p.set(false)
			}
			wait = retry.next()
		}
		if !pause(ctx, wait) {
			return nil
		}
	}
}

func (p *presence) call(ctx context.Context, known bool) error {
	ctx, cancel := context.WithTimeout(ctx, registryCall)
	defer cancel()
	if known {
		return p.client.Heartbeat(ctx, registryapi.HeartbeatRequest{ID: p.request.ID, URL: p.request.URL, Load: p.load()})
	}
	req := p.request
	req.Load = p.load()
	return p.client.Register(ctx, req)
}

func (p *presence) leave(ctx context.Context) {
	p.set(false)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	if err := p.client.Deregister(ctx, p.request.ID); err != nil {
		p.log.Info("not_deregistered", zap.Error(err))
	}
}

func (p *presence) set(online bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.online != online {
		p.online = online
		close(p.change)
		p.change = make(chan struct{})
	}
}

func (p *presence) state() (online bool, change <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.online, p.change
}

// awaitOnline returns once the registry knows the worker; false when ctx ended
// first.
func (p *presence) awaitOnline(ctx context.Context) bool {
	for ctx.Err() == nil {
		online, change := p.state()
		if online {
			return true
		}
		select {
		case <-change:
		case <-ctx.Done():
		}
	}
	return false
}
