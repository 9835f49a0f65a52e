package repo

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/tests/examples"
)

var update = flag.Bool("update", false, "write the examples' JSON and README anew")

// An example that cannot be published, or only with warnings, teaches the wrong
// thing.
func TestExamples_CanBePublished(t *testing.T) {
	t.Parallel()
	dir, all := loadExamples(t)
	require.GreaterOrEqual(t, len(all), 50)
	for _, example := range all {
		_, report := flow.Check(dir.YAML(example.Name), flow.DefaultLimits())
		require.Empty(t, report.Errors, example.Name)
		require.Empty(t, report.Warnings, example.Name)
	}
}

// Every flow has its expected results, which is what puts it into the README and
// before the tests that run it; and all that it needs is there.
func TestExamples_AreComplete(t *testing.T) {
	t.Parallel()
	dir, all := loadExamples(t)
	var expected []string
	for _, example := range all {
		expected = append(expected, example.Name)
	}
	require.Equal(t, expected, names(t, filepath.Join(string(dir), "*.yaml")))
	require.Equal(t, expected, names(t, filepath.Join(string(dir), "json", "*.json")))
	for _, script := range names(t, filepath.Join(string(dir), "answers", "*.yaml")) {
		require.Contains(t, expected, script)
	}
	for _, example := range all {
		for _, other := range example.Flows {
			require.Contains(t, expected, other)
			require.Contains(t, string(dir.YAML(example.Name).Text), "name: "+other)
		}
	}
}

// Every kind, exec type, mode and strategy is shown by some example.
func TestExamples_ShowEveryOption(t *testing.T) {
	t.Parallel()
	dir, all := loadExamples(t)
	seen := map[string]bool{}
	for _, example := range all {
		var members any
		require.NoError(t, json.Unmarshal(canonical(t, dir, example.Name), &members))
		gather(members, seen)
	}
	for _, kind := range flow.Kinds {
		require.Contains(t, seen, "kind="+string(kind))
	}
	for _, execType := range flow.ExecTypes {
		require.Contains(t, seen, "exec_type="+string(execType))
	}
	for _, strategy := range flow.FailureStrategies {
		require.Contains(t, seen, "failure_strategy="+string(strategy))
	}
	require.Contains(t, seen, "parallel_mode="+string(flow.Concurrent))
	for _, field := range []string{
		"timeout_ms", "max_steps", "params", "input_key", "input_map", "output_key", "output_map", "action_key", "action_static",
		"max_retries", "wait_ms", "backoff", "factor", "max_ms", "jitter", "weighted_by_load", "max_attempts", "attempt_delay_ms",
		"choice_cases", "default_action", "parallel_execs", "parallel_services", "services", "foreach_execs", "max_parallel",
		"subflow", "flow", "version", "subflow_execs", "delay_ms", "until", "signal_key", "approval_key",
		"cmd", "args", "code", "language", "env", "work_dir", "stdin_mode", "output_mode",
		"and", "or", "not", "eq", "ne", "gt", "lt", "ge", "le", "exists", "in", "contains",
	} {
		require.Contains(t, seen, field)
	}
}

// gather notes every key of objects, and of the enums the value with it.
func gather(value any, seen map[string]bool) {
	switch v := value.(type) {
	case []any:
		for _, item := range v {
			gather(item, seen)
		}
	case map[string]any:
		for key, member := range v {
			seen[key] = true
			if text, ok := member.(string); ok {
				seen[key+"="+text] = true
			}
			gather(member, seen)
		}
	}
}

func TestExamples_AreTheSameInJSON(t *testing.T) {
	t.Parallel()
	dir, all := loadExamples(t)
	for _, example := range all {
		var indented bytes.Buffer
		require.NoError(t, json.Indent(&indented, canonical(t, dir, example.Name), "", "  "))
		indented.WriteByte('\n')
		file := filepath.Join(string(dir), "json", example.Name+".json")
		if *update {
			require.NoError(t, os.WriteFile(file, indented.Bytes(), 0o644))
			continue
		}
		require.Equal(t, indented.String(), string(dir.JSON(example.Name).Text), "%s is not its YAML; run this test with -update", file)
	}
}

// The README has every example with its commands and expected results.
func TestExamples_AreListedWithTheirResults(t *testing.T) {
	t.Parallel()
	dir, all := loadExamples(t)
	file := filepath.Join(string(dir), "README.md")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	written, listed, found := strings.Cut(string(text), examples.Marker)
	require.True(t, found, "the README has no line %s", examples.Marker)
	if *update {
		text = []byte(written + examples.Marker + examples.Readme(all))
		require.NoError(t, os.WriteFile(file, text, 0o644))
		return
	}
	require.Equal(t, examples.Readme(all), listed, "run this test with -update")
}

func loadExamples(t *testing.T) (examples.Dir, []examples.Example) {
	t.Helper()
	dir := examples.Dir(filepath.Join(root(t), "examples"))
	all, err := dir.Load()
	require.NoError(t, err)
	return dir, all
}

// canonical is the definition of the example's YAML as it would be stored.
func canonical(t *testing.T, dir examples.Dir, name string) json.RawMessage {
	t.Helper()
	definition, report := flow.Check(dir.YAML(name), flow.DefaultLimits())
	require.NoError(t, report.Err(), name)
	text, err := definition.JSON()
	require.NoError(t, err)
	return text
}

// names are those of the files, without their endings, in order.
func names(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	require.NoError(t, err)
	out := make([]string, len(files))
	for i, file := range files {
		out[i] = strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	}
	slices.Sort(out)
	return out
}
