package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"go.uber.org/zap"
)

// Set by the build (-ldflags -X).
var (
	// Version is the release, for example "v0.3.1"; "dev" in a plain build.
	Version = "dev"
	// Commit is the source revision; "" in a plain build.
	Commit = ""
)

// Exit codes of every binary of the suite.
const (
	exitOK     = 0
	exitFailed = 1   // it ran and could not go on
	exitUsage  = 2   // flags or settings are wrong
	exitForced = 130 // a second signal cut the drain short
)

// Config is a service's settings: a struct with kong tags.
type Config interface {
	// ListenAddr is the address to serve at, host:port.
	ListenAddr() string
}

// Process are the settings that every process has besides its service's own.
type Process struct {
	Telemetry `embed:""`

	Insecure  bool          `help:"Listen on more than loopback, though there is no authentication." env:"INSECURE"`
	Drain     time.Duration `help:"Longest time that a stop waits for work under way." default:"20s" env:"DRAIN_TIMEOUT"`
	AdminAddr string        `help:"Address for operators alone: profiles, the log level, metrics. None by default." env:"ADMIN_ADDR" placeholder:"HOST:PORT"`
	MetricsAt MetricsPlace  `help:"Where /metrics is: at the listener (and the admin address), or at the admin address alone." default:"listener" enum:"listener,admin" env:"METRICS_AT"`
}

// Main is the whole main of a service: it reads the command line, builds the
// service and serves until a signal. It returns the exit code.
//
// Commands: serve (the default), healthcheck (asks a running instance's
// /readyz, for images without a shell), version, and those that the binary
// brings. build gets the settings and what the process is seen by; it must start
// nothing.
func Main[C Config](name, about string, cfg C, build func(context.Context, C, Deps) (Service, error), own ...Command) int {
	cli := newCommands(cfg)
	options := []kong.Option{kong.Name(name), kong.Description(about), kong.UsageOnError()}
	for _, command := range own {
		options = append(options, kong.DynamicCommand(command.Name, command.Help, "", command.Grammar))
	}
	parser, err := kong.New(cli, options...)
	if err != nil {
		return fail(name, exitUsage, err)
	}
	parsed, err := parser.Parse(os.Args[1:])
	if err != nil {
		return fail(name, exitUsage, err)
	}
	switch command, _, _ := strings.Cut(parsed.Command(), " "); command {
	case "serve":
		err = serve(name, cfg, cli.Serve.Process, build)
	case "version":
		fmt.Fprintln(os.Stdout, VersionLine(name))
		return exitOK
	case "healthcheck":
		err = Healthcheck(context.Background(), cfg.ListenAddr())
	default:
		err = runOwn(parsed)
	}
	if err != nil {
		return fail(name, exitFailed, err)
	}
	return exitOK
}

// Command is a command that one binary has besides those of all.
type Command struct {
	Name, Help string
	// Grammar is a pointer to a struct with kong tags; what it runs has a method
	// Run(context.Context) error.
	Grammar any
}

func runOwn(parsed *kong.Context) error {
	ctx, stop := SignalContext(context.Background())
	defer stop()
	parsed.BindTo(ctx, (*context.Context)(nil))
	return parsed.Run()
}

// commands is a service's command line. Both commands share one Config value,
// of which kong fills the chosen command's flags. The fields are interfaces
// because kong puts a new struct in the place of an embedded pointer.
type commands struct {
	Serve struct {
		Config  Config  `embed:""`
		Process Process `embed:""`
	} `cmd:"" default:"withargs" help:"Serve until SIGINT or SIGTERM (the default)."`
	Healthcheck struct {
		Config Config `embed:""`
	} `cmd:"" help:"Ask the running instance whether it is ready; exit 0 when it is."`
	Version struct{} `cmd:"" help:"Print the version."`
}

func newCommands(cfg Config) *commands {
	cli := &commands{}
	cli.Serve.Config = cfg
	cli.Healthcheck.Config = cfg
	return cli
}

func fail(name string, code int, err error) int {
	fmt.Fprintf(os.Stderr, "%s: %s\n", name, OneLine(err))
	return code
}

// OneLine is an error's text on one line, which is what people read and log
// collectors keep: errors that were joined come one a line.
func OneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

func serve[C Config](name string, cfg C, proc Process, build func(context.Context, C, Deps) (Service, error)) error {
	if err := proc.Check(cfg.ListenAddr()); err != nil {
		return err
	}
	telemetry, err := proc.Open(name)
	if err != nil {
		return err
	}
	defer telemetry.Close()
	log := telemetry.Log.With(zap.String("service", name))
	// Sync reports an error on terminals, where there is nothing to sync.
	defer func() { _ = log.Sync() }()

	ctx, stop := SignalContext(context.Background())
	defer stop()
	service, err := build(ctx, cfg, Deps{Log: log, Metrics: telemetry.Metrics, Traces: telemetry.Traces})
	if err != nil {
		return err
	}
	return Serve(ctx, ServeParams{
		Addr: cfg.ListenAddr(), Service: service, Log: log, Drain: proc.Drain, Endpoints: proc.Endpoints(telemetry),
	})
}

// VersionLine is what every binary's version command prints.
func VersionLine(name string) string {
	if Commit == "" {
		return name + " " + Version
	}
	return name + " " + Version + " (" + Commit + ")"
}

// Healthcheck is nil when the instance at addr (host:port) says that it is
// ready.
func Healthcheck(ctx context.Context, addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("address %q: %w", addr, err)
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/readyz", http.NoBody)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("not reachable: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
		return errors.New(string(body))
	}
	return nil
}
