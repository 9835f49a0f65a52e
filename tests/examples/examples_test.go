//go:build unix

package examples

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

const dir = Dir("../../examples")

// Every example comes to what is documented, whatever the suite runs on. The
// flows are published in YAML here and in JSON there, which is the same.
func TestExamples_ComeToWhatIsDocumented(t *testing.T) {
	t.Parallel()
	for _, setup := range []struct {
		name      string
		start     func(*testing.T, databases) string
		databases databases
		source    func(Dir, string) flow.Source
		long      bool
	}{
		{"AllInOneOnSQLite", allInOne, onSQLite, Dir.YAML, false},
		{"AllInOneOnPostgres", allInOne, onPostgres, Dir.JSON, true},
		{"FiveProcessesOnSQLite", fiveProcesses, onSQLite, Dir.JSON, true},
		{"FiveProcessesOnPostgres", fiveProcesses, onPostgres, Dir.YAML, true},
	} {
		t.Run(setup.name, func(t *testing.T) {
			t.Parallel()
			if setup.long && testing.Short() {
				t.Skip("one set-up is enough for -short")
			}
			base := setup.start(t, setup.databases)
			client := suitetest.Connect(t, base)
			startWorkers(t, base, client)
			all, err := dir.Load()
			require.NoError(t, err)
			dir.Run(t, client, all, setup.source)
		})
	}
}
