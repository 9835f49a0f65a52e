// Command scheduler serves PocketFlow's scheduler.
package main

import (
	"context"
	"os"

	"github.com/pocketflowgo/pocketflow/services/scheduler"
	"github.com/pocketflowgo/pocketflow/shared/app"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
	"github.com/pocketflowgo/pocketflow/shared/storage/migratecmd"
)

func main() {
	cfg := &scheduler.Config{}
	build := func(ctx context.Context, cfg *scheduler.Config, deps app.Deps) (app.Service, error) {
		return scheduler.New(ctx, *cfg, scheduler.Deps{Log: deps.Log, Metrics: deps.Metrics, Traces: deps.Traces, HTTP: httpx.NewHTTPClient()})
	}
	os.Exit(app.Main("scheduler", "Executes tasks.", cfg, build, migratecmd.New(cfg)))
}
