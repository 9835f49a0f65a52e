package expr

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
)

// Operator is the one key of an expression object.
type Operator string

const (
	And      Operator = "and"
	Or       Operator = "or"
	Not      Operator = "not"
	Eq       Operator = "eq"
	Ne       Operator = "ne"
	Gt       Operator = "gt"
	Lt       Operator = "lt"
	Ge       Operator = "ge"
	Le       Operator = "le"
	Exists   Operator = "exists"
	In       Operator = "in"       // [value, collection]
	Contains Operator = "contains" // [collection, value]
)

// Operators lists every operator.
var Operators = []Operator{And, Or, Not, Eq, Ne, Gt, Lt, Ge, Le, Exists, In, Contains}

// The codes of the faults of an expression besides BadReference.
const (
	BadExpression   = "bad_expression"
	UnknownOperator = "unknown_operator"
)

// Condition is a compiled expression. The zero Condition is false.
type Condition struct {
	op       Operator
	parts    []Condition // of and, or, not
	operands []Value     // of the others
}

// CompileCondition compiles an expression: an object with exactly one
// operator, {"eq": ["$input.x", 1]} or {"not": {"exists": "$shared.a"}}. The
// faults have paths relative to the expression.
func CompileCondition(raw json.RawMessage) (Condition, []errs.Fault) {
	var c conditionCompiler
	condition := c.condition(raw, "")
	if len(c.faults) > 0 {
		return Condition{}, c.faults // half a condition must not be evaluated
	}
	return condition, nil
}

type conditionCompiler struct {
	faults []errs.Fault
}

func (c *conditionCompiler) fault(path, code, format string, args ...any) {
	c.faults = append(c.faults, errs.Fault{Path: path, Code: code, Message: fmt.Sprintf(format, args...)})
}

func (c *conditionCompiler) condition(raw json.RawMessage, path string) Condition {
	if rawjson.TypeOf(raw) != rawjson.Object {
		c.fault(path, BadExpression, "an expression is an object with one operator, not %s", describe(raw))
		return Condition{}
	}
	var names []string
	var operand json.RawMessage
	for key, value := range rawjson.Fields(raw) {
		names = append(names, key)
		operand = value
	}
	if len(names) != 1 {
		if len(names) == 0 {
			c.fault(path, BadExpression, "the expression has no operator")
		} else {
			c.fault(path, BadExpression, "the expression has %d operators (%s); join them with and, or", len(names), strings.Join(names, ", "))
		}
		return Condition{}
	}
	op := Operator(names[0])
	path = JoinPath(path, names[0])
	switch op {
	case And, Or:
		return c.joined(op, operand, path)
	case Not:
		return c.negated(operand, path)
	case Exists:
		return c.exists(operand, path)
	case Eq, Ne, Gt, Lt, Ge, Le, In, Contains:
		return c.comparison(op, operand, path)
	}
	c.fault(path, UnknownOperator, "unknown operator %q", names[0])
	return Condition{}
}

func (c *conditionCompiler) joined(op Operator, operand json.RawMessage, path string) Condition {
	out := Condition{op: op}
	if rawjson.TypeOf(operand) != rawjson.Array {
		c.fault(path, BadExpression, "%s takes an array of expressions, not %s", op, describe(operand))
		return out
	}
	i := 0
	for item := range rawjson.Items(operand) {
		out.parts = append(out.parts, c.condition(item, fmt.Sprintf("%s[%d]", path, i)))
		i++
	}
	if i == 0 {
		c.fault(path, BadExpression, "%s takes at least one expression", op)
	}
	return out
}

func (c *conditionCompiler) negated(operand json.RawMessage, path string) Condition {
	operand, path = c.single(Not, operand, path)
	if operand == nil {
		return Condition{}
	}
	return Condition{op: Not, parts: []Condition{c.condition(operand, path)}}
}

