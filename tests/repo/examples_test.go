package repo

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/flow"
)

// An example that cannot be published teaches the wrong thing.
func TestExamples_CanBePublished(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(root(t), "examples", "*.*ml"))
	require.NoError(t, err)
	more, err := filepath.Glob(filepath.Join(root(t), "examples", "*.json"))
	require.NoError(t, err)
	files = append(files, more...)
	require.GreaterOrEqual(t, len(files), 8)
	readme, err := os.ReadFile(filepath.Join(root(t), "examples", "README.md"))
	require.NoError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		source := flow.Source{Format: flow.FormatJSON, Text: text}
		if !strings.HasSuffix(file, ".json") {
			source.Format = flow.FormatYAML
		}
		_, report := flow.Check(source, flow.DefaultLimits())
		require.Empty(t, report.Errors, file)
		require.Contains(t, string(readme), "("+filepath.Base(file)+")", "the README lists it")
	}
}
