package flow_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/flow"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return data
}

func compile(t testing.TB, text string) *flow.Plan {
	t.Helper()
	def, report := flow.Check(flow.Source{Text: []byte(text)}, flow.DefaultLimits())
	require.NoError(t, report.Err())
	plan, err := flow.Compile(def)
	require.NoError(t, err)
	return plan
}

func lines(faults []errs.Fault) []string {
	out := []string{}
	for _, f := range faults {
		out = append(out, f.Code+" "+f.Path)
	}
	return out
}

func TestCheck_ReportsEveryFaultAtOnce(t *testing.T) {
	t.Parallel()
	_, report := flow.Check(flow.Source{Text: read(t, "faults.json")}, flow.DefaultLimits())
	var got bytes.Buffer
	for _, f := range report.Errors {
		fmt.Fprintf(&got, "error   %-24s %s: %s\n", f.Code, f.Path, f.Message)
	}
	for _, f := range report.Warnings {
		fmt.Fprintf(&got, "warning %-24s %s: %s\n", f.Code, f.Path, f.Message)
	}
	golden := filepath.Join("testdata", "faults.golden")
	if *update {
		require.NoError(t, os.WriteFile(golden, got.Bytes(), 0o644))
	}
	require.Equal(t, string(read(t, "faults.golden")), got.String())
}

func TestCheck_AcceptsEveryDocumentedField(t *testing.T) {
	t.Parallel()
	def, report := flow.Check(flow.Source{Text: read(t, "every_field.json")}, flow.DefaultLimits())
	require.Empty(t, report.Errors)
	require.Empty(t, report.Warnings)
	require.Len(t, def.Nodes, 15)
}

// node wraps one node into a definition that is right otherwise.
func node(body string) string {
	return `{"start":"A","nodes":{"A":` + body + `}}`
}

// faulty is a definition and what is wrong with it, as lines writes it; want is
// nil when it is so deep that nothing else is looked for.
type faulty struct {
	text string
	want []string
}

