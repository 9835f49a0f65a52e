package flow_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/flow"
)

func TestCheck_RefusesNamesThatCannotBeStoredOrSent(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		`{"start":"A","nodes":{"A":{"kind":"executor","service":"s"},"b\u0000":{"kind":"executor","service":"a\nb"}},
			"edges":[{"from":"A","action":"go\u007f","to":""}]}`: {
			`invalid_name nodes["b\x00"]`, `invalid_name nodes["b\x00"].service`, "invalid_name edges[0].action",
		},
		node(`{"kind":"executor","exec_type":"local_func","func":"\u0001","post":{"output_key":"\u0000",
			"output_map":{"a\u0085":"x"},"action_static":"\u001b[2J"}}`): {
			"invalid_name nodes.A.func", `invalid_name nodes.A.post.output_map["a\u0085"]`,
			"invalid_name nodes.A.post.output_key", "invalid_name nodes.A.post.action_static",
		},
		node(`{"kind":"choice","choice_cases":[{"action":"\u0000","expr":{"exists":"$input"}}],"default_action":"a\tb"}`): {
			"invalid_name nodes.A.default_action", "invalid_name nodes.A.choice_cases[0].action",
		},
		node(`{"kind":"parallel","parallel_services":["a","\u0000"]}`):                                         {"invalid_name nodes.A.parallel_services[1]"},
		node(`{"kind":"parallel","parallel_execs":[{"service":"\u0000"}]}`):                                    {"invalid_name nodes.A.parallel_execs[0].service"},
		node(`{"kind":"parallel","services":["a\u0000"]}`):                                                     {"wrong_type nodes.A.services"},
		node(`{"kind":"foreach","foreach_execs":[{"index":0,"service":"\u0000"}]}`):                            {"invalid_name nodes.A.foreach_execs[0].service"},
		node(`{"kind":"subflow","flow":{"name":"\u0000"}}`):                                                    {"invalid_name nodes.A.flow.name"},
		node(`{"kind":"subflow","subflow":` + node(`{"kind":"executor","service":"\u0000"}`) + `}`):            {"invalid_name nodes.A.subflow.nodes.A.service"},
		node(`{"kind":"wait_event","signal_key":"a\u0000"}`):                                                   {"invalid_name nodes.A.signal_key"},
		node(`{"kind":"approval","approval_key":"$shared[\"a\\u0000\"]"}`):                                     {"invalid_name nodes.A.approval_key"},
		node(`{"kind":"executor","service":"` + strings.Repeat("x", 257) + `"}`):                               {"invalid_name nodes.A.service"},
		node(`{"kind":"executor","service":"` + strings.Repeat("é", 128) + `","params":{"a\u0000":"\u0000"}}`): {},
	} {
		def, report := flow.Check(flow.Source{Text: []byte(text)}, flow.DefaultLimits())
		require.NotNil(t, def, text)
		require.ElementsMatch(t, want, lines(report.Errors), text)
	}
}

func TestCheck_RefusesTextThatIsNotUTF8(t *testing.T) {
	t.Parallel()
	for _, format := range flow.Formats {
		def, report := flow.Check(flow.Source{Format: format, Text: []byte("{\"start\":\"\xff\"}")}, flow.DefaultLimits())
		require.Nil(t, def, format)
		require.Equal(t, []string{"malformed "}, lines(report.Errors), format)
		require.ErrorContains(t, report.Err(), "not UTF-8", format)
	}
}

func TestCheck_FindsControlCharactersThatYAMLEscapes(t *testing.T) {
	t.Parallel()
	_, report := flow.Check(flow.Source{Format: flow.FormatYAML, Text: []byte(`{start: A, nodes: {A: {kind: executor, service: "a\0b"}}}`)}, flow.DefaultLimits())
	require.Equal(t, []string{"invalid_name nodes.A.service"}, lines(report.Errors))
}

// What a worker answers is no name until an edge takes it.
func TestNext_TakesNoEdgeForAnActionThatIsNoName(t *testing.T) {
	t.Parallel()
	plan := compile(t, `{"start":"A","nodes":{"A":{"kind":"executor","service":"s","post":{"action_key":"action"}}},
		"edges":[{"from":"A","action":"go","to":"A"}]}`)
	long, err := json.Marshal(strings.Repeat("x", 1<<20))
	require.NoError(t, err)
	for _, value := range []string{`"go\u0000"`, `"\u0000"`, `"\ud800"`, string(long)} {
		action := plan.Node("A").Post.Action(scope(`{}`, `{}`, ``), json.RawMessage(`{"action":`+value+`}`))
		require.NotEmpty(t, action)
		key, exit := plan.Next("A", action)
		require.Equal(t, flow.ExitNone, exit)
		require.Empty(t, key)
	}
}
