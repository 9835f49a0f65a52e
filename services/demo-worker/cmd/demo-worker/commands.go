package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/alecthomas/kong"
	"go.uber.org/zap"

	demoworker "github.com/pocketflowgo/pocketflow/services/demo-worker"
	"github.com/pocketflowgo/pocketflow/shared/app"
)

const (
	name  = "demo-worker"
	about = "A worker with the services transform, sum, route, flaky and nap."
)

// Exit codes, as every binary of the suite has them.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// commands are the demo worker's own because the worker SDK listens by itself:
// it has to deregister before its listener closes.
type commands struct {
	Serve       serve       `cmd:"" default:"withargs" help:"Work until SIGINT or SIGTERM (the default)."`
	Healthcheck healthcheck `cmd:"" help:"Ask the running instance whether it is ready; exit 0 when it is."`
	Version     version     `cmd:"" help:"Print the version."`
}

func run(args []string) int {
	parser, err := kong.New(&commands{}, kong.Name(name), kong.Description(about), kong.UsageOnError())
	if err != nil {
		return fail(exitUsage, err)
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return fail(exitUsage, err)
	}
	if err := parsed.Run(); err != nil {
		return fail(exitFailed, err)
	}
	return exitOK
}

func fail(code int, err error) int {
	fmt.Fprintf(os.Stderr, "%s: %s\n", name, app.OneLine(err))
	return code
}

type serve struct {
	demoworker.Config `embed:""`
	app.Telemetry     `embed:""`
}

// Run serves until a signal.
func (s *serve) Run() error {
	telemetry, err := s.Open(name)
	if err != nil {
		return err
	}
	defer telemetry.Close()
	log := telemetry.Log
	// Sync reports an error on terminals, where there is nothing to sync.
	defer func() { _ = log.Sync() }()
	service, err := demoworker.New(s.Config, demoworker.Deps{Log: log.With(zap.String("service", name)), Traces: telemetry.Traces})
	if err != nil {
		return err
	}
	ctx, stop := app.SignalContext(context.Background())
	defer stop()
	return service.Run(ctx)
}

type healthcheck struct {
	demoworker.Config `embed:""`
}

// Run asks the running instance.
func (h *healthcheck) Run() error {
	addr := h.ListenAddr()
	if addr == "" {
		return errors.New("a pull worker without an address cannot be asked: give it --addr")
	}
	return app.Healthcheck(context.Background(), addr)
}

type version struct{}

// Run prints the version.
func (version) Run() error {
	_, err := fmt.Fprintln(os.Stdout, app.VersionLine(name))
	return err
}
