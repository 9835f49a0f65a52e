package simulate_test

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/pocketflowgo/pocketflow/services/scheduler/simulate"
	"github.com/pocketflowgo/pocketflow/shared/flow"
)

// order is a flow that a person has to approve.
func order() (*flow.Definition, error) {
	def, report := flow.Check(flow.Source{Format: flow.FormatYAML, Text: []byte(`
start: price
nodes:
  price: {kind: executor, service: price, prep: {input_key: $params.item}, max_retries: 1, wait_ms: 500, post: {output_key: price}}
  approve: {kind: approval, approval_key: decision, timeout_ms: 3600000}
  ship: {kind: executor, service: ship, post: {output_key: parcel}}
edges:
  - {from: price, to: approve}
  - {from: approve, action: approved, to: ship}
  - {from: approve, action: default, to: ""}
`)}, flow.DefaultLimits())
	return def, report.Err()
}

// A script stands for workers, people and time: here a worker that is busy at
// first, and somebody who decides ten minutes after being asked.
func Example() {
	def, err := order()
	if err != nil {
		fmt.Println(err)
		return
	}
	script, faults := simulate.ReadScript(flow.Source{Format: flow.FormatYAML, Text: []byte(`
params: {item: tea}
answers:
  price: [{error: busy}, {result: {of: $input, eur: 2.50}, after_ms: 40}]
  ship: {result: parcel-7}
signals:
  - {when: approve, after_ms: 600000, key: decision, value: true, decided_by: ann}
`)})
	if len(faults) > 0 {
		fmt.Println(faults)
		return
	}
	trace, err := simulate.Run(context.Background(), simulate.Config{Definition: def, Script: script})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(trace.Path())
	fmt.Println(trace.Status, "after", trace.Took)
	fmt.Printf("%s\n", trace.Shared)
	// Output:
	// [price price approve ship]
	// completed after 10m0.54s
	// {"price":{"of":"tea","eur":2.50},"decision":true,"parcel":"parcel-7"}
}

// A test may answer with a function instead, and leave the rest open: the trace
// says where the simulation stopped.
func ExampleRun_worker() {
	def, err := order()
	if err != nil {
		fmt.Println(err)
		return
	}
	trace, err := simulate.Run(context.Background(), simulate.Config{
		Definition: def,
		Params:     json.RawMessage(`{"item": "milk"}`),
		Script: &simulate.Script{Signals: []simulate.Signal{{
			Moment: simulate.Moment{When: "approve"}, Key: "decision", Value: json.RawMessage(`true`),
		}}},
		Worker: func(call simulate.Call) (simulate.Answer, bool) {
			return simulate.Answer{Result: call.Input}, call.Path == "price"
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(trace.Status, trace.Stopped.Reason)
	fmt.Println(trace.Stopped.Message)
	// Output:
	// running no_answer
	// the script has no answer for ship (http ship, input null)
}
