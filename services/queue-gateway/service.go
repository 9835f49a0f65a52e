package queuegateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/services/queue-gateway/internal/api"
	"github.com/pocketflowgo/pocketflow/services/queue-gateway/internal/queue"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/app"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/connect"
	"github.com/pocketflowgo/pocketflow/shared/tracing"
)

// Deps are what the queue-gateway is handed.
type Deps struct {
	Log     *zap.Logger
	HTTP    *http.Client          // reaches the scheduler
	Metrics prometheus.Registerer // nil: nobody looks at them
	Traces  trace.TracerProvider  // nil: nobody traces
}

// Service is a queue-gateway.
type Service struct {
	store   storage.Queue
	queue   *queue.Queue
	routes  []httpx.Route
	handler http.Handler
	peers   []app.Peer
}

// New opens the database. It starts nothing.
func New(ctx context.Context, cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	scheduler, err := schedulerapi.NewClient(cfg.SchedulerURL, deps.HTTP)
	if err != nil {
		return nil, fmt.Errorf("scheduler: %w", err)
	}
	alone, err := connect.OneProcess(cfg.DB)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	migration := connect.MigrateByHand
	if cfg.AutoMigrate {
		migration = connect.MigrateOnOpen
	}
	requests, err := httpx.NewMetrics(deps.Metrics, "queue-gateway")
	if err != nil {
		return nil, err
	}
	counts, err := queue.NewMetrics(deps.Metrics)
	if err != nil {
		return nil, err
	}
	store, err := connect.Queue(ctx, cfg.DB, connect.Options{Migration: migration, Metrics: deps.Metrics})
	if err != nil {
		return nil, err
	}
	jobs := queue.New(store, scheduler, queue.Config{
		Log: deps.Log, Metrics: counts, MaxDeliveries: cfg.MaxDeliveries, Visibility: cfg.Visibility, Alone: alone,
		Tracer: tracing.Tracer(deps.Traces, "services/queue-gateway"),
	})
	if err := jobs.Observe(deps.Metrics); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	routes := api.Routes(jobs)
	handler, err := httpx.NewRouter(httpx.Deps{Log: deps.Log, Metrics: requests, Traces: deps.Traces}, routes)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make router: %w", err), store.Close())
	}
	return &Service{
		store: store, queue: jobs, routes: routes, handler: handler,
		peers: []app.Peer{{Name: "scheduler", URL: cfg.SchedulerURL}},
	}, nil
}

// Routes lists what the queue-gateway serves.
func (s *Service) Routes() []httpx.Route { return s.routes }

// Handler serves the routes.
func (s *Service) Handler() http.Handler { return s.handler }

// Run wakes polls, expires claims and delivers results until ctx ends; then
// polls that wait are answered at once. What is not delivered is in the
// database for the next start, or for another replica.
func (s *Service) Run(ctx context.Context) error {
	s.queue.Run(ctx)
	return nil
}

// Peers implements app.Dependent.
func (s *Service) Peers() []app.Peer { return s.peers }

// Ready is nil when the database can be used.
func (s *Service) Ready(ctx context.Context) error { return s.store.Ready(ctx) }

// Close closes the database.
func (s *Service) Close() error { return s.store.Close() }
