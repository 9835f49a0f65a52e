package flow_test

import (
	"encoding/json"
	"fmt"

	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/flow/expr"
)

func ExampleCheck() {
	text := `{"start": "B", "nodes": {"B": {"kind": "exec"}}, "edges": [{"from": "B", "to": "C"}]}`
	_, report := flow.Check(flow.Source{Text: []byte(text)}, flow.DefaultLimits())
	for _, f := range report.Errors {
		fmt.Printf("%s: %s (%s)\n", f.Path, f.Message, f.Code)
	}
	// Output:
	// nodes.B.kind: unknown kind "exec" (unknown_kind)
	// edges[0].to: unknown node "C" (unknown_node)
}

func ExampleCompile() {
	def, report := flow.Check(flow.Source{Format: flow.FormatYAML, Text: []byte(`
start: price
nodes:
  price:
    kind: executor
    service: quote
    prep: {input_map: {item: $params.item}}
    post: {output_key: quote, action_key: verdict}
  buy: {kind: executor, service: order}
edges:
  - {from: price, action: cheap, to: buy}
  - {from: price, to: ""}
`)}, flow.DefaultLimits())
	if err := report.Err(); err != nil {
		fmt.Println(err)
		return
	}
	plan, err := flow.Compile(def)
	if err != nil {
		fmt.Println(err)
		return
	}

	node := plan.Node(plan.Start())
	scope := expr.Scope{Params: json.RawMessage(`{"item": "tea"}`), Shared: json.RawMessage(`{}`)}
	scope.Params = node.EffectiveParams(scope)
	scope.Input = node.Prep.Input(scope)
	fmt.Printf("%s gets %s\n", node.Service, scope.Input)

	result := json.RawMessage(`{"verdict": "cheap", "price": 2.50}`)
	fmt.Printf("shared is %s\n", node.Post.Write(scope, result))
	next, exit := plan.Next(node.Key, node.Post.Action(scope, result))
	fmt.Println(exit, next)
	// Output:
	// quote gets {"item":"tea"}
	// shared is {"quote":{"verdict": "cheap", "price": 2.50}}
	// to buy
}
