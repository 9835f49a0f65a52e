package pgtest

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/modules/postgres"
)

const (
	containerImage = "postgres:17-alpine"
	// containerTimeout leaves room for fetching the image.
	containerTimeout = 3 * time.Minute
	// engineTimeout bounds the question whether an engine answers: every test
	// process on a machine without one waits for it.
	engineTimeout = 1500 * time.Millisecond
)

// dockerAnswers tells whether a Docker engine is there and answers.
func dockerAnswers(ctx context.Context) (answers bool) {
	if !dockerConfigured() {
		return false
	}
	// The provider panics where no engine can be found.
	defer func() {
		if recover() != nil {
			answers = false
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, engineTimeout)
	defer cancel()
	provider, err := testcontainers.NewDockerProvider(testcontainers.WithLogger(log.New(io.Discard, "", 0)))
	if err != nil {
		return false
	}
	return provider.Health(ctx) == nil
}

// dockerConfigured looks for a sign of an engine, which takes no time; asking
// the library first takes seconds where there is none.
func dockerConfigured() bool {
	for _, variable := range []string{"DOCKER_HOST", "TESTCONTAINERS_HOST_OVERRIDE"} {
		if os.Getenv(variable) != "" {
			return true
		}
	}
	files := []string{"/var/run/docker.sock"}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		files = append(files, filepath.Join(dir, "docker.sock"))
	}
	if home, err := os.UserHomeDir(); err == nil {
		files = append(files,
			filepath.Join(home, ".testcontainers.properties"),
			filepath.Join(home, ".docker", "run", "docker.sock"),
			filepath.Join(home, ".docker", "desktop", "docker.sock"))
	}
	for _, file := range files {
		if _, err := os.Stat(file); err == nil {
			return true
		}
	}
	return false
}

// startContainer starts a server whose container testcontainers' reaper
// removes once this process is gone.
func startContainer(ctx context.Context) (*Server, error) {
	ctx, cancel := context.WithTimeout(ctx, containerTimeout)
	defer cancel()
	options := []testcontainers.ContainerCustomizer{
		postgres.WithUsername("postgres"),
		postgres.WithPassword("postgres"),
		postgres.WithDatabase("postgres"),
		postgres.BasicWaitStrategies(),
		testcontainers.WithCmd(append([]string{"postgres"}, serverSettings()...)...),
	}
	if !durable() { // else it lies in a volume, which goes with the container
		options = append(options, testcontainers.WithTmpfs(map[string]string{"/var/lib/postgresql/data": "rw"}))
	}
	container, err := postgres.Run(ctx, containerImage, options...)
	stop := func() error { return testcontainers.TerminateContainer(container) }
	if err != nil {
		_ = stop() // the start's error is the one that counts
		return nil, fmt.Errorf("run %s: %w", containerImage, err)
	}
	dsn, err := container.ConnectionString(ctx, "sslmode=disable")
	if err != nil {
		_ = stop()
		return nil, fmt.Errorf("address of the container: %w", err)
	}
	return &Server{URL: dsn, stop: stop}, nil
}

func durable() bool { return os.Getenv(DurableVariable) == "1" }

// serverSettings are what the servers of this package differ in from the
// default: no durability, unless it is asked for, and room for many tests'
// pools.
func serverSettings() []string {
	settings := []string{
		"-c", "max_connections=500",
		"-c", "shared_buffers=64MB",
	}
	if durable() {
		return settings
	}
	return append(settings,
		"-c", "fsync=off",
		"-c", "synchronous_commit=off",
		"-c", "full_page_writes=off",
	)
}
