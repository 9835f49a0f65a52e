package demo

import (
	"embed"
	"fmt"

	"github.com/pocketflowgo/pocketflow/shared/flow"
)

// The flows are copies of those in the examples directory, which lies outside
// of what this module can embed; a test holds the copies to the originals.
//
//go:generate sh -c "cp ../../../../examples/branch.yaml ../../../../examples/linear.yaml ../../../../examples/choice.yaml ../../../../examples/retry.yaml flows/"
//go:embed flows/*.yaml
var flows embed.FS

// Example names an example flow.
type Example string

// The examples that the demo runs.
const (
	Branch Example = "branch"
	Linear Example = "linear"
	Choice Example = "choice"
	Retry  Example = "retry"
)

// Examples lists every example that the demo runs.
var Examples = []Example{Branch, Linear, Choice, Retry}

// FlowName is the name that the example is published under: one that is
// unlikely to be a flow of the server's owner.
func (e Example) FlowName() string { return "demo-" + string(e) }

// Definition reads the example.
func (e Example) Definition() (*flow.Definition, error) {
	text, err := flows.ReadFile("flows/" + string(e) + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("read example %s: %w", e, err)
	}
	def, report := flow.Check(flow.Source{Format: flow.FormatYAML, Text: text}, flow.DefaultLimits())
	if err := report.Err(); err != nil {
		return nil, fmt.Errorf("example %s: %w", e, err)
	}
	return def, nil
}

// Scenario is one task of an example and what must come of it.
type Scenario struct {
	Title   string
	Example Example
	Params  string   // of the task, a JSON object
	Shared  string   // what the shared state must have at the end; more is fine
	Runs    []string // path and status of each node run, in order of start
}

// Scenarios are what the demo runs: every branch of every example.
func Scenarios() []Scenario {
	return []Scenario{
		{
			Title: "the decision takes branch B", Example: Branch,
			Params: `{"action": "goB", "text": "Hello"}`, Shared: `{"result": "HELLO"}`,
			Runs: []string{"decide ok", "B ok"},
		},
		{
			Title: "the decision takes branch C", Example: Branch,
			Params: `{"action": "goC", "text": "Hello"}`, Shared: `{"result": "hello"}`,
			Runs: []string{"decide ok", "C ok"},
		},
		{
			Title: "three steps hand on their results", Example: Linear,
			Params: `{"numbers": [1, 2, 3.5], "rate": 1.1}`, Shared: `{"doubled": [2, 4, 7], "total": 13, "price": 14.3}`,
			Runs: []string{"double ok", "total ok", "price ok"},
		},
		{
			Title: "a large amount is reviewed", Example: Choice,
			Params: `{"amount": 2500}`, Shared: `{"decision": "NEEDS REVIEW"}`,
			Runs: []string{"assess ok", "review ok"},
		},
		{
			Title: "a good customer is thanked", Example: Choice,
			Params: `{"amount": 25, "customer": {"vip": true}}`, Shared: `{"decision": "ACCEPTED WITH THANKS"}`,
			Runs: []string{"assess ok", "thank ok"},
		},
		{
			Title: "good input passes at the first attempt", Example: Retry,
			Params: `{"a": 6, "b": 7}`, Shared: `{"product": 42}`,
			Runs: []string{"multiply ok"},
		},
		{
			Title: "bad input is tried three times, then takes the error edge", Example: Retry,
			Params: `{"a": 6, "b": "seven"}`,
			Shared: `{"error": {"node": "multiply", "attempts": 3}, "apology": {"failed": "multiply", "attempts": 3}}`,
			Runs:   []string{"multiply error", "multiply error", "multiply error", "apologize ok"},
		},
	}
}
