package flow_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/flow/expr"
)

// inSubflow embeds a definition two levels deep; base is the path it gets.
func inSubflow(definition string) (text, base string) {
	return `{"start":"top","nodes":{"top":{"kind":"subflow","subflow":{"start":"in","nodes":{"in":{"kind":"subflow","subflow":` + definition + `}}}}}}`,
		"nodes.top.subflow.nodes.in.subflow"
}

// rebased are lines under a base.
func rebased(base string, lines []string) []string {
	out := []string{}
	for _, line := range lines {
		code, path, _ := strings.Cut(line, " ")
		out = append(out, code+" "+expr.Rebase(base, path))
	}
	return out
}

func TestCheck_ErrorsInsideASubflowHaveTheirWholePath(t *testing.T) {
	t.Parallel()
	for name, tc := range faultyDefinitions(t) {
		if tc.want == nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, base := inSubflow(tc.text)
			_, report := flow.Check(flow.Source{Text: []byte(text)}, flow.DefaultLimits())
			require.Equal(t, rebased(base, tc.want), lines(report.Errors))
		})
	}
}

func TestCheck_ErrorsOfExecSpecs(t *testing.T) {
	t.Parallel()
	places := map[string]struct{ before, after, base string }{
		"node":         {`{"kind":"executor","service":"s",`, `}`, "nodes.A"},
		"branch":       {`{"kind":"parallel","service":"s","parallel_execs":[{},{`, `}]}`, "nodes.A.parallel_execs[1]"},
		"item":         {`{"kind":"foreach","service":"s","foreach_execs":[{"index":7,`, `}]}`, "nodes.A.foreach_execs[0]"},
		"subflow node": {`{"kind":"subflow","subflow":{"start":"a","nodes":{"a":{"kind":"executor","service":"s"}}},"subflow_execs":[{"node":"a",`, `}]}`, "nodes.A.subflow_execs[0]"},
	}
	for fields, want := range map[string]string{
		`"exec_type":"grpc"`:                     "unknown_exec_type exec_type",
		`"exec_type":"local_func"`:               "missing_target func",
		`"exec_type":"local_script"`:             "missing_target script",
		`"script":{}`:                            "missing script",
		`"script":{"code":"x"}`:                  "missing script.language",
		`"script":{"cmd":"x","timeout_ms":-1}`:   "negative script.timeout_ms",
		`"script":{"cmd":"x","stdin_mode":"y"}`:  "unknown_value script.stdin_mode",
		`"script":{"cmd":"x","output_mode":"y"}`: "unknown_value script.output_mode",
		`"script":{"cmd":"x","env":{"A":1}}`:     "wrong_type script.env.A",
		`"servce":"s"`:                           "unknown_field servce",
		`"post":{"outputkey":"x"}`:               "unknown_field post.outputkey",
		`"max_retries":-1`:                       "negative max_retries",
		`"wait_ms":-1`:                           "negative wait_ms",
		`"backoff":{"factor":-1}`:                "negative backoff.factor",
		`"backoff":{"max_ms":-1}`:                "negative backoff.max_ms",
		`"backoff":{"jitter":-1}`:                "negative backoff.jitter",
		`"backoff":{"jitter":1.5}`:               "out_of_range backoff.jitter",
		`"timeout_ms":-1`:                        "negative timeout_ms",
		`"timeout_ms":"soon"`:                    "wrong_type timeout_ms",
		`"timeout_ms":"$foo"`:                    "bad_reference timeout_ms",
		`"max_attempts":-1`:                      "negative max_attempts",
		`"attempt_delay_ms":-1`:                  "negative attempt_delay_ms",
		`"params":[]`:                            "wrong_type params",
		`"params":{"a":[{"b":"$foo"}]}`:          "bad_reference params.a[0].b",
		`"prep":{"input_key":"a..b"}`:            "bad_reference prep.input_key",
		`"prep":{"input_key":"$foo.a"}`:          "bad_reference prep.input_key",
		`"prep":{"input_map":{"x":"$foo"}}`:      "bad_reference prep.input_map.x",
		`"post":{"output_map":{"x":"a["}}`:       "bad_reference post.output_map.x",
		`"post":{"output_map":{"":"a"}}`:         `bad_key post.output_map[""]`,
		`"post":{"action_key":"a["}`:             "bad_reference post.action_key",
		`"post":{"output_key":"a\u0000"}`:        "invalid_name post.output_key",
		`"func":"a\u0000"`:                       "invalid_name func",
	} {
		for name, place := range places {
			t.Run(name+" "+fields, func(t *testing.T) {
				t.Parallel()
				_, report := flow.Check(flow.Source{Text: []byte(node(place.before + fields + place.after))}, flow.DefaultLimits())
				require.Equal(t, rebased(place.base, []string{want}), lines(report.Errors))
			})
		}
	}
}

func TestCheck_LimitsCountWhatSubflowsHold(t *testing.T) {
	t.Parallel()
	text, _ := inSubflow(node(`{"kind":"executor","service":"s"}`))
	_, report := flow.Check(flow.Source{Text: []byte(text)}, flow.Limits{MaxBytes: len(text), MaxNodes: 3, MaxNesting: 2})
	require.Empty(t, report.Errors)
	_, report = flow.Check(flow.Source{Text: []byte(text)}, flow.Limits{MaxBytes: len(text), MaxNodes: 2, MaxNesting: 1})
	require.Equal(t, []string{"too_many_nodes nodes", "too_deep nodes"}, lines(report.Errors))
}
