package catalog

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/services/flow-catalog/internal/api"
	"github.com/pocketflowgo/pocketflow/services/flow-catalog/internal/flows"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/connect"
)

// Deps are what the catalog is handed.
type Deps struct {
	Log     *zap.Logger
	Metrics prometheus.Registerer // nil: nobody looks at them
	Traces  trace.TracerProvider  // nil: nobody traces
}

// Service is a flow catalog.
type Service struct {
	store   storage.Flows
	routes  []httpx.Route
	handler http.Handler
}

// New opens the database. It starts nothing.
func New(ctx context.Context, cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	migration := connect.MigrateByHand
	if cfg.AutoMigrate {
		migration = connect.MigrateOnOpen
	}
	requests, err := httpx.NewMetrics(deps.Metrics, "flow-catalog")
	if err != nil {
		return nil, err
	}
	store, err := connect.Flows(ctx, cfg.DB, connect.Options{Migration: migration, Metrics: deps.Metrics})
	if err != nil {
		return nil, err
	}
	routes := api.Routes(flows.New(store, cfg.limits()))
	handler, err := httpx.NewRouter(httpx.Deps{Log: deps.Log, Metrics: requests, Traces: deps.Traces}, routes)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make router: %w", err), store.Close())
	}
	return &Service{store: store, routes: routes, handler: handler}, nil
}

// Routes lists what the catalog serves.
func (s *Service) Routes() []httpx.Route { return s.routes }

// Handler serves the routes.
func (s *Service) Handler() http.Handler { return s.handler }

// Run blocks until ctx ends: all the catalog's work happens in requests.
func (s *Service) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Ready is nil when the database can be used.
func (s *Service) Ready(ctx context.Context) error { return s.store.Ready(ctx) }

// Close closes the database.
func (s *Service) Close() error { return s.store.Close() }
