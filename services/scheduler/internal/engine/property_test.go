package engine

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

func replace(text string, pairs ...string) string { return strings.NewReplacer(pairs...).Replace(text) }

// drawDefinition makes a random flow of executors and choices: chains, loops,
// error and timeout edges, retries with and without a wait.
func drawDefinition(t *rapid.T) string {
	n := rapid.IntRange(1, 6).Draw(t, "nodes")
	target := func(label string) string {
		i := rapid.IntRange(0, n).Draw(t, label)
		if i == n {
			return ""
		}
		return fmt.Sprintf("n%d", i)
	}
	nodes, edges := map[string]any{}, []any{}
	for i := range n {
		key := fmt.Sprintf("n%d", i)
		edge := func(action string) {
			edges = append(edges, map[string]any{"from": key, "action": action, "to": target(key + action)})
		}
		switch rapid.IntRange(0, 5).Draw(t, key) {
		case 0:
			nodes[key] = map[string]any{"kind": "timer", "delay_ms": rapid.SampledFrom([]int{0, 1000, 30000}).Draw(t, key+"delay")}
			edge("default")
			continue
		case 2:
			nodes[key] = map[string]any{
				"kind": "wait_event", "signal_key": rapid.SampledFrom([]string{"w0", "w1"}).Draw(t, key+"signal"),
				"timeout_ms":       rapid.SampledFrom([]int{0, 2000}).Draw(t, key+"patience"),
				"failure_strategy": rapid.SampledFrom([]string{"", "retry", "continue"}).Draw(t, key+"strategy"),
				"max_retries":      1,
			}
			edge("default")
			if rapid.Bool().Draw(t, key+"late") {
				edge("timeout")
			}
			continue
		case 1:
			nodes[key] = map[string]any{"kind": "choice", "choice_cases": []any{
				map[string]any{"action": "x", "expr": map[string]any{"eq": []any{"$shared.r.go", "x"}}},
			}, "default_action": "default"}
			edge("x")
			edge("default")
			continue
		}
		nodes[key] = map[string]any{
			"kind": "executor", "service": "s",
			"exec_type":   rapid.SampledFrom([]string{"http", "queue", "local_func"}).Draw(t, key+"type"),
			"func":        "echo",
			"max_retries": rapid.IntRange(0, 2).Draw(t, key+"retries"),
			"wait_ms":     rapid.SampledFrom([]int{0, 1000}).Draw(t, key+"wait"),
			"timeout_ms":  5000,
			"post":        map[string]any{"output_key": "r", "action_key": "go"},
		}
		if rapid.Bool().Draw(t, key+"edges") {
			edge("x")
		}
		if rapid.Bool().Draw(t, key+"rest") {
			edge("default")
		}
		if rapid.Bool().Draw(t, key+"catch") {
			edge("error")
		}
		if rapid.Bool().Draw(t, key+"late") {
			edge("timeout")
		}
	}
	text, err := json.Marshal(map[string]any{
		"start": "n0", "nodes": nodes, "edges": edges, "max_steps": 30,
		"timeout_ms": rapid.SampledFrom([]int{0, 20000}).Draw(t, "deadline"),
	})
	require.NoError(t, err)
	return string(text)
}

