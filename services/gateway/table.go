package gateway

import (
	"net/http"

	"github.com/pocketflowgo/pocketflow/services/gateway/internal/proxy"
)

// passed is one documented route and the service that it belongs to.
type passed struct {
	method  string
	path    string
	service proxy.Service
	aliases []string // short forms that workers in the field use
}

// background are the routes that machines ask all the time. They begin no
// traces.
var background = map[string]bool{
	"/workers/heartbeat": true,

	"/queue/poll": true, "/queue/complete": true, "/queue/heartbeat": true, "/queue/update_run": true, "/queue/logs": true,
}

// table names every route that is passed on, and by that every route of the
// suite that is reachable from outside. The contract tests hold it, the
// services' own routes and openapi.yaml against each other.
var table = []passed{
	{http.MethodPost, "/workers/register", proxy.Registry, []string{"/register"}},
	{http.MethodPost, "/workers/heartbeat", proxy.Registry, []string{"/heartbeat"}},
	{http.MethodPost, "/workers/deregister", proxy.Registry, nil},
	{http.MethodGet, "/workers/list", proxy.Registry, []string{"/list"}},
	{http.MethodGet, "/workers/allocate", proxy.Registry, []string{"/allocate"}},

	{http.MethodPost, "/flows", proxy.Catalog, nil},
	{http.MethodGet, "/flows", proxy.Catalog, nil},
	{http.MethodGet, "/flows/get", proxy.Catalog, nil},
	{http.MethodPost, "/flows/validate", proxy.Catalog, nil},
	{http.MethodPost, "/flows/version", proxy.Catalog, nil},
	{http.MethodGet, "/flows/version", proxy.Catalog, nil},
	{http.MethodGet, "/flows/version/get", proxy.Catalog, nil},

	{http.MethodPost, "/tasks", proxy.Scheduler, nil},
	{http.MethodGet, "/tasks", proxy.Scheduler, nil},
	{http.MethodGet, "/tasks/get", proxy.Scheduler, nil},
	{http.MethodPost, "/tasks/cancel", proxy.Scheduler, nil},
	{http.MethodGet, "/tasks/runs", proxy.Scheduler, nil},
	{http.MethodGet, "/tasks/logs", proxy.Scheduler, nil},
	{http.MethodGet, "/tasks/events", proxy.Scheduler, nil},
	{http.MethodPost, "/tasks/signal", proxy.Scheduler, nil},
	{http.MethodPost, "/tasks/run_once", proxy.Scheduler, nil},

	{http.MethodGet, "/approvals", proxy.Scheduler, nil},
	{http.MethodPost, "/approvals/decide", proxy.Scheduler, nil},

	{http.MethodPost, "/queue/poll", proxy.Queue, nil},
	{http.MethodPost, "/queue/complete", proxy.Queue, nil},
	{http.MethodPost, "/queue/heartbeat", proxy.Queue, nil},
	{http.MethodPost, "/queue/update_run", proxy.Queue, nil},
	{http.MethodPost, "/queue/logs", proxy.Queue, nil},

	{http.MethodGet, "/queue/stats", proxy.Queue, nil},
	{http.MethodGet, "/queue/dead", proxy.Queue, nil},
	{http.MethodPost, "/queue/requeue", proxy.Queue, nil},
	{http.MethodPost, "/queue/discard", proxy.Queue, nil},
	{http.MethodGet, "/queue/limits", proxy.Queue, nil},
	{http.MethodPost, "/queue/limits", proxy.Queue, nil},
}
