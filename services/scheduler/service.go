package scheduler

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/api"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/approvals"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/execute"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/localfunc"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/outbox"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/plans"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/results"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/runlog"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/runner"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/workers"
	"github.com/pocketflowgo/pocketflow/shared/api/catalogapi"
	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/api/registryapi"
	"github.com/pocketflowgo/pocketflow/shared/app"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/ids"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/shared/storage/connect"
	"github.com/pocketflowgo/pocketflow/shared/tracing"
)

// Deps are what the scheduler is given.
type Deps struct {
	Log     *zap.Logger
	HTTP    *http.Client          // for calls to the other services
	Metrics prometheus.Registerer // nil: nobody looks at them
	Traces  trace.TracerProvider  // nil: nobody traces
}

// Service is a scheduler. It implements app.Service.
type Service struct {
	store   storage.Tasks
	pool    *workers.Pool
	outbox  *outbox.Deliverer
	runner  *runner.Runner
	routes  []httpx.Route
	handler http.Handler
	peers   []app.Peer
}

// New opens the database and puts the scheduler together. It starts nothing.
func New(ctx context.Context, cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	registry, err1 := registryapi.NewClient(cfg.RegistryURL, deps.HTTP)
	catalog, err2 := catalogapi.NewClient(cfg.CatalogURL, deps.HTTP)
	queue, err3 := queueapi.NewClient(cfg.QueueURL, deps.HTTP)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	cache, err := plans.NewCache(catalog, cfg.PlanCache)
	if err != nil {
		return nil, err
	}
	scripts, err := execute.NewScripts(execute.ScriptConfig{
		Allow: cfg.ScriptAllow, MaxOutput: cfg.ScriptOutputBytes, MaxLog: cfg.RunLogBytes, MaxRunning: cfg.ScriptMaxRunning,
	})
	if err != nil {
		return nil, err
	}
	counts, err := newMetrics(deps.Metrics)
	if err != nil {
		return nil, err
	}
	options := connect.Options{Migration: connect.MigrateByHand, Metrics: deps.Metrics}
	if cfg.AutoMigrate {
		options.Migration = connect.MigrateOnOpen
	}
	store, err := connect.Tasks(ctx, cfg.DB, options)
	if err != nil {
		return nil, err
	}

	s := &Service{store: store, peers: []app.Peer{
		{Name: "registry", URL: cfg.RegistryURL}, {Name: "flow-catalog", URL: cfg.CatalogURL}, {Name: "queue-gateway", URL: cfg.QueueURL},
	}}
	s.pool = workers.NewPool(workers.Config{MaxPerWorker: cfg.MaxPerWorker, NoWorkerWait: cfg.NoWorkerWait}, registry, deps.Log)
	logs := runlog.Book{Store: store, Most: cfg.RunLogBytes, Now: storage.Now}
	owner, ownership, err := ownerOf(cfg)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	tracer := tracing.Tracer(deps.Traces, "services/scheduler")
	s.outbox = outbox.New(outbox.Deps{
		Store: store, Queue: queue, Results: results.Intake{Store: store, Now: storage.Now}, Alone: ownership == runner.Exclusive,
		Log: deps.Log, Metrics: counts.outbox, Now: storage.Now,
	})
	s.runner = runner.New(runner.Config{
		Owner: owner, Ownership: ownership,
		LeaseTTL: cfg.LeaseTTL, PollInterval: cfg.PollInterval,
		MaxInFlight: cfg.MaxInFlight, Drain: cfg.ExecutionDrain,
		Limits: engine.Limits{
			MaxSteps: cfg.MaxSteps, AttemptTimeout: cfg.AttemptTimeout, MaxValue: cfg.MaxValue,
			MaxParallel: cfg.MaxParallel, MaxNesting: cfg.MaxNesting,
		},
	}, runner.Deps{
		Store: store, Plans: cache, Outbox: s.outbox, Log: deps.Log, Metrics: counts.runner, Now: storage.Now,
		Tracer: tracer,
		Executor: execute.New(execute.Deps{
			Pool: s.pool, Funcs: localfunc.Builtin(deps.Log), Scripts: scripts, Logs: logs, Log: deps.Log, Metrics: counts.calls, Tracer: tracer,
		}),
	})
	s.routes = api.Routes(api.Deps{
		Store: store, Plans: cache, Runner: s.runner, Results: results.Intake{Store: store, Runner: s.runner, Now: storage.Now}, Logs: logs, Now: storage.Now,
		Approvals: approvals.New(approvals.Deps{Store: store, Runner: s.runner, Log: deps.Log, Now: storage.Now}),
	})
	if s.handler, err = httpx.NewRouter(httpx.Deps{Log: deps.Log, Metrics: counts.requests, Traces: deps.Traces}, s.routes); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	if err = s.observe(deps.Metrics, deps.Log, cfg.MaxInFlight); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return s, nil
}

// ownerOf names this replica. Where the database has one process at a time, the
// name can stay the same, and what a crash left leased is free at once.
func ownerOf(cfg Config) (string, runner.Ownership, error) {
	alone, err := connect.OneProcess(cfg.DB)
	owner, ownership := ids.New(ids.Replica), runner.Shared
	if alone {
		owner, ownership = "scheduler", runner.Exclusive
	}
	if cfg.InstanceID != "" {
		owner = cfg.InstanceID
	}
	return owner, ownership, err
}

// Handler implements app.Service.
func (s *Service) Handler() http.Handler { return s.handler }

// Routes lists what Handler serves.
func (s *Service) Routes() []httpx.Route { return s.routes }

// Peers implements app.Dependent.
func (s *Service) Peers() []app.Peer { return s.peers }

// Ready implements app.Service: the schema is right. A peer that is away makes
// tasks wait, not the scheduler unready.
func (s *Service) Ready(ctx context.Context) error { return s.store.Ready(ctx) }

// Run implements app.Service. The workers' snapshot and the outbox go on until
// the runner has drained, because executions under way need them.
func (s *Service) Run(ctx context.Context) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var helpers errgroup.Group
	helpers.Go(func() error { s.pool.Run(background); return nil })
	helpers.Go(func() error { s.outbox.Run(background); return nil })
	err := s.runner.Run(ctx)
	stop()
	if waitErr := helpers.Wait(); err == nil {
		err = waitErr
	}
	if err != nil {
		return fmt.Errorf("execute tasks: %w", err)
	}
	return nil
}

// Close implements app.Service.
func (s *Service) Close() error { return s.store.Close() }
