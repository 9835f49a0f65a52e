// Command pgtest runs a command with a PostgreSQL server for tests: it starts
// one as package pgtest does, hands its URL over in POCKETFLOW_TEST_POSTGRES_URL
// and stops it at the end. Several packages then share one server. Where there
// is none to be had it says so and runs nothing, which is a failure only under
// POCKETFLOW_REQUIRE_POSTGRES=1.
//
//	go run ./pgtest/cmd/pgtest -- go test ./...
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/pocketflowgo/pocketflow/tests/pgtest"
)

func main() {
	args := os.Args[1:]
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, "usage: pgtest [--] COMMAND [ARGUMENT...]")
		os.Exit(2)
	}
	code, err := run(args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "pgtest: %v\n", err)
	}
	os.Exit(code)
}

// run returns the command's exit code; 1 with an error of its own.
func run(args []string) (int, error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server, err := pgtest.Start(ctx)
	if errors.Is(err, pgtest.ErrNoServer) && os.Getenv(pgtest.RequireVariable) != "1" {
		fmt.Fprintf(os.Stderr, "\npgtest: SKIPPED %v: %s\n", args, pgtest.HowToGetOne)
		return 0, nil
	}
	if err != nil {
		return 1, err
	}
	command := exec.CommandContext(ctx, args[0], args[1:]...)
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	command.Env = append(os.Environ(), pgtest.URLVariable+"="+server.URL)
	err = command.Run()
	if stopErr := server.Stop(); stopErr != nil {
		return 1, fmt.Errorf("stop the server: %w", stopErr)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(exit.ExitCode(), 1), nil
	}
	if err != nil {
		return 1, err
	}
	return 0, nil
}
