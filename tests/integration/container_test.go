//go:build unix

package integration

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/stretchr/testify/require"
	"github.com/testcontainers/testcontainers-go"

	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

const (
	// stopGrace is longer than a stop can take: DRAIN_TIMEOUT is 20 s.
	stopGrace = 30 * time.Second
	// startTimeout bounds the start of a container on a busy machine.
	startTimeout = 60 * time.Second
	pollInterval = 20 * time.Millisecond
	// told is how many lines of a container's log a failed test shows.
	told = 60
)

// replica is a container of a stack. However often it is made anew, it has the
// same name in the network, port and data.
type replica struct {
	name  string // in messages
	url   string // of what it serves, on this machine; "" for Postgres
	image string
	// options are what it is made with, all of them.
	options []testcontainers.ContainerCustomizer
	// ready is nil when it can be used.
	ready func(ctx context.Context) error

	container testcontainers.Container
}

// create makes the container, and sees to its removal with the test's end.
func (r *replica) create(t *testing.T) {
	t.Helper()
	t.Cleanup(func() { r.remove(t) })
	r.run(t)
}

func (r *replica) run(t *testing.T) {
	t.Helper()
	made, err := testcontainers.Run(t.Context(), r.image, r.options...)
	if made != nil { // it may be there though it did not start
		r.container = made
	}
	require.NoError(t, err, r.name)
}

func (r *replica) awaitReady(t *testing.T) {
	t.Helper()
	suitetest.Await(t, startTimeout, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.ready(ctx); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		return nil
	})
}

// stop ends the container as an upgrade does (SIGTERM), and holds it to a clean
// end.
func (r *replica) stop(t *testing.T) {
	t.Helper()
	grace := stopGrace
	require.NoError(t, r.container.Stop(t.Context(), &grace), r.name)
	require.Zero(t, r.state(t).ExitCode, "how %s ended", r.name)
}

func (r *replica) restart(t *testing.T) {
	t.Helper()
	r.stop(t)
	require.NoError(t, r.container.Start(t.Context()), r.name)
	r.awaitReady(t)
}

// kill ends the container's process as a power cut would.
func (r *replica) kill(t *testing.T) {
	t.Helper()
	docker, err := testcontainers.NewDockerClientWithOpts(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, docker.Close()) }()
	_, err = docker.ContainerKill(t.Context(), r.container.GetContainerID(), client.ContainerKillOptions{Signal: "SIGKILL"})
	require.NoError(t, err, r.name)
}

// recreate puts a new container in the place of one that was killed: nothing of
// it stays but what is in volumes.
func (r *replica) recreate(t *testing.T) {
	t.Helper()
	r.remove(t)
	r.run(t)
	r.awaitReady(t)
}

func (r *replica) remove(t *testing.T) {
	t.Helper()
	if r.container == nil {
		return
	}
	if t.Failed() {
		t.Logf("%s: its log ends with\n%s", r.name, r.log(t))
	}
	require.NoError(t, testcontainers.TerminateContainer(r.container, testcontainers.StopTimeout(0)), r.name)
	r.container = nil
}

func (r *replica) state(t *testing.T) *container.State {
	t.Helper()
	state, err := r.container.State(t.Context())
	require.NoError(t, err, r.name)
	return state
}

// log is the end of what the container has said.
func (r *replica) log(t *testing.T) string {
	t.Helper()
	reader, err := r.container.Logs(context.WithoutCancel(t.Context()))
	if err != nil {
		return err.Error()
	}
	defer func() { _ = reader.Close() }()
	text, err := io.ReadAll(reader)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(string(text), "\n")
	return strings.Join(lines[max(0, len(lines)-told):], "\n")
}

// published publishes a port of the container at an address of this machine:
// the same one whenever the container starts, which an engine's own choice is
// not. It mounts what stands in binds.
func published(addr, port string, binds ...string) testcontainers.CustomizeRequestOption {
	at := netip.MustParseAddrPort(addr)
	inside := network.MustParsePort(port + "/tcp")
	return func(request *testcontainers.GenericContainerRequest) error {
		request.ExposedPorts = []string{inside.String()}
		request.HostConfigModifier = func(host *container.HostConfig) {
			host.Binds = binds
			host.PortBindings = network.PortMap{inside: {{HostIP: at.Addr(), HostPort: strconv.Itoa(int(at.Port()))}}}
		}
		return nil
	}
}

// confined takes from a container what the services do not need, as
// docker-compose.yml does, and lets it write what this process can read.
func confined() testcontainers.CustomizeRequestOption {
	return func(request *testcontainers.GenericContainerRequest) error {
		before := request.HostConfigModifier
		request.HostConfigModifier = func(host *container.HostConfig) {
			before(host)
			host.ReadonlyRootfs = true
			host.CapDrop = []string{"ALL"}
			host.SecurityOpt = []string{"no-new-privileges:true"}
		}
		request.ConfigModifier = func(config *container.Config) {
			config.User = fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid())
		}
		return nil
	}
}

// readyz asks a service whether it is ready.
func readyz(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		status, body, err := get(ctx, url+"/readyz")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("not ready: %d %s", status, body)
		}
		return err
	}
}

func get(ctx context.Context, url string) (status int, body string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}
