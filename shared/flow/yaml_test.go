package flow_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/flow"
)

func checkYAML(text string) (*flow.Definition, flow.Report) {
	return flow.Check(flow.Source{Format: flow.FormatYAML, Text: []byte(text)}, flow.DefaultLimits())
}

func TestParseYAML_GivesTheSameDefinitionAsJSON(t *testing.T) {
	t.Parallel()
	want, faults := flow.Parse(read(t, "minimal.json"))
	require.Empty(t, faults)
	got, report := checkYAML(`
start: decide
nodes:
  decide: {kind: executor, service: route, post: {action_key: action}}
  B:
    kind: executor
    service: transform
    params: {op: upper}
    prep: {input_key: $params.text}
    post: {output_key: b}
  C:
    kind: executor
    service: transform
    params:
      op: mul
      by: "$params.factor"
    post: {output_key: c}
edges:
  - {from: decide, action: goB, to: B}
  - {from: decide, action: goC, to: C}
  - {from: B, action: default, to: ""}
`)
	require.Empty(t, report.Errors)
	require.Equal(t, want, got)
}

func TestParseYAML_KeepsValuesExact(t *testing.T) {
	t.Parallel()
	def, report := checkYAML(`
start: A
nodes:
  A:
    kind: executor
    service: s
    params:
      big: 123456789012345678901234567890
      decimal: 0.10000000000000000001
      hex: 0x1F
      grouped: 1_000
      plus: +1.5
      point: .5
      negative: -.25e3
      yes_is_text: yes
      bool: True
      nothing: ~
      time: 2030-01-02T03:04:05Z
      quoted: "12"
      text: |
        two
        lines
`)
	require.Empty(t, report.Errors)
	require.Equal(t, `{"big":123456789012345678901234567890,"decimal":0.10000000000000000001,"hex":31,"grouped":1000,"plus":1.5,"point":0.5,"negative":-0.25e3,`+
		`"yes_is_text":"yes","bool":true,"nothing":null,"time":"2030-01-02T03:04:05Z","quoted":"12","text":"two\nlines\n"}`,
		string(def.Nodes["A"].Params))
}

func TestParseYAML_WritesAnchorsOut(t *testing.T) {
	t.Parallel()
	def, report := checkYAML(`
start: A
nodes:
  A: &base {kind: executor, service: s, params: &p {a: 1, b: 2}}
  B:
    <<: *base
    service: t
    params: {<<: [*p, {b: 3, c: 4}], a: 9}
edges: [{from: A, to: B}]
`)
	require.Empty(t, report.Errors)
	require.Equal(t, "t", def.Nodes["B"].Service)
	require.Equal(t, `{"a":9,"b":2,"c":4}`, string(def.Nodes["B"].Params))
}

func TestParseYAML_ReportsFaults(t *testing.T) {
	t.Parallel()
	executor := "start: A\nnodes:\n  A:\n    kind: executor\n    service: s\n"
	bomb := "a0: &a0 [x,x,x,x,x,x,x,x,x]\n"
	merges := "a0: &a0 {}\n"
	for i := range 40 {
		from, to := string(rune('a'+i/10))+string(rune('0'+i%10)), string(rune('a'+(i+1)/10))+string(rune('0'+(i+1)%10))
		bomb += to + ": &" + to + " [*" + strings.Repeat(from+",*", 8) + from + "]\n"
		merges += to + ": &" + to + " {<<: [*" + from + ",*" + from + "]}\n"
	}
	for name, tc := range map[string]struct {
		text string
		want []string
	}{
		"empty":           {"", []string{"malformed "}},
		"syntax":          {"a: [", []string{"malformed "}},
		"two documents":   {executor + "---\n" + executor, []string{"malformed "}},
		"not a number":    {executor + "    params: {a: .nan}\n", []string{"malformed "}},
		"binary":          {executor + "    params: {a: !!binary aGk=}\n", []string{"malformed "}},
		"key no text":     {"? [a]\n: b\n", []string{"malformed "}},
		"merge of a text": {"<<: a\n", []string{"malformed "}},
		"bytes":           {"a: \xff", []string{"malformed "}},
		"repeated key":    {executor + "    service: t\n", []string{"duplicate_key nodes.A.service"}},
		"unknown field":   {executor + "    colour: red\n", []string{"unknown_field nodes.A.colour"}},
		"wrong type":      {executor + "    max_retries: many\n", []string{"wrong_type nodes.A.max_retries"}},
		"itself":          {"a: &a [*a]\n", []string{"too_deep "}},
		"alias bomb":      {bomb, []string{"too_large "}},
		"merge bomb":      {merges, []string{"too_large "}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, report := checkYAML(tc.text)
			require.Equal(t, tc.want, lines(report.Errors))
		})
	}
}
