package simulate

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

const examples = "../../../examples"

// example is an example flow under its script, and what comes of it.
type example struct {
	flow   string
	params string // "": the script's
	path   string
	shared string
	took   int // ms
}

func TestExamples_EndAsTheirDocumentationSays(t *testing.T) {
	t.Parallel()
	apology := `{"error": {"node": "multiply", "code": "func_error", "message": "mul takes numbers only", "attempts": 3},
		"apology": {"attempts": 3, "failed": "multiply"}}`
	all := []example{
		{flow: "branch", path: "decide B", shared: `{"result": "HELLO"}`, took: 120},
		{flow: "branch", params: `{"action": "goC"}`, path: "decide C", shared: `{"result": "hello"}`, took: 120},
		{flow: "linear", path: "double total price", shared: `{"doubled": [2, 4, 7], "total": 13, "price": 14.3}`, took: 65},
		{flow: "choice", path: "assess review", shared: `{"decision": "NEEDS REVIEW"}`},
		{flow: "choice", params: `{"amount": 25, "customer": {"vip": true}}`, path: "assess thank", shared: `{"decision": "ACCEPTED WITH THANKS"}`},
		{flow: "choice", params: `{"amount": 25}`, path: "assess accept", shared: `{"decision": "ACCEPTED"}`},
		{flow: "retry", path: "multiply multiply multiply apologize", shared: apology, took: 150},
		{flow: "retry", params: `{"a": 6, "b": 7}`, path: "multiply", shared: `{"product": 42}`},
		{flow: "timer", path: "sleep greet", shared: `{"woken": "GOOD MORNING"}`, took: 86_400_000},
		{flow: "wait", path: "paid thank", shared: `{"payment": {"amount": 12.50}, "answer": "THANK YOU"}`, took: 90_000},
		{flow: "queue", path: "shout", shared: `{"shouted": "HELLO"}`, took: 2500},
		{flow: "script", path: "digest", shared: `{"digest": {"algorithm": "sha256", "sum": "2c6f…"}}`, took: 12},
	}
	tested := map[string]bool{}
	for _, one := range all {
		tested[one.flow+".yaml"] = true
		trace := one.run(t, readExample(t, filepath.Join("answers", one.flow+".yaml")))
		require.Nil(t, trace.Stopped, one.flow)
		require.Equal(t, storage.TaskCompleted, trace.Status, one.flow)
		require.Equal(t, one.path, strings.Join(trace.Path(), " "), one.flow)
		require.JSONEq(t, one.shared, string(trace.Shared), one.flow)
		require.Equal(t, ms(one.took), trace.Took, one.flow)
	}
	scripts, err := os.ReadDir(filepath.Join(examples, "answers"))
	require.NoError(t, err)
	for _, script := range scripts {
		require.True(t, tested[script.Name()], "%s is not tested", script.Name())
	}
}

// Without its signal, the wait ends on the virtual clock.
func TestExamples_WaitTimesOut(t *testing.T) {
	t.Parallel()
	trace := example{flow: "wait"}.run(t, "")
	require.Equal(t, []string{"paid", "remind"}, trace.Path())
	require.Equal(t, ms(120_000), trace.Took)
	require.Contains(t, string(trace.Shared), `"answer":"WE ARE STILL WAITING"`)
}

func readExample(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(examples, name))
	require.NoError(t, err)
	return string(text)
}

func (e example) run(t *testing.T, script string) *Trace {
	t.Helper()
	def, report := flow.Check(flow.Source{Format: flow.FormatYAML, Text: []byte(readExample(t, e.flow+".yaml"))}, flow.DefaultLimits())
	require.NoError(t, report.Err())
	trace, err := Run(t.Context(), Config{Definition: def, Params: raw(e.params), Script: read(t, script)})
	require.NoError(t, err)
	return trace
}