func faultyDefinitions(t testing.TB) map[string]faulty {
	executor := `"kind":"executor","service":"s"`
	return map[string]faulty{
		"minimal is right":          {string(read(t, "minimal.json")), []string{}},
		"null counts as absent":     {node(`{` + executor + `,"prep":null,"max_retries":null,"params":null}`), []string{}},
		"not an object":             {`[]`, []string{"wrong_type "}},
		"empty":                     {`{}`, []string{"missing nodes", "missing start"}},
		"unknown start":             {`{"start":"B","nodes":{"A":{` + executor + `}}}`, []string{"unknown_node start"}},
		"nodes of a wrong type":     {`{"start":"B","nodes":7}`, []string{"wrong_type nodes"}},
		"node of a wrong type":      {node(`7`), []string{"wrong_type nodes.A"}},
		"fraction for a count":      {node(`{` + executor + `,"max_retries":1.5}`), []string{"wrong_type nodes.A.max_retries"}},
		"count out of range":        {node(`{` + executor + `,"wait_ms":99999999999999999999}`), []string{"out_of_range nodes.A.wait_ms"}},
		"time out of range":         {node(`{` + executor + `,"timeout_ms":9223372036854775807}`), []string{"out_of_range nodes.A.timeout_ms"}},
		"time far out of range":     {node(`{` + executor + `,"timeout_ms":99999999999999999999}`), []string{"out_of_range nodes.A.timeout_ms"}},
		"factor out of range":       {node(`{` + executor + `,"backoff":{"factor":1e999}}`), []string{"out_of_range nodes.A.backoff.factor"}},
		"repeated key":              {`{"start":"A","start":"A","nodes":{"A":{` + executor + `}}}`, []string{"duplicate_key start"}},
		"repeated key in params":    {node(`{` + executor + `,"params":{"a":[{"b":1,"b":2}]}}`), []string{"duplicate_key nodes.A.params.a[0].b"}},
		"unknown field, deep":       {node(`{` + executor + `,"backoff":{"facter":2}}`), []string{"unknown_field nodes.A.backoff.facter"}},
		"key with a dot":            {`{"start":"a.b","nodes":{"a.b":{"kind":"x"}}}`, []string{`unknown_kind nodes["a.b"].kind`}},
		"empty key":                 {`{"start":"A","nodes":{"A":{` + executor + `},"":{` + executor + `}}}`, []string{`bad_key nodes[""]`}},
		"no kind":                   {node(`{"service":"s"}`), []string{"missing nodes.A.kind"}},
		"params no object":          {node(`{` + executor + `,"params":[]}`), []string{"wrong_type nodes.A.params"}},
		"queue without service":     {node(`{"kind":"executor","exec_type":"queue","func":"f"}`), []string{"missing_target nodes.A.service"}},
		"func without func":         {node(`{"kind":"executor","exec_type":"local_func","service":"f"}`), []string{"missing_target nodes.A.func"}},
		"script without script":     {node(`{"kind":"executor","exec_type":"local_script"}`), []string{"missing_target nodes.A.script"}},
		"code without language":     {node(`{"kind":"executor","exec_type":"local_script","script":{"code":"x"}}`), []string{"missing nodes.A.script.language"}},
		"choice by action_key":      {node(`{"kind":"choice","post":{"action_key":"way"}}`), []string{}},
		"choice by choice_key":      {node(`{"kind":"choice","choice_key":"way"}`), []string{}},
		"choice by default":         {node(`{"kind":"choice","default_action":"x"}`), []string{}},
		"choice by nothing":         {node(`{"kind":"choice"}`), []string{"missing nodes.A"}},
		"case without expression":   {node(`{"kind":"choice","choice_cases":[{"action":"x"}]}`), []string{"missing nodes.A.choice_cases[0].expr"}},
		"reference in params":       {node(`{` + executor + `,"params":{"a":"$sharedx"}}`), []string{"bad_reference nodes.A.params.a"}},
		"setting as template":       {node(`{` + executor + `,"timeout_ms":["$params.a"]}`), []string{"wrong_type nodes.A.timeout_ms"}},
		"setting bad reference":     {node(`{` + executor + `,"timeout_ms":"$x"}`), []string{"bad_reference nodes.A.timeout_ms"}},
		"setting in params, once":   {node(`{"kind":"timer","params":{"delay_ms":"$x"}}`), []string{"bad_reference nodes.A.params.delay_ms"}},
		"parallel of nothing":       {node(`{"kind":"parallel"}`), []string{"missing nodes.A"}},
		"parallel of empty name":    {node(`{"kind":"parallel","parallel_services":[""]}`), []string{"missing nodes.A.parallel_services[0]"}},
		"parallel, bad services":    {node(`{"kind":"parallel","services":[1]}`), []string{"wrong_type nodes.A.services"}},
		"parallel func, no func":    {node(`{"kind":"parallel","exec_type":"local_func","services":["a"]}`), []string{"missing_target nodes.A.func"}},
		"branch inherits service":   {node(`{"kind":"parallel","service":"s","parallel_execs":[{},{"exec_type":"queue"}]}`), []string{}},
		"branch without target":     {node(`{"kind":"parallel","parallel_execs":[{}]}`), []string{"missing_target nodes.A.parallel_execs[0].service"}},
		"foreach without target":    {node(`{"kind":"foreach"}`), []string{"missing_target nodes.A.service"}},
		"negative index":            {node(`{"kind":"foreach","service":"s","foreach_execs":[{"index":-1}]}`), []string{"negative nodes.A.foreach_execs[0].index"}},
		"subflow of nothing":        {node(`{"kind":"subflow"}`), []string{"missing nodes.A"}},
		"flow without a name":       {node(`{"kind":"subflow","flow":{"version":-1}}`), []string{"missing nodes.A.flow", "negative nodes.A.flow.version"}},
		"flow with name and id":     {node(`{"kind":"subflow","flow":{"name":"a","id":"b"}}`), []string{"conflict nodes.A.flow"}},
		"subflow fault":             {node(`{"kind":"subflow","subflow":{"start":"x","nodes":{"a":{` + executor + `}}}}`), []string{"unknown_node nodes.A.subflow.start"}},
		"override without node":     {node(`{"kind":"subflow","flow":{"name":"a"},"subflow_execs":[{"service":"s"}]}`), []string{"missing nodes.A.subflow_execs[0].node"}},
		"override breaks its node":  {node(`{"kind":"subflow","subflow":{"start":"a","nodes":{"a":{` + executor + `}}},"subflow_execs":[{"node":"a","exec_type":"local_func"}]}`), []string{"missing_target nodes.A.subflow_execs[0].func"}},
		"timer of nothing":          {node(`{"kind":"timer"}`), []string{"missing nodes.A"}},
		"timer of both":             {node(`{"kind":"timer","delay_ms":1,"until":1}`), []string{"conflict nodes.A"}},
		"timer, negative":           {node(`{"kind":"timer","delay_ms":-1}`), []string{"negative nodes.A.delay_ms"}},
		"timer, bad time":           {node(`{"kind":"timer","until":"tomorrow"}`), []string{"wrong_type nodes.A.until"}},
		"wait without key":          {node(`{"kind":"wait_event"}`), []string{"missing nodes.A.signal_key"}},
		"approval, key no text":     {node(`{"kind":"approval","approval_key":7}`), []string{"wrong_type nodes.A.approval_key"}},
		"edge without from":         {`{"start":"A","nodes":{"A":{` + executor + `}},"edges":[{"to":"A"}]}`, []string{"missing edges[0].from"}},
		"edge of a wrong type":      {`{"start":"A","nodes":{"A":{` + executor + `}},"edges":[null]}`, []string{"wrong_type edges[0]"}},
		"two default edges":         {`{"start":"A","nodes":{"A":{` + executor + `}},"edges":[{"from":"A","to":""},{"from":"A","action":"default","to":""}]}`, []string{"duplicate_edge edges[1]"}},
		"negative task time":        {`{"start":"A","timeout_ms":-1,"nodes":{"A":{` + executor + `}}}`, []string{"negative timeout_ms"}},
		"negative window":           {node(`{"kind":"foreach","service":"s","max_parallel":-1}`), []string{"negative nodes.A.max_parallel"}},
		"negative steps":            {`{"start":"A","max_steps":-1,"nodes":{"A":{` + executor + `}}}`, []string{"negative max_steps"}},
		"unknown mode":              {node(`{"kind":"foreach","service":"s","parallel_mode":"x"}`), []string{"unknown_parallel_mode nodes.A.parallel_mode"}},
		"unknown strategy, waiting": {node(`{"kind":"approval","approval_key":"k","failure_strategy":"x"}`), []string{"unknown_failure_strategy nodes.A.failure_strategy"}},
		"unknown operator":          {node(`{"kind":"choice","choice_cases":[{"action":"x","expr":{"or":[{"like":[1,2]}]}}]}`), []string{"unknown_operator nodes.A.choice_cases[0].expr.or[0].like"}},
		"bad services in params":    {node(`{"kind":"parallel","params":{"services":[]}}`), []string{"wrong_type nodes.A.params.services"}},
		"two items of an index":     {node(`{"kind":"foreach","service":"s","foreach_execs":[{"index":0},{"index":0}]}`), []string{"duplicate_key nodes.A.foreach_execs[1].index"}},
		"two overrides of a node":   {node(`{"kind":"subflow","flow":{"name":"a"},"subflow_execs":[{"node":"n"},{"node":"n"}]}`), []string{"duplicate_key nodes.A.subflow_execs[1].node"}},
		"override of nobody":        {node(`{"kind":"subflow","subflow":{"start":"a","nodes":{"a":{` + executor + `}}},"subflow_execs":[{"node":"b"}]}`), []string{"unknown_node nodes.A.subflow_execs[0].node"}},
		"subflow and flow":          {node(`{"kind":"subflow","subflow":{"start":"a","nodes":{"a":{` + executor + `}}},"flow":{"name":"f"}}`), []string{"conflict nodes.A"}},
		"edges of unknown nodes":    {`{"start":"A","nodes":{"A":{` + executor + `}},"edges":[{"from":"A","to":"nowhere"},{"from":"nobody","to":""}]}`, []string{"unknown_node edges[0].to", "unknown_node edges[1].from"}},
		"too deep a text":           {node(`{` + executor + `,"params":{"a":` + strings.Repeat("[", 300) + strings.Repeat("]", 300) + `}}`), nil},
	}
}

