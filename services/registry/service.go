package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/services/registry/internal/api"
	"github.com/pocketflowgo/pocketflow/services/registry/internal/roster"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/netguard"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/connect"
)

// Deps are what the registry is handed.
type Deps struct {
	Log     *zap.Logger
	Metrics prometheus.Registerer // nil: nobody looks at them
	Traces  trace.TracerProvider  // nil: nobody traces
}

// Service is a registry.
type Service struct {
	store   storage.Workers
	roster  *roster.Roster
	routes  []httpx.Route
	handler http.Handler
}

// New opens the database and loads the workers from it. It starts nothing.
func New(ctx context.Context, cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	policy, err := netguard.ParsePolicy(cfg.AllowWorkers)
	if err != nil {
		return nil, fmt.Errorf("allowed workers: %w", err)
	}
	migration := connect.MigrateByHand
	if cfg.AutoMigrate {
		migration = connect.MigrateOnOpen
	}
	requests, err := httpx.NewMetrics(deps.Metrics, "registry")
	if err != nil {
		return nil, err
	}
	store, err := connect.Workers(ctx, cfg.DB, connect.Options{Migration: migration, Metrics: deps.Metrics})
	if err != nil {
		return nil, err
	}
	members := roster.New(store, roster.Config{Log: deps.Log, TTL: cfg.TTL, Keep: cfg.Keep, Addresses: policy})
	if err := members.Observe(deps.Metrics); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	routes := api.Routes(members)
	handler, err := httpx.NewRouter(httpx.Deps{Log: deps.Log, Metrics: requests, Traces: deps.Traces}, routes)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make router: %w", err), store.Close())
	}
	// A schema that is not the binary's is for Ready to report; everything
	// else that keeps the workers from being read is a reason not to start.
	if err := members.Load(ctx); err != nil && !errors.Is(store.Ready(ctx), storage.ErrSchemaOlder) {
		return nil, errors.Join(err, store.Close())
	}
	return &Service{store: store, roster: members, routes: routes, handler: handler}, nil
}

// Routes lists what the registry serves.
func (s *Service) Routes() []httpx.Route { return s.routes }

// Handler serves the routes.
func (s *Service) Handler() http.Handler { return s.handler }

// Run keeps memory and database in step until ctx ends.
func (s *Service) Run(ctx context.Context) error { return s.roster.Run(ctx) }

// Ready is nil when the database can be used.
func (s *Service) Ready(ctx context.Context) error { return s.store.Ready(ctx) }

// Close writes the last heartbeats and closes the database. Requests are still
// answered while Run drains, so the last flush belongs here.
func (s *Service) Close() error {
	return errors.Join(s.roster.Close(), s.store.Close())
}
