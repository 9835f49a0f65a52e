package scheduler

import (
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/errs"
)

func parse(t *testing.T, args ...string) *Config {
	t.Helper()
	var cfg Config
	parser, err := kong.New(&cfg)
	require.NoError(t, err)
	_, err = parser.Parse(args)
	require.NoError(t, err)
	return &cfg
}

func TestConfig_AllowsNoScriptsByDefault(t *testing.T) {
	t.Parallel()
	cfg := parse(t)
	require.NoError(t, cfg.Validate())
	require.Empty(t, cfg.ScriptAllow)
	require.Equal(t, 1<<20, cfg.ScriptOutputBytes)
}

func TestConfig_AllowsScriptsByPathAndByName(t *testing.T) {
	t.Parallel()
	cfg := parse(t, "--script-allow=/bin/sh,python3")
	require.NoError(t, cfg.Validate())
	require.Equal(t, []string{"/bin/sh", "python3"}, cfg.ScriptAllow)
}

func TestConfig_NamesEveryFaultOfScripts(t *testing.T) {
	t.Parallel()
	cfg := parse(t)
	cfg.ScriptAllow = []string{"./run", "bin/sh", "", "sh", "/bin/sh"}
	cfg.ScriptOutputBytes, cfg.ScriptMaxRunning = 0, 0
	var invalid *errs.Error
	require.ErrorAs(t, cfg.Validate(), &invalid)
	var paths []string
	for _, fault := range invalid.Faults {
		paths = append(paths, fault.Path)
	}
	require.Equal(t, []string{"script-allow", "script-allow", "script-allow", "script-output-bytes", "script-max-running"}, paths)
}

func TestConfig_BoundsARunsLog(t *testing.T) {
	t.Parallel()
	for bytes, fits := range map[int]bool{-1: false, 0: false, 1: true, 1 << 20: true, maxRunLog: true, maxRunLog + 1: false} {
		cfg := parse(t)
		cfg.RunLogBytes = bytes
		require.Equal(t, fits, cfg.Validate() == nil, bytes)
	}
}
