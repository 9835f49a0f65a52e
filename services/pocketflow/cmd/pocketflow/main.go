// Command pocketflow is the whole of PocketFlow in one binary: the server, the
// command line and a demo.
package main

import (
	"context"
	"os"

	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/cli"
	"github.com/pocketflowgo/pocketflow/shared/app"
)

func main() {
	os.Exit(run())
}

func run() int {
	ctx, stop := app.SignalContext(context.Background())
	defer stop()
	return int(cli.Main(ctx, os.Args[1:], cli.Streams{Out: os.Stdout, Err: os.Stderr}))
}
