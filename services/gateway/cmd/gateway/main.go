// Command gateway serves the documented routes of all services at one address.
package main

import (
	"context"
	"os"

	"github.com/pocketflowgo/pocketflow/services/gateway"
	"github.com/pocketflowgo/pocketflow/shared/app"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
)

func main() {
	build := func(ctx context.Context, cfg *gateway.Config, deps app.Deps) (app.Service, error) {
		return gateway.New(ctx, *cfg, gateway.Deps{Log: deps.Log, Metrics: deps.Metrics, Traces: deps.Traces, HTTP: httpx.NewHTTPClient()})
	}
	os.Exit(app.Main("gateway", "The front door of PocketFlow: every documented route at one address.", &gateway.Config{}, build))
}
