package alerts

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/obs"
)

// root is the repository's directory.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(dir, "go.work"))
	return dir
}

// read gives the text of a file that is named relative to the root.
func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), filepath.FromSlash(name)))
	require.NoError(t, err)
	return string(text)
}

var (
	metricRow = regexp.MustCompile("(?m)^\\| `(pocketflow_\\w+)` \\| (\\w+) \\| (.*?) ?\\|")
	quoted    = regexp.MustCompile("`(\\w+)`")
)

// targetLabels are those that Prometheus gives to whatever it scrapes; namespace
// only on Kubernetes.
var targetLabels = []string{"namespace", "job", "instance"}

// shown are the labels of every metric that there is: of docs/metrics.md, of
// every Go process, and of Prometheus itself.
func shown(t *testing.T) map[string][]string {
	t.Helper()
	known := map[string][]string{
		"up":     targetLabels,
		"ALERTS": append([]string{"alertname", "alertstate", "severity"}, targetLabels...),
	}
	rows := metricRow.FindAllStringSubmatch(read(t, "docs/metrics.md"), -1)
	require.Greater(t, len(rows), 40, "metrics in docs/metrics.md")
	for _, row := range rows {
		name, kind := row[1], row[2]
		var labels []string
		for _, label := range quoted.FindAllStringSubmatch(row[3], -1) {
			labels = append(labels, label[1])
		}
		labels = append(labels, targetLabels...)
		switch kind {
		case "counter", "gauge":
			known[name] = labels
		case "histogram":
			known[name+"_sum"], known[name+"_count"] = labels, labels
			known[name+"_bucket"] = append([]string{"le"}, labels...)
		default:
			t.Errorf("%s is a %q", name, kind)
		}
	}
	telemetry, err := obs.New(obs.Config{LogLevel: "error", LogFormat: obs.LogJSON, Version: "test", Commit: "none"})
	require.NoError(t, err)
	families, err := telemetry.Metrics.Gather()
	require.NoError(t, err)
	for _, family := range families {
		if name := family.GetName(); strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") {
			known[name] = targetLabels
		}
	}
	return known
}
