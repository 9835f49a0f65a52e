package flow

import (
	"encoding/json"
	"iter"

	"github.com/pocketflowgo/pocketflow/shared/flow/expr"
	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
)

// PrepPlan makes a node's input.
type PrepPlan struct {
	key    expr.Value // unset when there is no input_key
	fields []inputField
}

type inputField struct {
	name  string
	value expr.Value
}

// Empty reports whether the author gave no prep.
func (p *PrepPlan) Empty() bool { return p.key.IsZero() && len(p.fields) == 0 }

// Input is what input_key points at. With an input_map it is an object of the
// map's values, set over what input_key points at when that is an object.
// Without any prep it is null.
func (p *PrepPlan) Input(scope expr.Scope) json.RawMessage {
	input := p.key.Resolve(scope)
	if len(p.fields) == 0 {
		return input
	}
	var fields rawjson.Builder
	for _, f := range p.fields {
		fields.Field(f.name, f.value.Resolve(scope))
	}
	return rawjson.Merge(input, fields.Object())
}

// PostPlan says what a result writes and which action it selects.
type PostPlan struct {
	outputs      []outputField
	outputKey    string
	ActionStatic string
	ActionKey    expr.Selector // unset when there is none
}

type outputField struct {
	to   string
	from expr.Selector
}

// Empty reports whether a result writes nothing and selects no action.
func (p *PostPlan) Empty() bool {
	return len(p.outputs) == 0 && p.outputKey == "" && p.ActionStatic == "" && p.ActionKey.IsZero()
}

// Keys are those of the shared state that a result is written to.
func (p *PostPlan) Keys() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, o := range p.outputs {
			if !yield(o.to) {
				return
			}
		}
		if p.outputKey != "" {
			yield(p.outputKey)
		}
	}
}

// Write returns scope.Shared with the output_map's values and then the whole
// result under output_key. References read the shared state as it was before.
// Other keys keep their bytes and their order.
func (p *PostPlan) Write(scope expr.Scope, result json.RawMessage) json.RawMessage {
	var written rawjson.Builder
	for _, o := range p.outputs {
		if o.to == p.outputKey {
			continue // the whole result is written over it
		}
		value, _ := o.from.Select(scope, result)
		if !scope.Budget.Spend(len(value)) {
			value = json.RawMessage("null")
		}
		written.Field(o.to, value)
	}
	if p.outputKey != "" {
		written.Field(p.outputKey, result)
	}
	return rawjson.Merge(scope.Shared, written.Object())
}

// Action is action_static, else the action that action_key finds in subject
// (for an executor the result), else "".
func (p *PostPlan) Action(scope expr.Scope, subject json.RawMessage) string {
	if p.ActionStatic != "" {
		return p.ActionStatic
	}
	value, _ := p.ActionKey.Select(scope, subject)
	return ActionText(value)
}

// ActionText is the action that a JSON value stands for: a string as it is, a
// boolean or number as its JSON text, anything else "".
func ActionText(value json.RawMessage) string {
	switch rawjson.TypeOf(value) {
	case rawjson.String:
		return rawjson.Text(value)
	case rawjson.Bool, rawjson.Number:
		return string(rawjson.Trim(value))
	case rawjson.Missing, rawjson.Null, rawjson.Array, rawjson.Object:
	}
	return ""
}
