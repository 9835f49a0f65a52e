//go:build unix

package integration

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/types/build"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"

	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

// imagesVariable is the tag of images that are there already.
const imagesVariable = "POCKETFLOW_TEST_IMAGES"

const (
	// builtTag is that of the images which this package builds. They stay, so
	// that the next build has only what has changed to do.
	builtTag = "integration"
	// buildTimeout is for an engine that has built nothing yet.
	buildTimeout = 10 * time.Minute
)

// deployed are the programs that run in containers.
var deployed = []suitetest.Program{
	suitetest.Registry, suitetest.Catalog, suitetest.Scheduler, suitetest.Queue, suitetest.Gateway, suitetest.DemoWorker,
}

// images makes sure of all images, once per process, and returns their tag.
var images = sync.OnceValues(func() (tag string, err error) {
	if tag := os.Getenv(imagesVariable); tag != "" {
		return tag, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), buildTimeout)
	defer cancel()
	for _, program := range deployed {
		if err := buildImage(ctx, program); err != nil {
			return "", err
		}
	}
	return builtTag, nil
})

// buildImage builds by the engine's own BuildKit, which needs no plugin of the
// docker command.
func buildImage(ctx context.Context, program suitetest.Program) error {
	service, said := string(program), &bytes.Buffer{}
	provider, err := testcontainers.NewDockerProvider()
	if err != nil {
		return err
	}
	defer func() { _ = provider.Close() }()
	_, err = provider.BuildImage(ctx, &testcontainers.ContainerRequest{FromDockerfile: testcontainers.FromDockerfile{
		Context: filepath.Join("..", ".."), Dockerfile: "deploy/Dockerfile", Repo: "pocketflow/" + service, Tag: builtTag, KeepImage: true,
		BuildArgs:            map[string]*string{"SERVICE": &service},
		BuildLogWriter:       said,
		BuildOptionsModifier: func(options *client.ImageBuildOptions) { options.Version = build.BuilderBuildKit },
	}})
	if err != nil {
		return fmt.Errorf("build the image of %s: %w\n%s", service, err, said)
	}
	return nil
}

func image(t *testing.T, program suitetest.Program) string {
	t.Helper()
	tag, err := images()
	if err != nil {
		t.Fatalf("integration: %v", err)
	}
	return "pocketflow/" + string(program) + ":" + tag
}

func TestImages_AreBuiltFromTheTree(t *testing.T) {
	t.Parallel()
	needEngine(t)
	begin := time.Now()
	for _, program := range deployed {
		t.Log(image(t, program))
	}
	t.Logf("in %v", time.Since(begin).Round(time.Millisecond))
}
