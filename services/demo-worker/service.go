package demoworker

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/shared/pause"
	"github.com/pocketflowgo/pocketflow/shared/worker"
)

// Deps are what the demo worker uses of its surroundings. All may be left out.
type Deps struct {
	Log  *zap.Logger
	HTTP *http.Client // for calls to the suite
	// Traces gets a span of each execution.
	Traces trace.TracerProvider
}

// Service is the demo worker.
type Service struct {
	worker  *worker.Worker
	journal *journal
	delay   time.Duration
}

// New makes a demo worker; it starts nothing.
func New(cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	w, err := worker.New(cfg.worker(), worker.Deps{Log: deps.Log, HTTP: deps.HTTP, Traces: deps.Traces})
	if err != nil {
		return nil, err
	}
	s := &Service{worker: w, delay: cfg.Delay}
	if s.journal, err = openJournal(cfg.Journal); err != nil {
		return nil, err
	}
	for name, execute := range map[string]worker.Handler{
		"transform": transform, "sum": sum, "route": route, "flaky": flaky, "nap": nap,
	} {
		w.Handle(name, s.observed(execute))
	}
	return s, nil
}

// ID is the worker's id.
func (s *Service) ID() string { return s.worker.ID() }

// Run works until ctx ends, then drains. It is called once; it closes the
// journal.
func (s *Service) Run(ctx context.Context) (err error) {
	defer func() {
		if closeErr := s.journal.close(); err == nil {
			err = closeErr
		}
	}()
	return s.worker.Run(ctx)
}

// observed writes the execution down, then takes the artificial time, then
// executes.
func (s *Service) observed(execute worker.Handler) worker.Handler {
	return func(ctx context.Context, job worker.Job) (any, error) {
		if err := s.journal.write(job); err != nil {
			return nil, err
		}
		if s.delay > 0 && !pause.For(ctx, s.delay) {
			return nil, fmt.Errorf("given up: %w", context.Cause(ctx))
		}
		return execute(ctx, job)
	}
}
