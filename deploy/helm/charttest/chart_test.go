package charttest

import (
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/releaseutil"
)

const (
	chartDir  = "../pocketflow"
	namespace = "flows-test"
	release   = "pf"

	// oldest is the oldest Kubernetes that the chart allows; whatever it refuses
	// must not be rendered.
	oldest = "v1.30.0"
	newest = "v1.37.0"
)

// examples are the values files that stand for all ways to install.
func examples(t *testing.T) map[string]chartutil.Values {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(chartDir, "ci", "*-values.yaml"))
	require.NoError(t, err)
	all := map[string]chartutil.Values{}
	for _, file := range files {
		values, err := chartutil.ReadValuesFile(file)
		require.NoError(t, err, file)
		all[strings.TrimSuffix(filepath.Base(file), "-values.yaml")] = values
	}
	require.Subset(t, slices.Collect(maps.Keys(all)), []string{"sqlite", "postgres", "full"})
	return all
}

// parse reads values that a test writes down.
func parse(t *testing.T, text string) chartutil.Values {
	t.Helper()
	values, err := chartutil.ReadValues([]byte(text))
	require.NoError(t, err)
	return values
}

func load(t *testing.T) *chart.Chart {
	t.Helper()
	loaded, err := loader.LoadDir(chartDir)
	require.NoError(t, err)
	return loaded
}

// render gives the chart's files by template as an install with the values would
// send them, values.schema.json observed.
func render(t *testing.T, values chartutil.Values) (map[string]string, error) {
	t.Helper()
	loaded := load(t)
	version, err := chartutil.ParseKubeVersion(oldest)
	require.NoError(t, err)
	capabilities := chartutil.DefaultCapabilities.Copy()
	capabilities.KubeVersion = *version
	options := chartutil.ReleaseOptions{Name: release, Namespace: namespace, Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValues(loaded, values, options, capabilities)
	if err != nil {
		return nil, err
	}
	return engine.Render(loaded, all)
}

// manifests are the documents that are sent to Kubernetes.
func manifests(t *testing.T, values chartutil.Values) []string {
	t.Helper()
	files, err := render(t, values)
	require.NoError(t, err)
	var all []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if path.Ext(name) != ".yaml" {
			continue // NOTES.txt, and templates for others
		}
		documents := releaseutil.SplitManifests(files[name])
		for _, key := range slices.Sorted(maps.Keys(documents)) {
			all = append(all, documents[key])
		}
	}
	require.NotEmpty(t, all)
	return all
}
