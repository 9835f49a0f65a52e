package simulate

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/flow"
)

func TestReadScript_ReadsAllOfIt(t *testing.T) {
	t.Parallel()
	script := read(t, `
start_at: 2031-02-03T04:05:06+01:00
params: {amount: 2500.10, big: 12345678901234567890}
flows: {charge: charge.yaml, refund@2: flows/refund.json}
answers:
  decide: {result: {action: goB}}
  B:
    - {error: {code: worker_error, message: boom}, after_ms: 200, times: 2}
    - {error: no more, retryable: false}
  each/*: {result: $input.price}
signals:
  - {at_ms: 500, key: payment, value: null}
  - {when: approve, after_ms: 60000, key: decision, value: true, decided_by: ann, comment: fine}
cancel: {at_ms: 9000}
`)
	require.Equal(t, &Script{
		StartAt: time.Date(2031, 2, 3, 3, 5, 6, 0, time.UTC),
		Params:  raw(`{"amount":2500.10,"big":12345678901234567890}`),
		Flows:   map[string]string{"charge": "charge.yaml", "refund@2": "flows/refund.json"},
		Answers: map[string][]Answer{
			"decide": {{Result: raw(`{"action":"goB"}`)}},
			"B": {
				{Error: &Error{Code: "worker_error", Message: "boom"}, After: 200 * time.Millisecond, Times: 2},
				{Error: &Error{Message: "no more"}, Final: true},
			},
			"each/*": {{Result: raw(`"$input.price"`)}},
		},
		Signals: []Signal{
			{Moment: Moment{At: 500 * time.Millisecond}, Key: "payment", Value: raw(`null`)},
			{Moment: Moment{When: "approve", After: time.Minute}, Key: "decision", Value: raw(`true`), DecidedBy: "ann", Comment: "fine"},
		},
		Cancel: &Moment{At: 9 * time.Second},
	}, script)
}

func TestReadScript_YAMLAndJSONAreTheSame(t *testing.T) {
	t.Parallel()
	yaml := read(t, "answers:\n  a: &x {result: {n: 0x10, t: 2030-01-01, s: \"\\u00e9\", f: .5}}\n  b: *x\n")
	script, faults := ReadScript(flow.Source{Text: []byte(
		`{"answers": {"a": {"result": {"n": 16, "t": "2030-01-01", "s": "é", "f": 0.5}}, "b": {"result": {"n": 16, "t": "2030-01-01", "s": "é", "f": 0.5}}}}`,
	)})
	require.Empty(t, faults)
	require.Equal(t, script, yaml)
	require.Equal(t, &Script{}, read(t, "# nothing\n"))
}

func TestReadScript_NamesEveryFault(t *testing.T) {
	t.Parallel()
	_, faults := ReadScript(flow.Source{Format: flow.FormatYAML, Text: []byte(`
start_at: noon
params: [1]
answer: {}
answers:
  a//b: {result: 1}
  c: []
  d: {result: 1, error: boom, after_ms: -1}
  e: [{result: $shared.x}, {result: "$input..y"}, {times: 0}, {retryable: false}, {after_ms: 1.5}, 7]
  f: {after_ms: 9223372036854775807, error: 3, eror: x}
signals:
  - {key: k, value: 1}
  - {at_ms: 1, when: x, key: _k, value: 1}
  - {at_ms: 1, after_ms: 1}
cancel: now
`)})
	var got []string
	for _, f := range faults {
		got = append(got, fmt.Sprintf("%s: %s (%s)", f.Path, f.Message, f.Code))
	}
	require.Equal(t, []string{
		`start_at: "noon" is not a time of RFC 3339 (wrong_type)`,
		`answer: unknown field "answer"; here may be answers, cancel, flows, params, signals, start_at (unknown_field)`,
		`answers.e[2].times: must be at least 1 (out_of_range)`,
		`answers.e[4].after_ms: 1.5 is not a whole number that can be counted with (wrong_type)`,
		`answers.e[5]: must be of type object, not number (wrong_type)`,
		`answers.f.error: must be of type object, not number (wrong_type)`,
		`answers.f.eror: unknown field "eror"; here may be after_ms, error, result, retryable, times (unknown_field)`,
		`signals[0]: needs at_ms, a time since the start, or when, a node that begins (missing)`,
		`signals[2].value: the signal has no value; any JSON value fits, null included (missing)`,
		`cancel: must be of type object, not string (wrong_type)`,
		`params: must be an object, like the params of every task (wrong_type)`,
		`answers.a//b: a part of the path is empty (bad_key)`,
		`answers.c: has no answer (missing)`,
		`answers.d.after_ms: must not be negative (negative)`,
		`answers.d: an execution has a result or an error, not both (conflict)`,
		`answers.e[0].result: a worker sees $input and $params, not $shared; the text itself is written $$shared (bad_reference)`,
		`answers.e[1].result: reference "$input..y": path ".y": a name is missing (bad_reference)`,
		`answers.e[3]: retryable is about an error, and there is none (conflict)`,
		`answers.f.after_ms: is more than a hundred years (out_of_range)`,
		`signals[1]: at_ms and when exclude each other: a time since the start, or a node that begins (conflict)`,
		`signals[1].key: must not begin with "_" (invalid_name)`,
		`signals[2]: after_ms counts from the node named by when; at_ms counts from the start (conflict)`,
		`signals[2].key: the signal has no key (missing)`,
	}, got)
}

func TestReadScript_RefusesWhatIsNoDocument(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a: [": "line 1", "a: 1\n---\nb: 2": "more than one document", "? [x]\n: 1": "a key must be a text",
		"x: &x [*x]": "levels", "x: .inf": "has no JSON form", "x: !!binary aGk=": "has no JSON form",
		"answers: {a: {}, a: {}}": "more than once", "\xff": "UTF-8", "- 1": "must be of type object",
		"params: {a: {b: 1, b: 2}}": "more than once",
	} {
		script, faults := ReadScript(flow.Source{Format: flow.FormatYAML, Text: []byte(text)})
		require.Nil(t, script, text)
		require.Len(t, faults, 1, text)
		require.Contains(t, faults[0].Message, want, text)
	}
	_, faults := ReadScript(flow.Source{Text: []byte(`{"params": {}} x`)})
	require.Equal(t, flow.CodeMalformed, faults[0].Code)
	_, faults = ReadScript(flow.Source{Text: []byte(strings.Repeat("[", 300) + strings.Repeat("]", 300))})
	require.Equal(t, flow.CodeTooDeep, faults[0].Code)
}

func FuzzReadScript(f *testing.F) {
	f.Add("answers:\n  \"*\": {result: $input}\nsignals: [{at_ms: 1, key: k, value: 0x1}]")
	f.Add(`{"answers": {"a": [{"error": "x", "times": 3}]}, "cancel": {"when": "a"}}`)
	f.Fuzz(func(t *testing.T, text string) {
		for _, format := range flow.Formats {
			script, faults := ReadScript(flow.Source{Format: format, Text: []byte(text)})
			require.Equal(t, script == nil, len(faults) > 0)
			if script == nil {
				continue
			}
			require.Empty(t, script.check())
			for _, list := range script.Answers {
				for _, answer := range list {
					require.True(t, answer.Result == nil || json.Valid(answer.Result))
				}
			}
		}
	})
}
