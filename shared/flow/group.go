package flow

import (
	"encoding/json"
	"fmt"

	"github.com/pocketflowgo/pocketflow/shared/flow/expr"
	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
)

// Branches are the executions of the node, in order; their index is their
// identity. The error is for a services setting that resolves to no array of
// service names.
func (p *Parallel) Branches(scope expr.Scope) ([]Exec, error) {
	if len(p.branches) > 0 {
		return p.branches, nil
	}
	names, err := serviceNames(p.services.Resolve(scope))
	if err != nil {
		return nil, err
	}
	branches := make([]Exec, len(names))
	for i, name := range names {
		branches[i] = p.template
		branches[i].Service = name
	}
	return branches, nil
}

func serviceNames(raw json.RawMessage) ([]string, error) {
	if rawjson.TypeOf(raw) != rawjson.Array {
		return nil, fmt.Errorf("services: %s is not an array of service names", brief(raw))
	}
	var names []string
	for item := range rawjson.Items(raw) {
		if rawjson.TypeOf(item) != rawjson.String || rawjson.Text(item) == "" {
			return nil, fmt.Errorf("services: %s is not a service name", brief(item))
		}
		names = append(names, rawjson.Text(item))
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("services: the array is empty")
	}
	return names, nil
}

// Item is what the item of that index executes; false when neither the node
// nor an entry of foreach_execs says.
func (f *Foreach) Item(index int) (Exec, bool) {
	if exec, ok := f.byIndex[index]; ok {
		return exec, true
	}
	return f.each, f.hasEach
}
