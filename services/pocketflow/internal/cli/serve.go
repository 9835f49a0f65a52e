package cli

import (
	"context"
	"fmt"
	"net"

	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/suite"
	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/term"
	"github.com/pocketflowgo/pocketflow/shared/app"
)

// serveCmd are the settings of the suite and of its process.
type serveCmd struct {
	suite.Config
	app.Process
}

func (c serveCmd) Run(ctx context.Context, s *session) error {
	if err := c.Check(c.Addr); err != nil {
		return err
	}
	telemetry, err := c.Open("pocketflow")
	if err != nil {
		return err
	}
	defer telemetry.Close()
	log := telemetry.Log
	// Sync reports an error on terminals, where there is nothing to sync.
	defer func() { _ = log.Sync() }()
	services, err := suite.New(ctx, c.Config, suite.Deps{Log: log, Metrics: telemetry.Metrics, Traces: telemetry.Traces})
	if err != nil {
		return err
	}
	return app.Serve(ctx, app.ServeParams{
		Addr: c.Addr, Service: services, Log: log, Drain: c.Drain, Endpoints: c.Endpoints(telemetry),
		Started: func(addr net.Addr) {
			if term.IsTerminal(s.Out) {
				fmt.Fprintln(s.Out, c.greeting(addr))
			}
		},
	})
}

// greeting is what a person at a terminal is told when the server is up.
func (c serveCmd) greeting(addr net.Addr) string {
	place := ""
	if local := c.Locate(); len(local) > 0 { // c is a copy
		place = " (data in " + c.Data + ")"
	}
	return fmt.Sprintf("PocketFlow is at http://%s%s. Ctrl-C stops it.", addr, place)
}
