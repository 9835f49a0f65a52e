package engine

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// under is a state with executions under way, and the result of one of them.
type under struct {
	program Program
	state   State
	result  Event
}

// way is a flow that is played until that many results have been applied.
type way struct {
	definition, params, shared string
	results                    int
}

func (w way) play(b *testing.B) under {
	b.Helper()
	u := under{program: Program{Plan: compile(b, w.definition), TaskID: "task-1", Params: json.RawMessage(w.params), Limits: testLimits}}
	u.program.Limits.MaxValue = 16 << 20
	state := NewState()
	state.Shared = json.RawMessage(w.shared)
	state, effects := u.program.Step(state, Event{Kind: storage.EventStarted, At: epoch})
	pending := effects.Execute
	for n := 0; ; n++ {
		require.NotEmpty(b, pending)
		u.state = state
		u.result = Event{Kind: storage.EventRunFinished, At: epoch, Result: &RunResult{RunID: pending[0].RunID, Result: json.RawMessage(`{"ok":true,"total":12.50}`)}}
		if n == w.results {
			return u
		}
		state, effects = u.program.Step(u.state, u.result)
		pending = append(pending[1:], effects.Execute...)
	}
}

const chain = `{"start":"a","nodes":{
	"a":{"kind":"executor","service":"s","prep":{"input_map":{"id":"$params.id","all":"$shared"}},"post":{"output_key":"a"}},
	"b":{"kind":"executor","service":"s","prep":{"input_map":{"id":"$params.id","total":"$shared.a.total"}},"post":{"output_map":{"sum":"total"}}},
	"c":{"kind":"executor","service":"s","prep":{"input_key":"sum"},"post":{"output_key":"c"}}},
	"edges":[{"from":"a","to":"b"},{"from":"b","to":"c"}]}`

func benchmarks(b *testing.B) map[string]under {
	const each = `{"start":"each","nodes":{"each":{"kind":"foreach","service":"s","prep":{"input_key":"$%s.items"}}}}`
	branches := strings.TrimSuffix(strings.Repeat(`{"service":"s"},`, 100), ",")
	parallel := `{"start":"p","nodes":{"p":{"kind":"parallel","parallel_mode":"concurrent","parallel_execs":[` + branches + `]}}}`
	items := `{"items":[` + strings.TrimSuffix(strings.Repeat(`{"id":12345},`, 10_000), ",") + `]}`
	return map[string]under{
		"Executor":        way{definition: chain, params: `{"id":7,"name":"x"}`, shared: `{}`, results: 1}.play(b),
		"Parallel100":     way{definition: parallel, params: `{}`, shared: `{}`, results: 50}.play(b),
		"ForeachItem9999": way{definition: fmt.Sprintf(each, "shared"), params: `{}`, shared: items, results: 9_998}.play(b),
		// The task's params, all items, are in what each execution is sent.
		"ForeachOverParams": way{definition: fmt.Sprintf(each, "params"), params: items, shared: `{}`, results: 1}.play(b),
	}
}

// One op is a result applied: what it starts next is in it.
func BenchmarkStep(b *testing.B) {
	for name, u := range benchmarks(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				u.program.Step(u.state, u.result)
			}
		})
	}
}

// One op is what a commit and a claim do to a state: written, and read again.
func BenchmarkState(b *testing.B) {
	for name, u := range benchmarks(b) {
		text, err := u.state.JSON()
		require.NoError(b, err)
		b.Run("Encode/"+name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				_, err := u.state.JSON()
				require.NoError(b, err)
			}
		})
		b.Run("Decode/"+name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				_, err := Load(storage.Task{State: text, Shared: u.state.Shared})
				require.NoError(b, err)
			}
		})
	}
}
