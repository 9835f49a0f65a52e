//go:build unix

package integration

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/tests/examples"
)

const examplesDir = examples.Dir("../../examples")

// Every kind of node, in containers: what the services are when they are
// deployed. Scripts need a shell, which the images do not have.
func TestContainers_EveryExampleComesToWhatIsDocumented(t *testing.T) {
	t.Parallel()
	s := startStack(t, inPairs)
	all, err := examplesDir.Load()
	require.NoError(t, err)
	without := slices.DeleteFunc(slices.Clone(all), func(e examples.Example) bool { return slices.Contains(e.Needs, examples.Scripts) })
	require.NotEmpty(t, without)
	t.Logf("%d of %d examples, those without scripts", len(without), len(all))
	examplesDir.Run(t, s.client, without, examples.Dir.JSON)
}
