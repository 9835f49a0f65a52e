// Command flow-catalog serves flows and their versions.
package main

import (
	"context"
	"os"

	catalog "github.com/pocketflowgo/pocketflow/services/flow-catalog"
	"github.com/pocketflowgo/pocketflow/shared/app"
	"github.com/pocketflowgo/pocketflow/shared/storage/migratecmd"
)

func main() {
	cfg := &catalog.Config{}
	build := func(ctx context.Context, cfg *catalog.Config, deps app.Deps) (app.Service, error) {
		return catalog.New(ctx, *cfg, catalog.Deps{Log: deps.Log, Metrics: deps.Metrics, Traces: deps.Traces})
	}
	os.Exit(app.Main("flow-catalog", "The flow catalog of PocketFlow: flows and their published versions.", cfg, build,
		migratecmd.New(cfg)))
}