func TestCheck_Errors(t *testing.T) {
	t.Parallel()
	for name, tc := range faultyDefinitions(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, report := flow.Check(flow.Source{Text: []byte(tc.text)}, flow.DefaultLimits())
			if tc.want == nil {
				require.Len(t, report.Errors, 1)
				require.Equal(t, flow.CodeTooDeep, report.Errors[0].Code)
				return
			}
			require.Equal(t, tc.want, lines(report.Errors))
		})
	}
}

func TestCheck_SyntaxErrorsHaveLineAndColumn(t *testing.T) {
	t.Parallel()
	def, report := flow.Check(flow.Source{Text: []byte("{\n  \"start\": \"é\" x}")}, flow.DefaultLimits())
	require.Nil(t, def)
	require.Equal(t, []string{"malformed "}, lines(report.Errors))
	require.Contains(t, report.Errors[0].Message, "line 2, column 16")

	_, report = flow.Check(flow.Source{Text: []byte("{\"start\":\"\xff\"}")}, flow.DefaultLimits())
	require.Equal(t, []string{"malformed "}, lines(report.Errors))
}

// hostile are definitions of at most 1 MiB that would be slow to validate if
// any step took the square of their size.
func hostile() map[string]string {
	const s = `{"kind":"executor","service":"s"}`
	var chain, edges, unknown, loops strings.Builder
	for i := range 14000 {
		fmt.Fprintf(&chain, `,"n%d":%s`, i, s)
		fmt.Fprintf(&edges, `,{"from":"n%d","to":"n%d"}`, i, i+1)
		fmt.Fprintf(&unknown, `,{"from":"A","to":"nowhereatall%d"}`, i)
		fmt.Fprintf(&loops, `,{"from":"A","action":"%d","to":"A"}`, i)
	}
	start := `{"start":"A","nodes":{"A":` + s
	long := strings.Repeat("x", 400_000)
	return map[string]string{
		"long chain":    start + chain.String() + `},"edges":[{"from":"A","to":"n0"}` + edges.String() + `]}`,
		"unknown nodes": start + `},"edges":[{"from":"A","to":"A"}` + unknown.String() + `]}`,
		"self loops":    start + `},"edges":[{"from":"A","to":"A"}` + loops.String() + `]}`,
		"long names":    start + `,"` + long + `a":` + s + `},"edges":[{"from":"A","to":"` + long + `b"}]}`,
		"deep values":   node(`{"kind":"executor","service":"s","params":` + strings.Repeat(`{"a":`, 200) + `"` + long + long + `"` + strings.Repeat(`}`, 200) + `}`),
	}
}

