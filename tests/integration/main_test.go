//go:build unix

package integration

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/testcontainers/testcontainers-go"

	"github.com/pocketflowgo/pocketflow/tests/pgtest"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

const (
	// runVariable set to 1 runs the tests of this package.
	runVariable = "POCKETFLOW_INTEGRATION"
	// requireVariable set to 1 makes the lack of an engine a failure.
	requireVariable = "POCKETFLOW_REQUIRE_DOCKER"

	engineTimeout = 10 * time.Second
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run starts the server that pgtest's databases are on, and ends it with the
// tests: by itself that is left to a helper of the engine, which not every
// engine has.
func run(m *testing.M) int {
	// One that other tests are given may be of any version.
	if err := os.Unsetenv(pgtest.URLVariable); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if os.Getenv(runVariable) != "1" || engine() != nil {
		return suitetest.Main(m)
	}
	server, err := pgtest.Start(context.Background())
	if err != nil {
		fmt.Fprintf(os.Stderr, "integration: start Postgres: %v\n", err)
		return 1
	}
	defer func() {
		if err := server.Stop(); err != nil {
			fmt.Fprintf(os.Stderr, "integration: stop Postgres: %v\n", err)
		}
	}()
	if err := os.Setenv(pgtest.URLVariable, server.URL); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return suitetest.Main(m)
}

// needEngine skips the test unless it was asked for and an engine answers.
func needEngine(t *testing.T) {
	t.Helper()
	if os.Getenv(runVariable) != "1" {
		t.Skip("integration: SKIPPED: run by make integration, which sets " + runVariable + "=1")
	}
	err := engine()
	switch {
	case err == nil:
	case os.Getenv(requireVariable) == "1":
		t.Fatalf("integration: no Docker engine: %v", err)
	default:
		t.Skipf("integration: SKIPPED: no Docker engine: %v", err)
	}
}

// engine is nil when a Docker engine answers. It is asked once per process.
var engine = sync.OnceValue(func() (err error) {
	// The library panics where it finds no sign of an engine.
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("%v", reason)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), engineTimeout)
	defer cancel()
	provider, err := testcontainers.NewDockerProvider()
	if err != nil {
		return err
	}
	defer func() { _ = provider.Close() }()
	return provider.Health(ctx)
})
