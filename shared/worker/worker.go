package worker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/api/registryapi"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/pause"
	"github.com/pocketflowgo/pocketflow/shared/tracing"
)

// Worker executes jobs. Make one with New, give it its functions with Handle,
// then Run it once.
type Worker struct {
	cfg        Config
	log        *zap.Logger
	tracer     trace.Tracer
	handlers   map[string]Handler
	faults     []error // of Handle
	presence   *presence
	queue      *queueapi.Client // pull
	deliveries *deliveries
	slots      chan struct{} // one in it per execution
	leaving    chan struct{} // closed when calls are turned away
	load       atomic.Int64  // executions under way
}

// New makes a worker. It fails on a Config that cannot work, naming every
// fault, and starts nothing.
func New(cfg Config, deps Deps) (*Worker, error) {
	cfg, deps = cfg.withDefaults(), deps.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("worker config: %w", err)
	}
	w := &Worker{cfg: cfg, log: deps.Log, tracer: tracing.Tracer(deps.Traces, "shared/worker"), handlers: map[string]Handler{}, leaving: make(chan struct{})}
	registry, err := registryapi.NewClient(cfg.RegistryURL, deps.HTTP)
	if err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	w.presence = newPresence(registry, cfg.Heartbeat, w.Load, w.log)
	w.slots = make(chan struct{}, cfg.MaxConcurrency)
	if cfg.Mode == Pull {
		w.slots = make(chan struct{}, cfg.Slots)
		if w.queue, err = queueapi.NewClient(cfg.QueueURL, deps.HTTP); err != nil {
			return nil, fmt.Errorf("queue: %w", err)
		}
	}
	if w.deliveries, err = newDeliveries(); err != nil {
		return nil, err
	}
	return w, nil
}

// ID is the worker's id, chosen or made.
func (w *Worker) ID() string { return w.cfg.ID }

// Load is the number of executions under way.
func (w *Worker) Load() int { return int(w.load.Load()) }

// Handle offers a service, executed by handler, which is called from many
// goroutines at once. Call it before Run, once per service; Run returns what
// is wrong about the calls.
func (w *Worker) Handle(service string, handler Handler) {
	switch {
	case service == "" || handler == nil:
		w.faults = append(w.faults, fmt.Errorf("service %q: a name and a handler are required", service))
	case w.handlers[service] != nil:
		w.faults = append(w.faults, fmt.Errorf("service %q is handled twice", service))
	default:
		w.handlers[service] = handler
	}
}

// Run does the worker's work until ctx ends, then drains: it deregisters, so
// that no new work is sent, takes nothing more, and lets executions under way
// finish within the drain time. Then it returns nil. A function that ignores
// its context is not waited for past that. A registry or queue-gateway that is
// away is waited for; Run fails when it cannot listen or when the registry
// refuses the worker's registration.
func (w *Worker) Run(ctx context.Context) error {
	if len(w.handlers) == 0 {
		w.faults = append(w.faults, errors.New("there is no service: call Handle before Run"))
	}
	if err := errors.Join(w.faults...); err != nil {
		return err
	}
	listener, err := w.listen(ctx)
	if err != nil {
		return err
	}
	w.presence.request = w.registration(listener)

	// Executions outlive ctx by the drain time.
	working, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	group, running := errgroup.WithContext(ctx)
	drains := make([]func(context.Context) error, 0, 2)

	gone := make(chan struct{})
	group.Go(func() error {
		defer close(gone)
		return w.presence.keep(running)
	})
	if listener != nil {
		server := w.server(working)
		group.Go(func() error {
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve: %w", err)
			}
			return nil
		})
		drains = append(drains, func(ctx context.Context) error {
			w.turnAway(ctx, server)
			return errors.Join(server.Shutdown(ctx), server.Close())
		})
	}
	if w.cfg.Mode == Pull {
		p := newPuller(w)
		group.Go(func() error {
			p.fetch(running, working)
			return nil
		})
		group.Go(func() error {
			p.attend(working)
			return nil
		})
		drains = append(drains, p.drain)
	}
	group.Go(func() error {
		<-gone
		w.drain(ctx, drains)
		cut()
		return nil
	})
	return group.Wait()
}

func (w *Worker) drain(ctx context.Context, drains []func(context.Context) error) {
	w.log.Info("draining", zap.Int("under_way", w.Load()))
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.cfg.Drain)
	defer cancel()
	for _, drain := range drains {
		if err := drain(ctx); err != nil {
			w.log.Warn("work_cut_off", zap.Int("under_way", w.Load()), zap.Error(err))
		}
	}
}

// lameDuck is how long a worker that has deregistered still answers, since who
// calls it may not have heard of that yet.
const lameDuck = 500 * time.Millisecond

// turnAway answers calls that still come, so that they are made elsewhere. A call
// on a connection that is being closed would count as begun, and lost.
func (w *Worker) turnAway(ctx context.Context, server *http.Server) {
	if w.cfg.Mode != Push {
		return
	}
	close(w.leaving)
	server.SetKeepAlivesEnabled(false) // the answer to a call is its connection's last
	pause.For(ctx, min(lameDuck, w.cfg.Drain/4))
}

// listen binds Addr; nil when there is none.
func (w *Worker) listen(ctx context.Context) (net.Listener, error) {
	if w.cfg.Addr == "" {
		return nil, nil
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", w.cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	w.log.Info("listening", zap.String("addr", listener.Addr().String()))
	return listener, nil
}

func (w *Worker) server(working context.Context) *http.Server {
	server := &http.Server{
		Handler:           w.Handler(),
		BaseContext:       func(net.Listener) context.Context { return working },
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          zap.NewStdLog(w.log),
	}
	httpx.CloseUnusedOnShutdown(server)
	return server
}

func (w *Worker) services() []string { return slices.Sorted(maps.Keys(w.handlers)) }

// How the registry knows the two kinds of worker.
const (
	typeHTTP  = "http"
	typeAsync = "async"
)

func (w *Worker) registration(listener net.Listener) registryapi.RegisterRequest {
	req := registryapi.RegisterRequest{
		ID: w.cfg.ID, Services: w.services(), Labels: w.cfg.Labels,
		Type: typeHTTP, URL: w.cfg.URL, MaxConcurrency: cap(w.slots),
	}
	switch {
	case w.cfg.Mode == Pull:
		req.Type, req.URL = typeAsync, registryapi.QueueURL
	case req.URL == "":
		req.URL = "http://" + listener.Addr().String()
	}
	return req
}
