package suite

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	catalog "github.com/pocketflowgo/pocketflow/services/flow-catalog"
	"github.com/pocketflowgo/pocketflow/services/gateway"
	queuegateway "github.com/pocketflowgo/pocketflow/services/queue-gateway"
	"github.com/pocketflowgo/pocketflow/services/registry"
	"github.com/pocketflowgo/pocketflow/services/scheduler"
	"github.com/pocketflowgo/pocketflow/shared/app"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/httpx/inproc"
)

// Suite is all services in one process. It is an app.Service.
type Suite struct {
	parts []part // in the order of start
	front http.Handler
}

// part is one service of the suite.
type part struct {
	name string
	app.Service
}

// The services' hosts on the in-process transport.
const (
	registryHost  = "registry.inproc"
	catalogHost   = "catalog.inproc"
	schedulerHost = "scheduler.inproc"
	queueHost     = "queue.inproc"
)

// Deps are what the suite is handed. All services count in the one registry:
// the names of their metrics, or a label, tell them apart.
type Deps struct {
	Log     *zap.Logger
	Metrics prometheus.Registerer // nil: nobody looks at them
	Traces  trace.TracerProvider  // nil: nobody traces
}

// New makes all services and opens their databases. It starts nothing.
func New(ctx context.Context, cfg Config, deps Deps) (*Suite, error) {
	transport := inproc.NewTransport(httpx.NewHTTPClient().Transport)
	hc := &http.Client{Transport: transport}
	wire(&cfg)
	if local := cfg.Locate(); len(local) > 0 {
		if err := MakeWritable(cfg.Data); err != nil {
			return nil, err
		}
	}
	s := &Suite{}
	for _, p := range []struct {
		name, host string
		build      func(*zap.Logger) (app.Service, error)
	}{
		{"registry", registryHost, func(log *zap.Logger) (app.Service, error) {
			return registry.New(ctx, cfg.Registry, registry.Deps{Log: log, Metrics: deps.Metrics, Traces: deps.Traces})
		}},
		{"flow-catalog", catalogHost, func(log *zap.Logger) (app.Service, error) {
			return catalog.New(ctx, cfg.Catalog, catalog.Deps{Log: log, Metrics: deps.Metrics, Traces: deps.Traces})
		}},
		{"queue-gateway", queueHost, func(log *zap.Logger) (app.Service, error) {
			return queuegateway.New(ctx, cfg.Queue, queuegateway.Deps{Log: log, HTTP: hc, Metrics: deps.Metrics, Traces: deps.Traces})
		}},
		{"scheduler", schedulerHost, func(log *zap.Logger) (app.Service, error) {
			return scheduler.New(ctx, cfg.Scheduler, scheduler.Deps{Log: log, HTTP: hc, Metrics: deps.Metrics, Traces: deps.Traces})
		}},
		{"gateway", "", func(log *zap.Logger) (app.Service, error) {
			return gateway.New(ctx, cfg.Gateway, gateway.Deps{Log: log, HTTP: hc, Metrics: deps.Metrics, Traces: deps.Traces})
		}},
	} {
		service, err := p.build(deps.Log.With(zap.String("service", p.name)))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", p.name, err), s.Close())
		}
		s.parts = append(s.parts, part{name: p.name, Service: service})
		s.front = service.Handler() // the last one's: the gateway's
		if p.host != "" {
			transport.Handle(p.host, service.Handler())
		}
	}
	return s, nil
}

// wire makes the services call each other in-process, whatever the settings of
// five separate processes say.
func wire(cfg *Config) {
	const scheme = "http://"
	cfg.Scheduler.RegistryURL = scheme + registryHost
	cfg.Scheduler.CatalogURL = scheme + catalogHost
	cfg.Scheduler.QueueURL = scheme + queueHost
	cfg.Queue.SchedulerURL = scheme + schedulerHost
	cfg.Gateway.RegistryURL = scheme + registryHost
	cfg.Gateway.CatalogURL = scheme + catalogHost
	cfg.Gateway.SchedulerURL = scheme + schedulerHost
	cfg.Gateway.QueueURL = scheme + queueHost
}

// Handler serves the documented routes.
func (s *Suite) Handler() http.Handler { return s.front }

// Run starts the services in order and blocks until ctx ends or one of them
// fails. Then it stops them in the reverse order, each after the one before.
func (s *Suite) Run(ctx context.Context) error {
	failed := make(chan error, len(s.parts))
	running := make([]runningPart, 0, len(s.parts))
	for _, p := range s.parts {
		running = append(running, start(ctx, p, failed))
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	for _, r := range slices.Backward(running) {
		r.cancel()
		<-r.done
	}
	close(failed)
	for late := range failed {
		err = errors.Join(err, late)
	}
	return err
}

// runningPart is a service that runs under its own context, so that the end of
// the suite's does not stop all at once.
type runningPart struct {
	cancel context.CancelFunc
	done   <-chan struct{}
}

func start(ctx context.Context, p part, failed chan<- error) runningPart {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := p.Run(own); err != nil {
			failed <- fmt.Errorf("%s: %w", p.name, err)
		}
	}()
	return runningPart{cancel: cancel, done: done}
}

// Ready is nil when every service is ready; otherwise it names those that are
// not.
func (s *Suite) Ready(ctx context.Context) error {
	var faults []error
	for _, p := range s.parts {
		if err := p.Ready(ctx); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", p.name, err))
		}
	}
	return errors.Join(faults...)
}

// Close closes the services in the reverse order of start.
func (s *Suite) Close() error {
	var faults []error
	for _, p := range slices.Backward(s.parts) {
		if err := p.Close(); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", p.name, err))
		}
	}
	return errors.Join(faults...)
}
