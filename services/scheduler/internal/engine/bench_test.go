package engine

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// One op is one branch: its start, its result and its place in the array.
func BenchmarkFan(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		items := "[" + strings.TrimSuffix(strings.Repeat(`{"id":12345},`, n), ",") + "]"
		for name, params := range map[string]string{"params": `{"items":` + items + `}`, "shared": `{}`} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				program := Program{
					Plan:   compile(b, `{"start":"each","nodes":{"each":{"kind":"foreach","service":"s","parallel_mode":"concurrent","prep":{"input_key":"$`+name+`.items"}}}}`),
					TaskID: "task-1", Params: json.RawMessage(params), Limits: testLimits,
				}
				program.Limits.MaxValue = 16 << 20
				b.ReportAllocs()
				for done := 0; done < b.N; done += n {
					state := NewState()
					state.Shared = json.RawMessage(`{"items":` + items + `}`)
					state, effects := program.Step(state, Event{Kind: storage.EventStarted, At: epoch})
					for pending := effects.Execute; len(pending) > 0; pending = pending[1:] {
						state, effects = program.Step(state, Event{Kind: storage.EventRunFinished, At: epoch, Result: &RunResult{
							RunID: pending[0].RunID, Result: json.RawMessage(`{"ok":true}`),
						}})
						pending = append(pending, effects.Execute...)
					}
					if state.Status != storage.TaskCompleted {
						b.Fatal(state.Status, state.Failure)
					}
				}
			})
		}
	}
}
