package cli

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/migrations"
	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/suite"
)

func TestStoreBackup_CopiesWhatIsServedFrom(t *testing.T) {
	t.Parallel()
	var data string
	call := serve(t, func(cfg *suite.Config) { data = cfg.Data })
	flow := write(t, "echo.yaml", echoFlow)
	require.Equal(t, ExitOK, call("flow", "apply", "-f", flow).exit)

	to := filepath.Join(t.TempDir(), "backup")
	got := run(t, "store", "backup", "--from="+data, "--to="+to, "--output=json")
	require.Equal(t, ExitOK, got.exit, got.err)
	require.Contains(t, got.err, "services could not write for")
	var report backupReport
	require.NoError(t, json.Unmarshal([]byte(got.out), &report))
	require.Len(t, report.Databases, len(migrations.Services))
	require.Positive(t, report.AtMS)
	require.Equal(t, filepath.Join(to, "registry.db"), report.Databases[0].File)

	again := run(t, "store", "backup", "--from="+data, "--to="+to)
	require.Equal(t, ExitFailed, again.exit)
	require.Contains(t, again.err, "the target directory is not empty")
	copied := run(t, "store", "copy", "--from="+to, "--to="+filepath.Join(t.TempDir(), "restored"))
	require.Equal(t, ExitOK, copied.exit, copied.err)
	require.Regexp(t, `catalog +flow_versions +1 +\w+ +equal`, copied.out)
}

func TestStoreBackup_RefusesWhatWouldBeNone(t *testing.T) {
	t.Parallel()
	for wrong, from := range map[string]string{
		"name both":         "scheduler=a.db",
		"a single file":     "a/registry.db",
		"backed up by pg_d": "postgres://host/db",
	} {
		got := run(t, "store", "backup", "--from="+from, "--to="+filepath.Join(t.TempDir(), "backup"))
		require.NotEqual(t, ExitOK, got.exit, wrong)
		require.Contains(t, got.err, wrong)
	}
}