func (c *conditionCompiler) exists(operand json.RawMessage, path string) Condition {
	operand, path = c.single(Exists, operand, path)
	if operand == nil {
		return Condition{}
	}
	value := c.value(operand, path)
	if _, ok := value.Ref(); !ok && !value.IsZero() {
		c.fault(path, BadExpression, "exists takes a reference such as \"$shared.a\", not %s", describe(operand))
	}
	return Condition{op: Exists, operands: []Value{value}}
}

// single unwraps an operand that was given as an array of one.
func (c *conditionCompiler) single(op Operator, operand json.RawMessage, path string) (json.RawMessage, string) {
	if rawjson.TypeOf(operand) != rawjson.Array {
		return operand, path
	}
	items := collect(operand)
	if len(items) != 1 {
		c.fault(path, BadExpression, "%s takes one operand, not %d", op, len(items))
		return nil, path
	}
	return items[0], path + "[0]"
}

func (c *conditionCompiler) comparison(op Operator, operand json.RawMessage, path string) Condition {
	out := Condition{op: op}
	if rawjson.TypeOf(operand) != rawjson.Array {
		c.fault(path, BadExpression, "%s takes an array of two operands, not %s", op, describe(operand))
		return out
	}
	items := collect(operand)
	if len(items) != 2 {
		c.fault(path, BadExpression, "%s takes two operands, not %d", op, len(items))
	}
	for i, item := range items {
		out.operands = append(out.operands, c.value(item, fmt.Sprintf("%s[%d]", path, i)))
	}
	return out
}

func (c *conditionCompiler) value(raw json.RawMessage, path string) Value {
	value, faults := CompileValue(raw)
	for _, f := range faults {
		f.Path = Rebase(path, f.Path)
		c.faults = append(c.faults, f)
	}
	return value
}

func collect(array json.RawMessage) []json.RawMessage {
	var out []json.RawMessage
	for item := range rawjson.Items(array) {
		out = append(out, item)
	}
	return out
}

func describe(raw json.RawMessage) string {
	switch t := rawjson.TypeOf(raw); t {
	case rawjson.Missing:
		return "nothing"
	case rawjson.Null:
		return "null"
	case rawjson.Array, rawjson.Object:
		return "an " + string(t)
	case rawjson.Bool, rawjson.Number, rawjson.String:
		return "a " + string(t)
	}
	return "this"
}

// Holds evaluates the condition.
func (c *Condition) Holds(scope Scope) bool { return c.holds(&scope) }

func (c *Condition) holds(scope *Scope) bool {
	switch c.op {
	case And:
		for i := range c.parts {
			if !c.parts[i].holds(scope) {
				return false
			}
		}
		return true
	case Or:
		for i := range c.parts {
			if c.parts[i].holds(scope) {
				return true
			}
		}
		return false
	case Not:
		return !c.parts[0].holds(scope)
	case Exists:
		return !rawjson.IsNull(c.operands[0].Resolve(*scope))
	case Eq, Ne, Gt, Lt, Ge, Le, In, Contains:
		return c.op.compare(c.operands[0].Resolve(*scope), c.operands[1].Resolve(*scope))
	}
	return false
}

func (op Operator) compare(a, b json.RawMessage) bool {
	switch op {
	case Eq:
		return rawjson.Equal(a, b)
	case Ne:
		return !rawjson.Equal(a, b)
	case In:
		return rawjson.Contains(b, a)
	case Contains:
		return rawjson.Contains(a, b)
	case Gt, Lt, Ge, Le:
		order, ok := rawjson.Compare(a, b)
		return ok && op.accepts(order)
	case And, Or, Not, Exists:
	}
	return false
}

func (op Operator) accepts(order int) bool {
	switch op {
	case Gt:
		return order > 0
	case Lt:
		return order < 0
	case Ge:
		return order >= 0
	case Le:
		return order <= 0
	case And, Or, Not, Eq, Ne, Exists, In, Contains:
	}
	return false
}
