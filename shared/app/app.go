// Package app is the life of a service's process: settings from flags and
// environment, the listener, readiness, signals, and a stop that drains.
//
// A service's main is one call of Main. The all-in-one server runs several
// services under one Serve.
package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
)

// Service is what a process runs.
type Service interface {
	// Handler serves the service's routes.
	Handler() http.Handler
	// Run does the service's work in the background. It blocks until ctx
	// ends, then lets what is under way finish and returns nil; or it returns
	// an error when the service cannot go on.
	Run(ctx context.Context) error
	// Ready is nil when requests can be served.
	Ready(ctx context.Context) error
	// Close frees what New took. It is called once, after Run has returned.
	Close() error
}

// ServeParams are what Serve needs.
type ServeParams struct {
	Addr    string
	Service Service
	Log     *zap.Logger
	// Drain bounds the stop: requests and work still under way after it are
	// cut off (everything durable goes on elsewhere or at the next start).
	Drain time.Duration
	// Started, when given, is called with the address once it is bound.
	Started func(net.Addr)
	Endpoints
}

// Endpoints are what a process serves besides its service. The zero value is
// nothing but the probes.
type Endpoints struct {
	Metrics http.Handler // at /metrics of the service's address; nil: not there
	// Admin is served at an address of its own, none when that is "".
	Admin     http.Handler
	AdminAddr string
	// AdminStarted, when given, is called with that address once it is bound.
	AdminStarted func(net.Addr)
}

// Serve listens, runs the service and blocks until ctx ends or the service
// fails. Stopping is the reverse of starting: first readiness says no, then
// the listener closes and requests under way finish while Run drains, then the
// service is closed.
func Serve(ctx context.Context, p ServeParams) error {
	relaxGC()
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", p.Addr)
	if err != nil {
		return errors.Join(fmt.Errorf("listen: %w", err), p.Service.Close())
	}
	admin, err := startAdmin(ctx, p)
	if err != nil {
		return errors.Join(err, listener.Close(), p.Service.Close())
	}
	if p.Started != nil {
		p.Started(listener.Addr())
	}
	p.Log.Info("listening", zap.String("addr", listener.Addr().String()), zap.String("version", Version))

	stopping := make(chan struct{})
	peers := watchPeers(p.Service, p.Log)
	server := &http.Server{
		Handler:           withProbes(p, peers, stopping),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          zap.NewStdLog(p.Log),
	}
	httpx.CloseUnusedOnShutdown(server)
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := p.Service.Run(running); err != nil {
			return fmt.Errorf("run: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		peers.run(running)
		return nil
	})
	group.Go(func() error {
		returnMemory(running)
		return nil
	})
	group.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		<-running.Done()
		close(stopping)
		p.Log.Info("stopping")
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.Drain)
		defer cancel()
		if err := server.Shutdown(drain); err != nil {
			p.Log.Warn("requests_cut_off", zap.Error(err))
			_ = server.Close()
		}
		return nil
	})
	err = group.Wait()
	// Only now: a drain that hangs is what profiles are for.
	admin.stop()
	if closeErr := p.Service.Close(); closeErr != nil {
		err = errors.Join(err, fmt.Errorf("close: %w", closeErr))
	}
	p.Log.Info("stopped")
	return err
}

// withProbes adds to the service's routes the two probes, /healthz, which says
// that the process answers, and /readyz, that it can do its work now and how
// its peers are, and /metrics. They are asked every few seconds, so the log has
// them at debug.
func withProbes(p ServeParams, peers *peerWatch, stopping <-chan struct{}) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /healthz", httpx.Quiet(p.Log, "/healthz", func(w http.ResponseWriter, _ *http.Request) error {
		return httpx.WriteJSON(w, http.StatusOK, map[string]string{"status": "ok", "version": Version})
	}))
	mux.Handle("GET /readyz", httpx.Quiet(p.Log, "/readyz", func(w http.ResponseWriter, r *http.Request) error {
		select {
		case <-stopping:
			return errs.New(errs.Unavailable, "stopping")
		default:
		}
		if err := p.Service.Ready(r.Context()); err != nil {
			return errs.Wrap(err, errs.Unavailable, "not ready: %s", reason(err))
		}
		report := readiness{Status: "ready", Version: Version}
		var well bool
		if report.Peers, well = peers.report(); !well {
			report.Status = "degraded"
		}
		return httpx.WriteJSON(w, http.StatusOK, report)
	}))
	if p.Metrics != nil {
		mux.Handle("GET /metrics", httpx.Quiet(p.Log, "/metrics", func(w http.ResponseWriter, r *http.Request) error {
			p.Metrics.ServeHTTP(w, r)
			return nil
		}))
	}
	mux.Handle("/", p.Service.Handler())
	return mux
}

// readiness is the body of /readyz.
type readiness struct {
	Status  string       `json:"status"` // ready, or degraded: a peer is away
	Version string       `json:"version"`
	Peers   []PeerReport `json:"peers,omitempty"`
}

// reason is what a probe may be told: an errs.Error's sentence, or the error's
// text, which for readiness comes from our own checks and names no secret.
func reason(err error) string {
	var e *errs.Error
	if errors.As(err, &e) {
		return e.Detail
	}
	return err.Error()
}

// SignalContext ends at the first SIGINT or SIGTERM. A second one ends the
// process at once, for an operator who does not want to wait for the drain.
func SignalContext(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	var once sync.Once
	go func() {
		select {
		case <-signals:
			cancel()
		case <-done:
			return
		}
		select {
		case <-signals:
			os.Exit(exitForced) //nolint:revive // deferred work is what the operator no longer waits for
		case <-done:
		}
	}()
	return ctx, func() {
		once.Do(func() { close(done) })
		signal.Stop(signals)
		cancel()
	}
}
