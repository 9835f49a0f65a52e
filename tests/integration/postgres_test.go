//go:build unix

package integration

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5" //nolint:depguard // asks whether the server answers, as no role does
	"github.com/moby/moby/client"
	"github.com/stretchr/testify/require"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/network"
	"github.com/testcontainers/testcontainers-go/wait"

	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

const (
	postgresImage = "postgres:17-alpine"
	postgresUser  = "pocketflow" // its password and its database as well
	postgresPort  = "5432"
	migrateTime   = 60 * time.Second
)

// databaseURL is that of a stack's one database, by the server's address.
func databaseURL(addr string) string {
	return "postgres://" + postgresUser + ":" + postgresUser + "@" + addr + "/" + postgresUser + "?sslmode=disable"
}

// startPostgres starts the server with what an operator gets who sets nothing:
// every commit is on the disk before it is answered. Its data is in a volume,
// which outlives the container.
func (s *stack) startPostgres(t *testing.T) {
	t.Helper()
	addr, volume := suitetest.Addr(t), s.network.Name+"-postgres"
	s.dsn = databaseURL(addr)
	t.Cleanup(func() { removeVolume(t, volume) })
	s.postgres = &replica{
		name: "postgres", image: postgresImage,
		ready: func(ctx context.Context) error {
			conn, err := pgx.Connect(ctx, s.dsn)
			if err != nil {
				return err
			}
			return conn.Close(ctx)
		},
		options: []testcontainers.ContainerCustomizer{
			network.WithNetwork([]string{"postgres"}, s.network),
			testcontainers.WithEnv(map[string]string{
				"POSTGRES_USER": postgresUser, "POSTGRES_PASSWORD": postgresUser, "POSTGRES_DB": postgresUser,
			}),
			published(addr, postgresPort, volume+":/var/lib/postgresql/data"),
		},
	}
	s.postgres.create(t)
	// By TCP it answers only when its first start is over.
	s.postgres.awaitReady(t)
}

func removeVolume(t *testing.T, name string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	docker, err := testcontainers.NewDockerClientWithOpts(ctx)
	require.NoError(t, err)
	defer func() { require.NoError(t, docker.Close()) }()
	_, err = docker.VolumeRemove(ctx, name, client.VolumeRemoveOptions{Force: true})
	require.NoError(t, err)
}

// migrate runs the part's own migrate command against the stack's database, in
// a container that ends when that has.
func (s *stack) migrate(t *testing.T, p part, command string) {
	t.Helper()
	r := &replica{name: p.alias + "-migrate", image: image(t, p.program)}
	r.options = []testcontainers.ContainerCustomizer{
		network.WithNetwork(nil, s.network), testcontainers.WithEnv(s.settings(p)), testcontainers.WithCmd("migrate", command),
		testcontainers.WithWaitStrategy(wait.ForExit().WithExitTimeout(migrateTime).WithPollInterval(pollInterval)),
	}
	r.create(t)
	require.Zero(t, r.state(t).ExitCode, "%s: %s", r.name, r.log(t))
	r.remove(t)
}
