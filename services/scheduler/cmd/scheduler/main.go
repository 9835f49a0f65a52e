// Command scheduler serves PocketFlow's scheduler.
package main

import (
	"context"
	"os"

	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/services/scheduler"
	"github.com/pocketflowgo/pocketflow/shared/app"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
)

func main() {
	os.Exit(app.Main("scheduler", "Executes tasks.", &scheduler.Config{},
		func(ctx context.Context, cfg *scheduler.Config, log *zap.Logger) (app.Service, error) {
			return scheduler.New(ctx, *cfg, scheduler.Deps{Log: log, HTTP: httpx.NewHTTPClient()})
		}))
}
