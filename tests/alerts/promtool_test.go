package alerts

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// requirePromtool makes its absence a failure; CI services set CI themselves.
const requirePromtool = "POCKETFLOW_REQUIRE_PROMTOOL"

// promtool finds Prometheus' tool in PATH or where the check of a commit puts
// it. Without one the test skips.
func promtool(t *testing.T) string {
	t.Helper()
	if path, err := exec.LookPath("promtool"); err == nil {
		return path
	}
	path := filepath.Join(root(t), ".bin", "promtool")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	const missing = "no promtool in PATH or .bin; Debian has it in the package prometheus"
	if os.Getenv(requirePromtool) == "1" || os.Getenv("CI") == "true" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}

// judge runs promtool in the directory of Prometheus' configuration.
func judge(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), promtool(t), args...)
	cmd.Dir = filepath.Join(root(t), "deploy", "prometheus")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
}

func TestPromtool_AcceptsTheConfigurationAndItsRules(t *testing.T) {
	t.Parallel()
	judge(t, "check", "config", "prometheus.yml")
	args := []string{"check", "rules", "--lint=all", "--lint-fatal"}
	for _, name := range ruleFiles(t) {
		args = append(args, "rules/"+name)
	}
	judge(t, args...)
}

func TestPromtool_PassesEveryCase(t *testing.T) {
	t.Parallel()
	for _, name := range glob(t, rulesDir+"/tests/*.yml") {
		judge(t, "test", "rules", "rules/tests/"+name)
	}
}

// A dashboard's expressions become recordings of a file that lives for the test:
// Grafana has no tool that says whether they are PromQL.
func TestPromtool_AcceptsTheDashboardsExpressions(t *testing.T) {
	t.Parallel()

	type recording struct {
		Record string `yaml:"record"`
		Expr   string `yaml:"expr"`
	}
	var all []recording
	for _, target := range dashboard(t).targets() {
		all = append(all, recording{Record: "dashboard:expression", Expr: plain(target.Expr)})
	}
	text, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": all}}})
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "dashboard.yml")
	require.NoError(t, os.WriteFile(file, text, 0o600))
	judge(t, "check", "rules", "--lint=none", file)
}
