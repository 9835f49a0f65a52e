// Command registry serves the workers' registrations and heartbeats.
package main

import (
	"context"
	"os"

	"github.com/pocketflowgo/pocketflow/services/registry"
	"github.com/pocketflowgo/pocketflow/shared/app"
	"github.com/pocketflowgo/pocketflow/shared/storage/migratecmd"
)

func main() {
	cfg := &registry.Config{}
	build := func(ctx context.Context, cfg *registry.Config, deps app.Deps) (app.Service, error) {
		return registry.New(ctx, *cfg, registry.Deps{Log: deps.Log, Metrics: deps.Metrics, Traces: deps.Traces})
	}
	os.Exit(app.Main("registry", "The registry of PocketFlow: which workers there are, what they offer, who is online.", cfg, build,
		migratecmd.New(cfg)))
}
