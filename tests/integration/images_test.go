//go:build unix

package integration

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/types/build"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/stretchr/testify/require"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"

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
	// builtCommit is what the images are told that they were built from.
	builtCommit = "0123456789ab"

	// largestImage is what an image may have, in bytes.
	largestImage = 40_000_000
	// imageUser is whom a service in a container is.
	imageUser = "65532"
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
	service, version, commit, said := string(program), builtTag, builtCommit, &bytes.Buffer{}
	provider, err := testcontainers.NewDockerProvider()
	if err != nil {
		return err
	}
	defer func() { _ = provider.Close() }()
	_, err = provider.BuildImage(ctx, &testcontainers.ContainerRequest{FromDockerfile: testcontainers.FromDockerfile{
		Context: filepath.Join("..", ".."), Dockerfile: "deploy/Dockerfile", Repo: "pocketflow/" + service, Tag: builtTag, KeepImage: true,
		BuildArgs:            map[string]*string{"SERVICE": &service, "VERSION": &version, "COMMIT": &commit},
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

// What an image says of itself is what it does: alone, by its own user, on a
// root file system that it cannot write to, with nothing but its address told.
func TestImages_AreSmallAndBecomeHealthyWithoutRights(t *testing.T) {
	t.Parallel()
	needEngine(t)
	docker, err := testcontainers.NewDockerClientWithOpts(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, docker.Close()) })
	for _, program := range deployed {
		name := image(t, program)
		found, err := docker.ImageInspect(t.Context(), name)
		require.NoError(t, err, name)
		t.Logf("%s: %.1f MB", name, float64(found.Size)/1e6)
		require.Less(t, found.Size, int64(largestImage), name)
		require.Equal(t, imageUser, found.Config.User, name)
		require.NotNil(t, found.Config.Healthcheck, name)
		require.Equal(t, []string{"CMD", "/app", "healthcheck"}, found.Config.Healthcheck.Test, name)
		labels := found.Config.Labels
		require.Equal(t, "pocketflow/"+string(program), labels["org.opencontainers.image.title"])

		want := string(program) + " " + labels["org.opencontainers.image.version"]
		if commit := labels["org.opencontainers.image.revision"]; commit != "" {
			want += " (" + commit + ")"
		}
		version := alone(t, name, func(config *container.Config) { config.Cmd = []string{"version"} }, wait.ForExit())
		require.Equal(t, want+"\n", version)
	}
	for _, p := range parts {
		if !p.hasDB && p != gatewayPart {
			continue
		}
		t.Run(p.alias, func(t *testing.T) {
			t.Parallel()
			alone(t, image(t, p.program), func(config *container.Config) {
				config.Env = append(config.Env, "INSECURE=true", p.prefix+"_ADDR=0.0.0.0:8070")
			}, wait.ForHealthCheck())
		})
	}
}

// alone runs a container of an image without rights, waits for it, and returns
// what it has written.
func alone(t *testing.T, name string, modify func(*container.Config), until wait.Strategy) string {
	t.Helper()
	r := &replica{name: name, image: name, options: []testcontainers.ContainerCustomizer{
		testcontainers.CustomizeRequestOption(func(request *testcontainers.GenericContainerRequest) error {
			request.ConfigModifier = modify
			request.HostConfigModifier = func(host *container.HostConfig) {
				host.ReadonlyRootfs = true
				host.CapDrop = []string{"ALL"}
				host.SecurityOpt = []string{"no-new-privileges:true"}
				host.Tmpfs = map[string]string{"/data": "mode=0700,uid=" + imageUser}
			}
			return nil
		}),
		testcontainers.WithWaitStrategyAndDeadline(startTimeout, until),
	}}
	r.create(t)
	reader, err := r.container.Logs(t.Context())
	require.NoError(t, err)
	text, err := io.ReadAll(reader)
	require.NoError(t, err)
	require.NoError(t, reader.Close())
	return string(text)
}
