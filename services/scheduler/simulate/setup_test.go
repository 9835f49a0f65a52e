package simulate

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/flow"
)

// defined checks a definition in YAML.
func defined(t *testing.T, yaml string) *flow.Definition {
	t.Helper()
	def, report := flow.Check(flow.Source{Format: flow.FormatYAML, Text: []byte(yaml)}, flow.DefaultLimits())
	require.NoError(t, report.Err())
	return def
}

func read(t *testing.T, yaml string) *Script {
	t.Helper()
	script, faults := ReadScript(flow.Source{Format: flow.FormatYAML, Text: []byte(yaml)})
	require.Empty(t, faults)
	return script
}

// simulated runs a flow under a script, both in YAML.
func simulated(t *testing.T, definition, script string) *Trace {
	t.Helper()
	trace, err := Run(t.Context(), Config{Definition: defined(t, definition), Script: read(t, script)})
	require.NoError(t, err)
	return trace
}

// find gives the steps of a kind on a path.
func (t *Trace) find(what What, path string) []Step {
	var found []Step
	for _, step := range t.Steps {
		if step.What == what && step.Path == path {
			found = append(found, step)
		}
	}
	return found
}

func ms(n int) Offset { return Offset(time.Duration(n) * time.Millisecond) }

func raw(text string) json.RawMessage { return json.RawMessage(text) }
