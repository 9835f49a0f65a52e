package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/alecthomas/kong"

	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/remote"
	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/suite"
	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/term"
	"github.com/pocketflowgo/pocketflow/shared/app"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
)

// grammar is the command line. The fields' tags are its documentation.
type grammar struct {
	Server string      `help:"Base URL of the server." default:"http://127.0.0.1:8070" env:"POCKETFLOW_SERVER,SCHEDULER_BASE"`
	Output term.Format `short:"o" help:"Form of the result: table or json. Errors are text on stderr and an exit code with either." default:"table" enum:"table,json" env:"POCKETFLOW_OUTPUT"`

	Serve    serveCmd     `cmd:"" help:"Serve: all services in this process, on SQLite unless told otherwise."`
	Demo     demoCmd      `cmd:"" help:"Run the example flows with real workers and check the results."`
	Flow     flowCmds     `cmd:"" help:"Publish and look at flows."`
	Task     taskCmds     `cmd:"" help:"Start tasks and follow them."`
	Approval approvalCmds `cmd:"" help:"Look at what waits for a decision, and decide it."`
	Worker   workerCmds   `cmd:"" help:"Look at workers."`
	Queue    queueCmds    `cmd:"" help:"Look after the jobs of pull workers."`
	Migrate  migrateCmd   `cmd:"" help:"Bring the databases' schemas forward or back, or tell where they stand."`
	Store    storeCmds    `cmd:"" help:"Back up the databases, or move those of a stopped suite elsewhere."`
	Config   configCmd    `cmd:"" help:"Print every setting of serve and where it comes from; passwords are hidden."`
	Version  versionCmd   `cmd:"" help:"Print the version."`

	Healthcheck healthcheckCmd `cmd:"" help:"Ask the server whether it is ready; exit 0 when it is. For containers."`
}

// Streams are where a command writes.
type Streams struct {
	Out io.Writer // results
	Err io.Writer // progress, warnings, errors
}

// Main runs one command line (without the program's name) until it is done or
// ctx ends, and returns how the process ends.
func Main(ctx context.Context, args []string, streams Streams) Exit {
	g := &grammar{}
	helped := false
	parser, err := newParser(g, streams, func(int) { helped = true })
	if err != nil {
		report(streams.Err, err)
		return ExitUsage
	}
	parsed, err := parser.Parse(args)
	if helped { // --help has printed; what else is wrong with the line is moot
		return ExitOK
	}
	if err != nil {
		fmt.Fprintf(streams.Err, "pocketflow: %s; see pocketflow --help\n", term.Printable(app.OneLine(err)))
		return ExitUsage
	}
	s := &session{Streams: streams, server: g.Server, output: g.Output, http: httpx.NewHTTPClient(), parsed: parsed}
	parsed.BindTo(ctx, (*context.Context)(nil))
	err = parsed.Run(s)
	if err != nil && ctx.Err() != nil { // what failed, failed because of it
		return ExitInterrupted
	}
	if err != nil && !errors.Is(err, errTold) {
		report(streams.Err, err)
	}
	return exitOf(err)
}

// errTold is a failure that the command has already told about.
var errTold = errors.New("failed")

func newParser(g *grammar, streams Streams, exit func(int)) (*kong.Kong, error) {
	return kong.New(g,
		kong.Name("pocketflow"),
		kong.Description("PocketFlow runs workflows that are JSON or YAML graphs.\n\n"+exitHelp),
		kong.Writers(streams.Out, streams.Err),
		kong.Exit(exit),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.PostBuild(suite.AdjustFlags),
	)
}

// session is what every command works with.
type session struct {
	Streams
	server string
	output term.Format
	http   *http.Client
	parsed *kong.Context
}

// connect makes the clients of the server that the command is for.
func (s *session) connect() (*remote.Server, error) {
	srv, err := remote.Connect(s.server, s.http)
	if err != nil {
		return nil, usagef("--server: %v", err)
	}
	return srv, nil
}

// print writes a result: the value itself as JSON, or what table writes.
func (s *session) print(value any, table func(w io.Writer) error) error {
	switch s.output {
	case term.JSON:
		return term.WriteJSON(s.Out, value)
	case term.Table:
		return table(s.Out)
	default:
		return usagef("unknown output %q", s.output)
	}
}

type healthcheckCmd struct{}

func (healthcheckCmd) Run(ctx context.Context, s *session) error {
	client, err := httpx.NewClient(s.server, s.http)
	if err != nil {
		return usagef("--server: %v", err)
	}
	ctx, cancel := context.WithTimeout(ctx, healthPatience)
	defer cancel()
	_, err = client.Do(ctx, httpx.Call{Method: http.MethodGet, Path: "/readyz"})
	return err
}

// healthPatience is how long a server may take to say that it is well.
const healthPatience = 5 * time.Second

type versionCmd struct{}

func (versionCmd) Run(s *session) error {
	version := struct {
		Version string `json:"version"`
		Commit  string `json:"commit,omitempty"`
	}{app.Version, app.Commit}
	return s.print(version, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, app.VersionLine("pocketflow"))
		return err
	})
}
