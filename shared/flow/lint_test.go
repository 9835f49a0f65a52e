package flow_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/flow"
)

// questionable is a definition without errors and what it is warned of.
type questionable struct {
	text string
	want []string
}

// edges wraps one node A and its edges into a definition.
func edges(node, edges string) string {
	return `{"start":"A","nodes":{"A":` + node + `},"edges":[` + edges + `]}`
}

func questionableDefinitions(t testing.TB) map[string]questionable {
	const s = `"kind":"executor","service":"s"`
	const inner = `{"start":"a","nodes":{"a":{` + s + `}}}`
	const yes, no, own = `{"from":"A","action":"approved","to":""}`, `{"from":"A","action":"rejected","to":""}`, `{"from":"A","action":"x","to":""}`
	const rest, late = `{"from":"A","to":""}`, `{"from":"A","action":"timeout","to":""}`
	// Inside a subflow, a node that nothing leads on from.
	within := func(node, execs string) string {
		return `{"start":"S","nodes":{"S":{"kind":"subflow","subflow":` + edges(node, own) + `,"subflow_execs":[` + execs + `]}}}`
	}
	return map[string]questionable{
		"minimal": {string(read(t, "minimal.json")), []string{}},
		"unreachable": {
			`{"start":"A","nodes":{"A":{` + s + `},"B":{` + s + `}}}`, []string{"unreachable_node nodes.B"}},
		"static action without edge": {
			`{"start":"A","nodes":{"A":{` + s + `,"post":{"action_static":"x"}}},"edges":[{"from":"A","action":"y","to":""}]}`,
			[]string{"unused_action nodes.A.post.action_static"}},
		"static action with default edge": {
			`{"start":"A","nodes":{"A":{` + s + `,"post":{"action_static":"x"}}},"edges":[{"from":"A","to":""}]}`, []string{}},
		"case without edge": {
			`{"start":"A","nodes":{"A":{"kind":"choice","choice_cases":[{"action":"x","expr":{"eq":[1,1]}}],"default_action":"y"}},"edges":[{"from":"A","action":"y","to":""}]}`,
			[]string{"unused_action nodes.A.choice_cases[0].action"}},
		"no way on": {
			`{"start":"A","nodes":{"A":{` + s + `}},"edges":[{"from":"A","action":"y","to":""},{"from":"A","action":"error","to":""}]}`,
			[]string{"dead_end nodes.A"}},
		"error edge alone ends": {
			`{"start":"A","nodes":{"A":{` + s + `}},"edges":[{"from":"A","action":"error","to":""}]}`, []string{}},
		"busy loop": {
			`{"start":"A","nodes":{"A":{` + s + `},"B":{` + s + `}},"edges":[{"from":"A","to":"B"},{"from":"B","to":"A"}]}`,
			[]string{"busy_loop nodes.A"}},
		"loop with a wait": {
			`{"start":"A","nodes":{"A":{` + s + `},"B":{"kind":"timer","delay_ms":5}},"edges":[{"from":"A","to":"B"},{"from":"B","to":"A"}]}`,
			[]string{}},
		"loop to itself": {
			`{"start":"A","nodes":{"A":{` + s + `}},"edges":[{"from":"A","to":"A"}]}`, []string{"busy_loop nodes.A"}},
		"dotted key": {
			node(`{` + s + `,"post":{"output_key":"a.b"}}`), []string{"dotted_key nodes.A.post.output_key"}},
		"input in prep": {
			node(`{` + s + `,"prep":{"input_map":{"x":"$input.a"}}}`), []string{"input_in_prep nodes.A.prep.input_map.x"}},
		"inside a subflow": {
			node(`{"kind":"subflow","subflow":{"start":"A","nodes":{"A":{` + s + `}},"edges":[{"from":"A","to":"A"}]}}`),
			[]string{"busy_loop nodes.A.subflow.nodes.A"}},
		// Actions.
		"wait without action":            {edges(`{"kind":"wait_event","signal_key":"k"}`, own), []string{"dead_end nodes.A"}},
		"wait with action_key":           {edges(`{"kind":"wait_event","signal_key":"k","post":{"action_key":"signal"}}`, own), []string{}},
		"wait with a way after its time": {edges(`{"kind":"wait_event","signal_key":"k","timeout_ms":1,"post":{"action_static":"x"}}`, own), []string{}},
		"wait with its time-out alone":   {edges(`{"kind":"wait_event","signal_key":"k","timeout_ms":1}`, late), []string{}},
		"wait with a static action astray": {
			edges(`{"kind":"wait_event","signal_key":"k","timeout_ms":1,"post":{"action_static":"y"}}`, own),
			[]string{"unused_action nodes.A.post.action_static"}},
		"wait for a key":          {node(`{"kind":"wait_event","signal_key":"$shared.order.paid"}`), []string{}},
		"wait for no key":         {node(`{"kind":"wait_event","signal_key":"$input"}`), []string{"no_signal nodes.A.signal_key"}},
		"wait for an element":     {node(`{"kind":"wait_event","params":{"signal_key":"$shared[0]"}}`), []string{"no_signal nodes.A.signal_key"}},
		"wait for a private key":  {node(`{"kind":"wait_event","signal_key":"_x"}`), []string{"no_signal nodes.A.signal_key"}},
		"timer without action":    {edges(`{"kind":"timer","delay_ms":1}`, own), []string{"dead_end nodes.A"}},
		"parallel without action": {edges(`{"kind":"parallel","parallel_services":["a"]}`, own), []string{"dead_end nodes.A"}},
		"foreach with action_key": {edges(`{"kind":"foreach","service":"s","post":{"action_key":"result[0]"}}`, own), []string{}},
		"subflow without action":  {edges(`{"kind":"subflow","flow":{"name":"f"}}`, own), []string{"dead_end nodes.A"}},
		"subflow with action_key": {edges(`{"kind":"subflow","flow":{"name":"f"},"post":{"action_key":"way"}}`, own), []string{}},
		"choice by action_key":    {edges(`{"kind":"choice","post":{"action_key":"way"}}`, own), []string{}},
		"default without edge":    {edges(`{"kind":"choice","default_action":"y"}`, own), []string{"unused_action nodes.A.default_action"}},

		"approval with both ways":        {edges(`{"kind":"approval","approval_key":"k"}`, yes+","+no), []string{}},
		"approval with default":          {edges(`{"kind":"approval","approval_key":"k"}`, yes+","+rest), []string{}},
		"approval without edges":         {node(`{"kind":"approval","approval_key":"k"}`), []string{}},
		"approval with time-out alone":   {edges(`{"kind":"approval","approval_key":"k","timeout_ms":1}`, late), []string{}},
		"approval that is not rejected":  {edges(`{"kind":"approval","approval_key":"k"}`, yes), []string{"unused_action nodes.A"}},
		"approval that is not approved":  {edges(`{"kind":"approval","approval_key":"k"}`, no+","+own), []string{"unused_action nodes.A"}},
		"approval by words of its own":   {edges(`{"kind":"approval","approval_key":"k"}`, own), []string{}},
		"approval by action_key":         {edges(`{"kind":"approval","approval_key":"k","post":{"action_key":"approval"}}`, yes), []string{}},
		"approval with a static action":  {edges(`{"kind":"approval","approval_key":"k","post":{"action_static":"x"}}`, own), []string{}},
		"approval with a static astray":  {edges(`{"kind":"approval","approval_key":"k","post":{"action_static":"y"}}`, own), []string{"unused_action nodes.A.post.action_static"}},
		"approval with edges misspelled": {edges(`{"kind":"approval","approval_key":"k"}`, `{"from":"A","action":"approve","to":""},{"from":"A","action":"reject","to":""}`), []string{"unused_action nodes.A", "unused_action nodes.A"}},

		"post of subflow_execs": {within(`{`+s+`}`, `{"node":"A","post":{"action_static":"x"}}`), []string{}},
		"post of subflow_execs astray": {
			within(`{`+s+`,"post":{"action_static":"x"}}`, `{"node":"A","post":{"action_static":"y"}}`),
			[]string{"unused_action nodes.S.subflow_execs[0].post.action_static"}},
		"post of subflow_execs without action": {
			within(`{`+s+`,"post":{"action_static":"x"}}`, `{"node":"A","post":{"output_key":"y"}}`),
			[]string{"dead_end nodes.S.subflow.nodes.A"}},

		// Loops.
		"loop with an approval": {edges(`{"kind":"approval","approval_key":"k"}`, `{"from":"A","to":"A"}`), []string{}},
		"loop with a parallel":  {edges(`{"kind":"parallel","parallel_services":["a"]}`, `{"from":"A","to":"A"}`), []string{"busy_loop nodes.A"}},
		"loop with a subflow":   {edges(`{"kind":"subflow","subflow":`+inner+`}`, `{"from":"A","to":"A"}`), []string{"busy_loop nodes.A"}},
		"loop with a subflow that waits": {
			edges(`{"kind":"subflow","subflow":`+node(`{"kind":"wait_event","signal_key":"k"}`)+`}`, `{"from":"A","to":"A"}`), []string{}},
		"loop with a named flow": {edges(`{"kind":"subflow","flow":{"id":"f"}}`, `{"from":"A","to":"A"}`), []string{}},
		"loop by the error edge": {edges(`{`+s+`}`, `{"from":"A","action":"error","to":"A"}`), []string{"busy_loop nodes.A"}},
		"reached by the error edge": {
			`{"start":"A","nodes":{"A":{` + s + `},"B":{` + s + `}},"edges":[{"from":"A","action":"error","to":"B"}]}`, []string{}},

		// Failure strategies.
		"retry of nothing":          {node(`{"kind":"foreach","service":"s","failure_strategy":"retry"}`), []string{"no_retries nodes.A.failure_strategy"}},
		"retry no times":            {node(`{"kind":"parallel","parallel_services":["a"],"failure_strategy":"retry","max_retries":0}`), []string{"no_retries nodes.A.failure_strategy"}},
		"retry of a wait, no times": {node(`{"kind":"wait_event","signal_key":"k","timeout_ms":1,"failure_strategy":"retry"}`), []string{"no_retries nodes.A.failure_strategy"}},
		"retry of a subflow":        {node(`{"kind":"subflow","flow":{"name":"f"},"failure_strategy":"retry","max_retries":1}`), []string{}},
		"retry by subflow_execs": {
			node(`{"kind":"subflow","subflow":` + node(`{"kind":"foreach","service":"s","failure_strategy":"retry"}`) + `,"subflow_execs":[{"node":"A","max_retries":2}]}`), []string{}},
		"strategy of an executor": {node(`{` + s + `,"failure_strategy":"retry"}`), []string{"unused_setting nodes.A.failure_strategy"}},

		// Settings that do nothing.
		"window of a sequence": {node(`{"kind":"parallel","parallel_services":["a"],"max_parallel":2}`), []string{"unused_setting nodes.A.max_parallel"}},
		"window of a sequence, said": {
			node(`{"kind":"foreach","service":"s","parallel_mode":"sequential","max_parallel":2}`), []string{"unused_setting nodes.A.max_parallel"}},
		"window": {node(`{"kind":"foreach","service":"s","parallel_mode":"concurrent","max_parallel":2}`), []string{}},
		"branches of an executor": {
			node(`{` + s + `,"parallel_execs":[{}],"parallel_services":["a"],"services":["a"],"parallel_mode":"concurrent","max_parallel":2}`),
			[]string{"unused_setting nodes.A.parallel_execs", "unused_setting nodes.A.parallel_services", "unused_setting nodes.A.services", "unused_setting nodes.A.parallel_mode", "unused_setting nodes.A.max_parallel"}},
		"action of a branch": {
			node(`{"kind":"parallel","parallel_execs":[{"service":"a","post":{"action_key":"x"}}]}`), []string{"unused_setting nodes.A.parallel_execs[0].post.action_key"}},
		"action of an item": {
			node(`{"kind":"foreach","service":"s","foreach_execs":[{"index":0,"post":{"action_static":"x"}}]}`), []string{"unused_setting nodes.A.foreach_execs[0].post.action_static"}},
		"steps of a subflow":   {node(`{"kind":"subflow","subflow":` + strings.Replace(inner, "{", `{"max_steps":5,`, 1) + `}`), []string{"unused_setting nodes.A.subflow.max_steps"}},
		"items of a parallel":  {node(`{"kind":"parallel","parallel_services":["a"],"foreach_execs":[{"index":0}]}`), []string{"unused_setting nodes.A.foreach_execs"}},
		"flows of an executor": {node(`{` + s + `,"subflow":` + inner + `,"flow":{"name":"f"},"subflow_execs":[{"node":"a"}]}`), []string{"unused_setting nodes.A.subflow", "unused_setting nodes.A.flow", "unused_setting nodes.A.subflow_execs"}},
		"cases of an executor": {node(`{` + s + `,"choice_cases":[{"action":"x","expr":{"eq":[1,1]}}],"default_action":"y","choice_key":"z"}`), []string{"unused_setting nodes.A.choice_cases", "unused_setting nodes.A.default_action", "unused_setting nodes.A.choice_key"}},
		"target of a timer":    {node(`{"kind":"timer","delay_ms":1,"service":"s","func":"f","script":{"cmd":"c"}}`), []string{"unused_setting nodes.A.service", "unused_setting nodes.A.func", "unused_setting nodes.A.script"}},
		"bounds of a timer": {
			node(`{"kind":"timer","delay_ms":1,"exec_type":"queue","timeout_ms":1,"max_retries":1,"wait_ms":1,"backoff":{"factor":2}}`),
			[]string{"unused_setting nodes.A.exec_type", "unused_setting nodes.A.timeout_ms", "unused_setting nodes.A.max_retries", "unused_setting nodes.A.wait_ms", "unused_setting nodes.A.backoff"}},
		"routing of a subflow": {
			node(`{"kind":"subflow","timeout_ms":1,"max_retries":1,"wait_ms":1,"weighted_by_load":true,"max_attempts":2,"attempt_delay_ms":1,"subflow":` + inner + `}`),
			[]string{"unused_setting nodes.A.weighted_by_load", "unused_setting nodes.A.max_attempts", "unused_setting nodes.A.attempt_delay_ms"}},
		"pauses of a wait": {
			node(`{"kind":"approval","approval_key":"k","timeout_ms":1,"failure_strategy":"retry","max_retries":1,"wait_ms":1,"backoff":{"factor":2}}`),
			[]string{"unused_setting nodes.A.wait_ms", "unused_setting nodes.A.backoff"}},
		"times of a wait":           {node(`{"kind":"wait_event","signal_key":"k","delay_ms":1,"until":1,"approval_key":"a"}`), []string{"unused_setting nodes.A.delay_ms", "unused_setting nodes.A.until", "unused_setting nodes.A.approval_key"}},
		"key of an approval":        {node(`{"kind":"approval","approval_key":"k","signal_key":"s"}`), []string{"unused_setting nodes.A.signal_key"}},
		"names beside execs":        {node(`{"kind":"parallel","parallel_execs":[{"service":"a"}],"parallel_services":["a"],"services":["a"]}`), []string{"unused_setting nodes.A.parallel_services", "unused_setting nodes.A.services"}},
		"services beside names":     {node(`{"kind":"parallel","parallel_services":["a"],"services":["a"]}`), []string{"unused_setting nodes.A.services"}},
		"services for the branches": {node(`{"kind":"parallel","parallel_execs":[{"service":"a"}],"params":{"services":["b"]}}`), []string{}},
		"static action of a choice": {edges(`{"kind":"choice","default_action":"x","post":{"action_static":"x"}}`, own), []string{"unused_setting nodes.A.post.action_static"}},
		"both keys of a choice":     {edges(`{"kind":"choice","choice_key":"a","post":{"action_key":"a"}}`, own), []string{"unused_setting nodes.A.choice_key"}},

		// What parts read and write.
		"dotted key of a branch": {node(`{"kind":"parallel","parallel_execs":[{"service":"a","post":{"output_key":"a.b"}}]}`), []string{"dotted_key nodes.A.parallel_execs[0].post.output_key"}},
		"dotted key of an item":  {node(`{"kind":"foreach","service":"s","foreach_execs":[{"index":0,"post":{"output_map":{"a[0]":"x"}}}]}`), []string{`dotted_key nodes.A.foreach_execs[0].post.output_map["a[0]"]`}},
		"dotted key of an override": {
			node(`{"kind":"subflow","flow":{"name":"f"},"subflow_execs":[{"node":"a","post":{"output_key":"a.b"}}]}`), []string{"dotted_key nodes.A.subflow_execs[0].post.output_key"}},
		"input of a branch": {node(`{"kind":"parallel","parallel_execs":[{"service":"a","prep":{"input_key":"$input.a"}}]}`), []string{}},
		"input of an item":  {node(`{"kind":"foreach","service":"s","foreach_execs":[{"index":0,"prep":{"input_map":{"a":"$input"}}}]}`), []string{}},
		"input of an override": {
			node(`{"kind":"subflow","flow":{"name":"f"},"subflow_execs":[{"node":"a","prep":{"input_key":"$input.a"}}]}`), []string{"input_in_prep nodes.A.subflow_execs[0].prep.input_key"}},
	}
}

func TestCheck_Warnings(t *testing.T) {
	t.Parallel()
	for name, tc := range questionableDefinitions(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, report := flow.Check(flow.Source{Text: []byte(tc.text)}, flow.DefaultLimits())
			require.Empty(t, report.Errors)
			require.Equal(t, tc.want, lines(report.Warnings))
		})
	}
}

func TestCheck_WarningsInsideASubflowHaveTheirWholePath(t *testing.T) {
	t.Parallel()
	for name, tc := range questionableDefinitions(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, base := inSubflow(tc.text)
			_, report := flow.Check(flow.Source{Text: []byte(text)}, flow.DefaultLimits())
			require.Empty(t, report.Errors)
			require.Equal(t, rebased(base, tc.want), lines(report.Warnings))
		})
	}
}

func TestCheck_DoesNotWarnOfSettingsOfAnUnknownKind(t *testing.T) {
	t.Parallel()
	_, report := flow.Check(flow.Source{Text: []byte(node(`{"kind":"fan","parallel_services":["a"],"failure_strategy":"retry"}`))}, flow.DefaultLimits())
	require.Equal(t, []string{"unknown_kind nodes.A.kind"}, lines(report.Errors))
	require.Empty(t, report.Warnings)
}
