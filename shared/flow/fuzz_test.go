package flow_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/flow/expr"
)

func FuzzParse(f *testing.F) {
	for _, name := range []string{"minimal.json", "every_field.json", "faults.json"} {
		f.Add(read(f, name))
	}
	for _, text := range seeds(f) {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		checkProperties(t, flow.Source{Format: flow.FormatJSON, Text: data})
	})
}

func FuzzParseYAML(f *testing.F) {
	f.Add(read(f, "minimal.json"))
	f.Add(read(f, "every_field.json"))
	f.Add([]byte("start: A\nnodes:\n  A: &a {kind: executor, service: s, timeout_ms: 0x10}\n  B: {<<: *a}\n"))
	for _, text := range seeds(f) {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		checkProperties(t, flow.Source{Format: flow.FormatYAML, Text: data})
	})
}

// seeds are definitions of every kind: each node of every_field.json alone, so
// that a small change reaches deep into one, and what the tables of faults and
// warnings try.
func seeds(f *testing.F) []string {
	var all struct{ Nodes map[string]json.RawMessage }
	require.NoError(f, json.Unmarshal(read(f, "every_field.json"), &all))
	var texts []string
	for _, body := range all.Nodes {
		texts = append(texts, node(string(body)))
	}
	for _, d := range faultyDefinitions(f) {
		texts = append(texts, d.text)
	}
	for _, d := range questionableDefinitions(f) {
		texts = append(texts, d.text)
	}
	return texts
}

// checkProperties holds what is promised of any text: what validates compiles
// and runs, and the canonical text means the same and stays as it is.
func checkProperties(t *testing.T, src flow.Source) {
	def, report := flow.Check(src, flow.DefaultLimits())
	if len(report.Errors) > 0 {
		require.Error(t, report.Err())
		return
	}
	plan, err := flow.Compile(def)
	require.NoError(t, err)
	for key := range def.Nodes {
		n := plan.Node(key)
		sc := scope(`{"a":1}`, `{"a":{"b":[1]}}`, `[1,"x"]`)
		sc.Params = n.EffectiveParams(sc)
		_ = n.Prep.Input(sc)
		_ = n.Post.Write(sc, sc.Input)
		_ = n.Post.Action(sc, sc.Input)
		_, _ = n.Timeout.Resolve(sc)
		_, _ = plan.Next(key, "a")
		walkKind(n, sc)
	}

	text, err := def.JSON()
	require.NoError(t, err)
	again, report := flow.Check(flow.Source{Text: text}, flow.Limits{MaxBytes: len(text), MaxNodes: 1 << 20, MaxNesting: 1 << 20})
	require.Empty(t, report.Errors)
	same, err := again.JSON()
	require.NoError(t, err)
	require.Equal(t, string(text), string(same))
}

func walkKind(n *flow.PlanNode, sc expr.Scope) {
	switch n.Kind {
	case flow.KindChoice:
		for _, c := range n.Choice.Cases {
			c.When.Holds(sc)
		}
	case flow.KindParallel:
		_, _ = n.Branches(n.Parallel.Services(sc))
	case flow.KindForeach:
		_, _ = n.Item(0)
	case flow.KindTimer:
		_, _ = n.Timer.Delay.Resolve(sc)
		_, _ = n.Timer.Until.Resolve(sc)
	case flow.KindWaitEvent, flow.KindApproval:
		_ = n.Wait.Value.Resolve(sc)
	case flow.KindExecutor, flow.KindSubflow:
	}
}
