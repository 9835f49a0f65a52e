package registry_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/services/registry"
	"github.com/pocketflowgo/pocketflow/shared/app"
)

var _ app.Service = (*registry.Service)(nil)

func TestConfig_DefaultsAreValid(t *testing.T) {
	t.Parallel()
	var cfg registry.Config
	parser, err := kong.New(&cfg)
	require.NoError(t, err)
	_, err = parser.Parse([]string{"--allow-workers=10.0.0.0/8,*.svc.example", "--no-auto-migrate"})
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:8071", cfg.ListenAddr())
	require.Equal(t, "sqlite://./data/registry.db", cfg.DB)
	require.Equal(t, 15*time.Second, cfg.TTL)
	require.Equal(t, []string{"10.0.0.0/8", "*.svc.example"}, cfg.AllowWorkers)
	require.False(t, cfg.AutoMigrate)
}

func TestConfig_NamesEveryFault(t *testing.T) {
	t.Parallel()
	cfg := registry.Config{TTL: -time.Second, Keep: -time.Minute, AllowWorkers: []string{"10.0.0.0/8", "a b", "*", "10.0.0.0/99"}}
	err := cfg.Validate()
	for _, part := range []string{"database", "ttl", "keep", `"a b"`, `"*"`, `"10.0.0.0/99"`} {
		require.ErrorContains(t, err, part)
	}
	require.NotContains(t, err.Error(), `"10.0.0.0/8"`)
	_, err = registry.New(t.Context(), cfg, registry.Deps{Log: zap.NewNop()})
	require.Error(t, err)
}

func TestNew_RefusesADatabaseThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for _, dsn := range []string{"mysql://x/y", "sqlite://" + filepath.Join(file, "registry.db")} {
		cfg := config(t)
		cfg.DB = dsn
		_, err := registry.New(t.Context(), cfg, registry.Deps{Log: zap.NewNop()})
		require.Error(t, err, dsn)
	}
}

func TestReady_SaysThatMigrationsAreMissing(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	cfg.AutoMigrate = false
	service, err := registry.New(t.Context(), cfg, registry.Deps{Log: zap.NewNop()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, service.Close()) })
	require.ErrorContains(t, service.Ready(t.Context()), "run the migrations")
}
