package catalog_test

import (
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	catalog "github.com/pocketflowgo/pocketflow/services/flow-catalog"
	"github.com/pocketflowgo/pocketflow/shared/app"
	"github.com/pocketflowgo/pocketflow/shared/flow"
)

var _ app.Service = (*catalog.Service)(nil)

func TestConfig_DefaultsAreValid(t *testing.T) {
	t.Parallel()
	var cfg catalog.Config
	parser, err := kong.New(&cfg)
	require.NoError(t, err)
	_, err = parser.Parse(nil)
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:8072", cfg.ListenAddr())
	require.Equal(t, "sqlite://./data/catalog.db", cfg.DB)
	require.True(t, cfg.AutoMigrate)
	limits := flow.Limits{MaxBytes: cfg.MaxDefinitionBytes, MaxNodes: cfg.MaxNodes, MaxNesting: cfg.MaxNesting}
	require.Equal(t, flow.DefaultLimits(), limits, "the defaults of the settings are those of the package")
}

func TestConfig_NamesEveryFault(t *testing.T) {
	t.Parallel()
	cfg := catalog.Config{MaxDefinitionBytes: 5 << 20, MaxNesting: -1}
	err := cfg.Validate()
	for _, part := range []string{"database", "definition bytes", "nodes", "nesting"} {
		require.ErrorContains(t, err, part)
	}
	_, err = catalog.New(t.Context(), cfg, catalog.Deps{Log: zap.NewNop()})
	require.Error(t, err)
}

func TestReady_SaysThatMigrationsAreMissing(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	cfg.AutoMigrate = false
	c := open(t, cfg)
	require.ErrorContains(t, c.service.Ready(t.Context()), "run the migrations")
	require.NoError(t, c.service.Close())
}
