// Command flow-catalog serves flows and their versions.
package main

import (
	"context"
	"os"

	"go.uber.org/zap"

	catalog "github.com/pocketflowgo/pocketflow/services/flow-catalog"
	"github.com/pocketflowgo/pocketflow/shared/app"
	"github.com/pocketflowgo/pocketflow/shared/storage/migratecmd"
)

func main() {
	cfg := &catalog.Config{}
	build := func(ctx context.Context, cfg *catalog.Config, log *zap.Logger) (app.Service, error) {
		return catalog.New(ctx, *cfg, catalog.Deps{Log: log})
	}
	os.Exit(app.Main("flow-catalog", "The flow catalog of PocketFlow: flows and their published versions.", cfg, build,
		migratecmd.New(cfg)))
}