func TestCheck_AnswersHostileDefinitions(t *testing.T) {
	t.Parallel()
	for name, text := range hostile() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			limits := flow.DefaultLimits()
			limits.MaxBytes = 4 << 20
			_, report := flow.Check(flow.Source{Text: []byte(text)}, limits)
			size := 0
			for _, f := range append(report.Errors, report.Warnings...) {
				size += len(f.Path) + len(f.Message)
			}
			require.Less(t, size, 2<<20, "the report stays in proportion")
		})
	}
}

func TestCheck_SuggestsTheNearestName(t *testing.T) {
	t.Parallel()
	_, report := flow.Check(flow.Source{Text: []byte(node(`{"kind":"executer","servce":"s"}`))}, flow.DefaultLimits())
	require.Equal(t, `unknown field "servce" (did you mean "service"?)`, report.Errors[0].Message)
	require.Equal(t, `unknown kind "executer" (did you mean "executor"?)`, report.Errors[1].Message)
	require.Equal(t, errs.InvalidFlow, errs.CodeOf(report.Err()))
}

func TestCheck_Limits(t *testing.T) {
	t.Parallel()
	inner := `{"start":"a","nodes":{"a":{"kind":"executor","service":"s"}}}`
	text := node(`{"kind":"subflow","subflow":` + inner + `}`)
	limits := flow.Limits{MaxBytes: len(text), MaxNodes: 2, MaxNesting: 1}
	_, report := flow.Check(flow.Source{Text: []byte(text)}, limits)
	require.Empty(t, report.Errors)

	limits = flow.Limits{MaxBytes: len(text), MaxNodes: 1, MaxNesting: 0}
	_, report = flow.Check(flow.Source{Text: []byte(text)}, limits)
	require.Equal(t, []string{"too_many_nodes nodes", "too_deep nodes"}, lines(report.Errors))

	limits.MaxBytes--
	_, report = flow.Check(flow.Source{Text: []byte(text)}, limits)
	require.Equal(t, []string{"too_large "}, lines(report.Errors))
}

func TestCheck_BoundsTheReport(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&b, `,"f%d":1`, i)
	}
	_, report := flow.Check(flow.Source{Text: []byte(node(`{"kind":"executor","service":"s"` + b.String() + `}`))}, flow.DefaultLimits())
	require.Len(t, report.Errors, 1001)
	require.Equal(t, flow.CodeTooManyFaults, report.Errors[1000].Code)
}

func TestJSON_IsCanonicalAndKeepsNumbers(t *testing.T) {
	t.Parallel()
	def, faults := flow.Parse(read(t, "every_field.json"))
	require.Empty(t, faults)
	text, err := def.JSON()
	require.NoError(t, err)
	require.Contains(t, string(text), `9007199254740993`)
	again, faults := flow.Parse(text)
	require.Empty(t, faults)
	require.Equal(t, def, again)

	def, _ = flow.Parse([]byte(node(`{"kind":"executor","service":"a<b&c","params":{"z":1.50,"a":1e3}}`)))
	text, err = def.JSON()
	require.NoError(t, err)
	require.Equal(t, node(`{"kind":"executor","service":"a<b&c","params":{"z":1.50,"a":1e3}}`), string(text))
}
