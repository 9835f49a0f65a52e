package cli

import (
	"context"
	"fmt"
	"net"

	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/suite"
	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/term"
	"github.com/pocketflowgo/pocketflow/shared/app"
	"github.com/pocketflowgo/pocketflow/shared/obs"
)

// serveCmd are the settings of the suite and of its process.
type serveCmd struct {
	suite.Config
	app.Process
}

func (c serveCmd) Run(ctx context.Context, s *session) error {
	log, err := obs.NewLogger(c.LogLevel, c.LogFormat)
	if err != nil {
		return err
	}
	// Sync reports an error on terminals, where there is nothing to sync.
	defer func() { _ = log.Sync() }()
	services, err := suite.New(ctx, c.Config, suite.Deps{Log: log, HTTP: s.http})
	if err != nil {
		return err
	}
	return app.Serve(ctx, app.ServeParams{
		Name: "pocketflow", Addr: c.Addr, Service: services, Log: log, Drain: c.Drain,
		Started: func(addr net.Addr) {
			if term.IsTerminal(s.Out) {
				fmt.Fprintf(s.Out, "PocketFlow is at http://%s (data in %s). Ctrl-C stops it.\n", addr, c.Data)
			}
		},
	})
}