// Whatever happens in whatever order, the invariants of the package hold.
func TestStep_HoldsItsInvariantsUnderAnyEvents(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		program := Program{Plan: compile(rt, drawDefinition(rt)), TaskID: "task-1", Params: json.RawMessage(`{}`), Limits: testLimits}

		state, now := NewState(), epoch
		var log []Event
		var executions []Execution
		signals := map[string]string{}
		finished := map[int]int{}
		started := 0
		apply := func(e Event) {
			e.At = now
			before, err := json.Marshal(state)
			require.NoError(rt, err)
			next, effects := program.Step(state, e)
			after, err := json.Marshal(state)
			require.NoError(rt, err)
			require.Equal(rt, string(before), string(after), "a step does not change the state it was given")
			if state.Status.Terminal() {
				require.Equal(rt, state, next, "terminal is final")
			}
			state = next
			log = append(log, e)
			executions = append(executions, effects.Execute...)
			for _, run := range effects.Started {
				started++
				require.Equal(rt, started, run.No)
				if !run.FinishedAt.IsZero() {
					finished[run.No]++
				}
			}
			for _, f := range effects.Finished {
				finished[f.No]++
			}
			checkState(rt, &program, state, finished)
		}

		apply(Event{Kind: storage.EventStarted})
		for range rapid.IntRange(0, 40).Draw(rt, "events") {
			switch rapid.SampledFrom([]string{"answer", "answer", "fail", "timer", "signal", "wake", "cancel", "start"}).Draw(rt, "kind") {
			case "answer", "fail":
				if len(executions) == 0 {
					continue
				}
				// Any execution so far: the current one, a late one, a repeat.
				x := executions[rapid.IntRange(max(0, len(executions)-3), len(executions)-1).Draw(rt, "which")]
				result := &RunResult{RunID: x.RunID, Result: json.RawMessage(rapid.SampledFrom([]string{`{"go":"x"}`, `{"go":"y"}`, `null`}).Draw(rt, "result"))}
				if rapid.IntRange(0, 3).Draw(rt, "outcome") == 0 {
					result = &RunResult{RunID: x.RunID, Error: &RunError{
						Code:  rapid.SampledFrom([]string{"worker_error", CodeTimeout}).Draw(rt, "code"),
						Final: rapid.Bool().Draw(rt, "final"),
					}}
				}
				apply(Event{Kind: storage.EventRunFinished, Result: result})
			case "timer":
				now = now.Add(time.Duration(rapid.IntRange(0, 6000).Draw(rt, "ms")) * time.Millisecond)
				apply(Event{Kind: storage.EventTimerFired})
			case "wake":
				apply(Event{Kind: storage.EventSignal, Signal: &Signal{
					Key:   rapid.SampledFrom([]string{"w0", "w1"}).Draw(rt, "wake"),
					Value: json.RawMessage(rapid.SampledFrom([]string{`true`, `false`, `null`, `{"a":1}`}).Draw(rt, "value")),
				}})
			case "signal":
				key := fmt.Sprintf("k%d", len(signals))
				ended := state.Status.Terminal()
				apply(Event{Kind: storage.EventSignal, Signal: &Signal{Key: key, Value: json.RawMessage(`1`)}})
				if !ended {
					signals[key] = "1"
				}
			case "cancel":
				if rapid.IntRange(0, 9).Draw(rt, "really") == 0 {
					apply(Event{Kind: storage.EventCancel})
				}
			case "start":
				apply(Event{Kind: storage.EventStarted})
			}
		}

		var shared map[string]json.RawMessage
		require.NoError(rt, json.Unmarshal(state.Shared, &shared))
		for key, value := range signals {
			require.Equal(rt, value, string(shared[key]), "every signal is applied")
		}
		replayed := NewState()
		for _, e := range log {
			replayed, _ = program.Step(replayed, e)
		}
		want, err := state.JSON()
		require.NoError(rt, err)
		got, err := replayed.JSON()
		require.NoError(rt, err)
		require.Equal(rt, string(want), string(got), "a replay gives the same state, byte for byte")
		require.Equal(rt, string(state.Shared), string(replayed.Shared))
		require.Equal(rt, state.Failure, replayed.Failure)
	})
}

// checkState holds a state to what doc.go promises.
func checkState(t *rapid.T, program *Program, state State, finished map[int]int) {
	for no, times := range finished {
		require.Equal(t, 1, times, "run %d is finished once", no)
	}
	open := 0
	if node := state.Flow.Node; node != nil && node.Phase != PhaseBackoff {
		open = node.Run
	}
	for no := 1; no <= state.Runs; no++ {
		require.Equal(t, no != open, finished[no] == 1, "exactly the active run is open")
	}
	if state.Status.Terminal() {
		require.Nil(t, state.Flow.Node)
		require.True(t, state.NextDue().IsZero())
		require.Equal(t, state.Status == storage.TaskFailed, state.Failure != nil)
		return
	}
	switch state.Status {
	case storage.TaskRunning:
		require.Len(t, program.Resume(state).Execute, 1)
	case storage.TaskWaiting:
		waits := program.Plan.Node(state.Flow.Node.Key).Kind == flow.KindWaitEvent
		require.True(t, waits || !state.NextDue().IsZero(), "waiting for a signal or a time")
	case storage.TaskWaitingQueue:
		require.Equal(t, PhaseQueued, state.Flow.Node.Phase)
	case storage.TaskPending, storage.TaskCompleted, storage.TaskFailed, storage.TaskCanceling, storage.TaskCanceled:
		t.Fatalf("status %s after the start", state.Status)
	}
}
