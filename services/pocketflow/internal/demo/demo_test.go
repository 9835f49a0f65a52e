package demo

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
)

const examples = "../../../../examples/"

func TestExamples_AreThoseOfTheExamplesDirectory(t *testing.T) {
	t.Parallel()
	for _, example := range Examples {
		name := string(example) + ".yaml"
		original, err := os.ReadFile(examples + name)
		require.NoError(t, err)
		copied, err := flows.ReadFile("flows/" + name)
		require.NoError(t, err)
		require.Equal(t, string(original), string(copied), "%s differs; run go generate in this directory", name)
		_, err = example.Definition()
		require.NoError(t, err)
	}
}

func TestScenario_VerifyNamesEverythingThatIsWrong(t *testing.T) {
	t.Parallel()
	scenario := Scenario{Shared: `{"n": 14.3, "o": {"a": 1}}`, Runs: []string{"A ok", "B ok"}}
	task := schedulerapi.Task{Status: "completed", SharedJSON: `{"n": 14.3, "o": {"a": 1, "more": true}, "extra": 1}`}
	runs := []schedulerapi.Run{
		{Path: "A", Status: "ok", StartedAt: 1, FinishedAt: 2},
		{Path: "B", Status: "ok", StartedAt: 2, FinishedAt: 2},
	}
	require.Empty(t, scenario.verify(task, runs))

	task = schedulerapi.Task{Status: "failed", SharedJSON: `{"n": 14.30, "o": []}`}
	runs = []schedulerapi.Run{{ID: "run-1", Path: "A", Status: "error", StartedAt: 2, FinishedAt: 1}}
	require.Equal(t, []string{
		"the task is failed, not completed",
		"shared.n is 14.30, not 14.3",
		"shared.o is [], not an object",
		"run run-1 of node A has no proper times",
		"it went through [A error], not [A ok, B ok]",
	}, scenario.verify(task, runs))
}
