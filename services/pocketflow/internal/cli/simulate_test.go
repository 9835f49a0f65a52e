package cli

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/services/scheduler/simulate"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

func TestHelp_FlowSimulate(t *testing.T) {
	t.Parallel()
	got := run(t, "flow", "simulate", "--help")
	require.Equal(t, ExitOK, got.exit)
	golden(t, "help_flow_simulate", got.out)
}

// simulated runs an order of testdata.
func simulatedOrder(t *testing.T, args ...string) outcome {
	t.Helper()
	return run(t, append([]string{"flow", "simulate", "-f", "testdata/simulate/order.yaml"}, args...)...)
}

func TestFlowSimulate_TellsTheWayOfATask(t *testing.T) {
	t.Parallel()
	got := simulatedOrder(t, "--script", "testdata/simulate/answers.yaml")
	require.Equal(t, ExitOK, got.exit, got.err)
	golden(t, "simulate_order", got.out)
	golden(t, "simulate_order_notes", got.err)
}

func TestFlowSimulate_PrintsTheTraceAsJSON(t *testing.T) {
	t.Parallel()
	args := []string{"--script", "testdata/simulate/answers.yaml", "-o", "json"}
	got := simulatedOrder(t, args...)
	require.Equal(t, ExitOK, got.exit, got.err)
	golden(t, "simulate_order_json", got.out)
	var trace simulate.Trace
	require.NoError(t, json.Unmarshal([]byte(got.out), &trace))
	require.Equal(t, storage.TaskCompleted, trace.Status)
	require.Equal(t, "1h0m0.57s", trace.Took.String())
	require.Equal(t, got, simulatedOrder(t, args...), "byte for byte")
}

func TestFlowSimulate_EndIsTheExitCode(t *testing.T) {
	t.Parallel()
	script := func(text string) string { return write(t, "script.yaml", text) }
	for name, c := range map[string]struct {
		args []string
		exit Exit
		err  string
	}{
		"failed":   {nil, ExitTaskFailed, "pocketflow: task (simulated) failed at node price: a foreach needs an array as its input, this one is of the type null (bad_input)\n"},
		"canceled": {[]string{"--script", script("params: {items: []}\ncancel: {at_ms: 5}")}, ExitTaskCanceled, "pocketflow: task (simulated) canceled\n"},
		"no answer": {
			[]string{"--params", `{"items": [1]}`}, ExitFailed,
			"pocketflow: the simulation stopped after 0s: the script has no answer for price/0 (http price, input 1)\n",
		},
		"no flow": {
			[]string{"--script", script("params: {items: []}\nsignals: [{at_ms: 0, key: decision, value: true}]")}, ExitFailed,
			"pocketflow: the simulation stopped after 0s: charge refers to the flow charge, which the script does not name under flows\n",
		},
		"params": {[]string{"--params", `[1]`}, ExitUsage, "pocketflow: params must be a JSON object\n"},
		"script": {
			[]string{"--script", script("answers: {a: {eror: x}}\nparams: 3")}, ExitFailed,
			"script.yaml: 2 faults\n  answers.a.eror: unknown field \"eror\"; here may be after_ms, error, result, retryable, times (unknown_field)\n" +
				"  params: must be an object, like the params of every task (wrong_type)\n",
		},
		"files":   {[]string{"--script", "nowhere.yaml"}, ExitFailed, "pocketflow: nowhere.yaml: no such file or directory\n"},
		"subflow": {[]string{"--script", script("flows: {charge: nowhere.yaml}")}, ExitFailed, "nowhere.yaml: no such file or directory\n"},
	} {
		got := simulatedOrder(t, c.args...)
		require.Equal(t, c.exit, got.exit, "%s: %s", name, got.err)
		require.True(t, strings.HasSuffix(got.err, c.err), "%s: %s", name, got.err)
	}
	got := run(t, "flow", "simulate", "-f", write(t, "bad.yaml", "start: ["))
	require.Equal(t, ExitFailed, got.exit)
	require.Contains(t, got.err, "bad.yaml: 1 fault\n")
}

func TestFlowSimulate_DoesWhatItsPageSays(t *testing.T) {
	t.Parallel()
	const root = "../../../../"
	text, err := os.ReadFile(root + "docs/simulate.md")
	require.NoError(t, err)
	page := string(text)
	got := run(t, "flow", "simulate", "-f", root+"examples/wait.yaml", "--script", root+"examples/answers/wait.yaml")
	require.Equal(t, ExitOK, got.exit, got.err)
	require.Contains(t, page, "```\n"+got.out+"```\n")

	_, after, found := strings.Cut(page, "## The script\n\n```yaml\n")
	require.True(t, found)
	script, _, found := strings.Cut(after, "```")
	require.True(t, found)
	_, faults := simulate.ReadScript(flow.Source{Format: flow.FormatYAML, Text: []byte(script)})
	require.Empty(t, faults)
}

func TestFlowSimulate_LetsNothingDriveTheTerminal(t *testing.T) {
	t.Parallel()
	got := run(t, "flow", "simulate", "-f", write(t, "say.yaml", echoFlow), "--params", `{"say": "a\u202eb\u001b[2J"}`)
	require.Equal(t, ExitOK, got.exit, got.err)
	require.NotContains(t, got.out, "\x1b")
	raw := run(t, "flow", "simulate", "-f", write(t, "say.yaml", echoFlow), "--params", "{\"say\": \"a\u202eb\"}")
	require.Contains(t, raw.out, "\"said\": \"a b\"")
}
