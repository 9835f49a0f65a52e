package contract

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	catalog "github.com/pocketflowgo/pocketflow/services/flow-catalog"
	"github.com/pocketflowgo/pocketflow/services/gateway"
	queuegateway "github.com/pocketflowgo/pocketflow/services/queue-gateway"
	"github.com/pocketflowgo/pocketflow/services/registry"
	"github.com/pocketflowgo/pocketflow/services/scheduler"
	"github.com/pocketflowgo/pocketflow/shared/app"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/httpx/inproc"
)

// document is the API's description, checked as OpenAPI 3.1 with its examples.
func document(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(gateway.OpenAPI)
	require.NoError(t, err)
	require.NoError(t, doc.Validate(t.Context(), openapi3.EnableExamplesValidation(), openapi3.IsOpenAPI31OrLater()))
	return doc
}

// routed is what every service is.
type routed interface {
	app.Service
	Routes() []httpx.Route
}

// services are the five services of a suite on fresh databases, by name. They
// are open and not running.
func services(t *testing.T) map[string]routed {
	t.Helper()
	dir := t.TempDir()
	transport := inproc.NewTransport(http.DefaultTransport)
	hc := &http.Client{Transport: transport}
	all := map[string]routed{}
	add := func(name string, s routed, err error) {
		require.NoError(t, err, name)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		transport.Handle(name+".inproc", s.Handler())
		all[name] = s
	}
	db := func(name string) string { return "sqlite://" + filepath.ToSlash(filepath.Join(dir, name+".db")) }
	log := zap.NewNop()

	var r registry.Config
	defaults(t, &r)
	r.DB = db("registry")
	reg, err := registry.New(t.Context(), r, registry.Deps{Log: log})
	add("registry", reg, err)

	var c catalog.Config
	defaults(t, &c)
	c.DB = db("catalog")
	cat, err := catalog.New(t.Context(), c, catalog.Deps{Log: log})
	add("catalog", cat, err)

	var q queuegateway.Config
	defaults(t, &q)
	q.DB, q.SchedulerURL = db("queue"), "http://scheduler.inproc"
	queue, err := queuegateway.New(t.Context(), q, queuegateway.Deps{Log: log, HTTP: hc})
	add("queue", queue, err)

	var s scheduler.Config
	defaults(t, &s)
	s.DB, s.RegistryURL, s.CatalogURL, s.QueueURL = db("scheduler"), "http://registry.inproc", "http://catalog.inproc", "http://queue.inproc"
	s.ScriptAllow = []string{"sh"}
	sched, err := scheduler.New(t.Context(), s, scheduler.Deps{Log: log, HTTP: hc})
	add("scheduler", sched, err)

	var g gateway.Config
	defaults(t, &g)
	g.RegistryURL, g.CatalogURL, g.SchedulerURL, g.QueueURL = "http://registry.inproc", "http://catalog.inproc", "http://scheduler.inproc", "http://queue.inproc"
	front, err := gateway.New(t.Context(), g, gateway.Deps{Log: log, HTTP: hc})
	add("gateway", front, err)
	return all
}

// defaults fills a service's settings with what its tags say.
func defaults(t *testing.T, cfg any) {
	t.Helper()
	parser, err := kong.New(cfg)
	require.NoError(t, err)
	_, err = parser.Parse(nil)
	require.NoError(t, err)
}

// serve runs a suite and returns its address.
func serve(t *testing.T) string {
	t.Helper()
	all := services(t)
	ctx, stop := context.WithCancel(t.Context())
	var running errgroup.Group
	for _, s := range all {
		running.Go(func() error { return s.Run(ctx) })
	}
	server := httptest.NewServer(all["gateway"].Handler())
	t.Cleanup(func() {
		stop()
		require.NoError(t, running.Wait())
		server.Close()
	})
	return server.URL
}
