// Command gateway serves the documented routes of all services at one address.
package main

import (
	"context"
	"os"

	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/services/gateway"
	"github.com/pocketflowgo/pocketflow/shared/app"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
)

func main() {
	build := func(ctx context.Context, cfg *gateway.Config, log *zap.Logger) (app.Service, error) {
		return gateway.New(ctx, *cfg, gateway.Deps{Log: log, HTTP: httpx.NewHTTPClient()})
	}
	os.Exit(app.Main("gateway", "The front door of PocketFlow: every documented route at one address.", &gateway.Config{}, build))
}
