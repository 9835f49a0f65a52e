package simulate

import (
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/services/scheduler"
	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
)

func TestLimits_AreTheSchedulersUnlessSet(t *testing.T) {
	t.Parallel()
	var cfg scheduler.Config
	parser, err := kong.New(&cfg)
	require.NoError(t, err)
	_, err = parser.Parse(nil)
	require.NoError(t, err)
	require.Equal(t, engine.Limits{
		MaxSteps: cfg.MaxSteps, AttemptTimeout: cfg.AttemptTimeout, MaxValue: cfg.MaxValue,
		MaxParallel: cfg.MaxParallel, MaxNesting: cfg.MaxNesting,
	}, Limits{}.engine())
	require.Equal(t, 7, Limits{MaxSteps: 7}.engine().MaxSteps)
}
