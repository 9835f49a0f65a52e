package charttest

import (
	"testing"

	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
)

// As `helm lint --strict` does: a warning is a failure.
func TestChart_LintsWithEveryExample(t *testing.T) {
	t.Parallel()
	for name, values := range examples(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, text := range []string{oldest, newest} {
				version, err := chartutil.ParseKubeVersion(text)
				require.NoError(t, err)
				linter := lint.AllWithKubeVersion(chartDir, values, namespace, version)
				for _, message := range linter.Messages {
					require.Less(t, message.Severity, support.WarningSev, "%s: %s", text, message.Error())
				}
			}
		})
	}
}

func TestChart_NeedsTheKubernetesThatItIsCheckedWith(t *testing.T) {
	t.Parallel()
	constraint := load(t).Metadata.KubeVersion
	require.True(t, chartutil.IsCompatibleRange(constraint, oldest))
	require.True(t, chartutil.IsCompatibleRange(constraint, newest))
	require.False(t, chartutil.IsCompatibleRange(constraint, "v1.29.9"))
}

func TestNotes_SayThatThereIsNoAuthentication(t *testing.T) {
	t.Parallel()
	for name, values := range examples(t) {
		files, err := render(t, values)
		require.NoError(t, err)
		notes := files["pocketflow/templates/NOTES.txt"]
		require.Contains(t, notes, "NO AUTHENTICATION", name)
		require.Equal(t, name == "sqlite", containsLine(notes, "SQLITE: one pod per service"), name)
	}
}
