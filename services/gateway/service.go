package gateway

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/services/gateway/internal/cors"
	"github.com/pocketflowgo/pocketflow/services/gateway/internal/proxy"
	"github.com/pocketflowgo/pocketflow/shared/app"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
)

// Deps are what the gateway is handed.
type Deps struct {
	Log *zap.Logger
	// HTTP reaches the services. Only its Transport is used: what an answer
	// means, redirects included, is the caller's affair.
	HTTP    *http.Client
	Metrics prometheus.Registerer // nil: nobody looks at them
	Traces  trace.TracerProvider  // nil: nobody traces
}

// Service is a gateway.
type Service struct {
	routes  []httpx.Route
	handler http.Handler
	peers   []app.Peer
}

// New makes a gateway. It starts nothing and asks nothing of the services,
// which may come up after it.
func New(_ context.Context, cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	backends := map[proxy.Service]*proxy.Backend{}
	var peers []app.Peer
	for _, b := range cfg.backends() {
		base, err := url.Parse(b.base)
		if err != nil {
			return nil, fmt.Errorf("URL of the %s: %w", b.service, err)
		}
		backends[b.service] = proxy.NewBackend(b.service, base, deps.HTTP.Transport)
		peers = append(peers, app.Peer{Name: string(b.service), URL: b.base})
	}
	routes := []httpx.Route{{Method: http.MethodGet, Path: "/openapi.yaml", Handler: serveOpenAPI}}
	for _, r := range table {
		routes = append(routes, httpx.Route{
			Method: r.method, Path: r.path, Aliases: r.aliases, Handler: backends[r.service].Forward, Background: background[r.path],
		})
	}
	requests, err := httpx.NewMetrics(deps.Metrics, "gateway")
	if err != nil {
		return nil, err
	}
	router, err := httpx.NewRouter(httpx.Deps{Log: deps.Log, Metrics: requests, Traces: deps.Traces}, routes)
	if err != nil {
		return nil, fmt.Errorf("make router: %w", err)
	}
	return &Service{routes: routes, handler: cors.Allow(cfg.AllowedOrigins, router), peers: peers}, nil
}

// Routes lists what the gateway serves.
func (s *Service) Routes() []httpx.Route { return s.routes }

// Handler serves the routes.
func (s *Service) Handler() http.Handler { return s.handler }

// Run blocks until ctx ends: all the gateway's work happens in requests.
func (s *Service) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Peers implements app.Dependent.
func (s *Service) Peers() []app.Peer { return s.peers }

// Ready is always nil. A service that is away makes its own routes answer 503;
// taking the gateway out of rotation for it would take the others away too.
func (s *Service) Ready(context.Context) error { return nil }

// Close has nothing to free.
func (s *Service) Close() error { return nil }
