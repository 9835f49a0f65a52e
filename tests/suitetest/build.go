//go:build unix

package suitetest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Program is a binary of the suite.
type Program string

// The binaries.
const (
	PocketFlow Program = "pocketflow"
	Registry   Program = "registry"
	Catalog    Program = "flow-catalog"
	Scheduler  Program = "scheduler"
	Queue      Program = "queue-gateway"
	Gateway    Program = "gateway"
	DemoWorker Program = "demo-worker"
)

// Programs lists every binary.
var Programs = []Program{PocketFlow, Registry, Catalog, Scheduler, Queue, Gateway, DemoWorker}

// BinVariable names a directory with built binaries to use instead of building
// them: those of a release, or built with -race.
const BinVariable = "POCKETFLOW_TEST_BIN"

const (
	// packages are all binaries in one go command, which compiles what they
	// share once.
	packages = "github.com/pocketflowgo/pocketflow/services/..."
	// buildTimeout is for a machine with an empty build cache.
	buildTimeout = 5 * time.Minute
)

// built is the directory of the binaries. It is package state because the
// tests of one process have nothing else to share.
var built = sync.OnceValues(func() (string, error) {
	if dir := os.Getenv(BinVariable); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.MkdirTemp("", "pocketflow-bin-")
	if err != nil {
		return "", fmt.Errorf("make a directory for the binaries: %w", err)
	}
	toRemove = dir
	ctx, cancel := context.WithTimeout(context.Background(), buildTimeout)
	defer cancel()
	// Without the version stamp: go would fail in a checkout that git refuses.
	build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", dir+string(filepath.Separator), packages)
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the binaries: %w\n%s", err, output)
	}
	return dir, nil
})

// toRemove is the directory that built made, if it made one.
var toRemove string

// Main is the TestMain of a package that starts binaries: it removes what was
// built when the tests have run.
func Main(m *testing.M) int {
	code := m.Run()
	if toRemove != "" {
		if err := os.RemoveAll(toRemove); err != nil {
			fmt.Fprintf(os.Stderr, "remove the binaries: %v\n", err)
		}
	}
	return code
}

// BinDir is the directory of the binaries. The first call of a test process
// builds them.
func BinDir(t testing.TB) string {
	t.Helper()
	dir, err := built()
	if err != nil {
		t.Fatalf("suitetest: %v", err)
	}
	return dir
}
