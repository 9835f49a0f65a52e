// Command queue-gateway serves the jobs that pull workers fetch.
package main

import (
	"context"
	"os"

	queuegateway "github.com/pocketflowgo/pocketflow/services/queue-gateway"
	"github.com/pocketflowgo/pocketflow/shared/app"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/storage/migratecmd"
)

func main() {
	cfg := &queuegateway.Config{}
	build := func(ctx context.Context, cfg *queuegateway.Config, deps app.Deps) (app.Service, error) {
		return queuegateway.New(ctx, *cfg, queuegateway.Deps{Log: deps.Log, Metrics: deps.Metrics, Traces: deps.Traces, HTTP: httpx.NewHTTPClient()})
	}
	os.Exit(app.Main("queue-gateway", "The queue-gateway of PocketFlow: the jobs that pull workers fetch, and their answers.", cfg, build,
		migratecmd.New(cfg)))
}
