package demoworker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/pocketflowgo/pocketflow/shared/worker"
)

// Op is what transform does.
type Op string

const (
	OpUpper Op = "upper"
	OpLower Op = "lower"
	OpMul   Op = "mul"
)

// Ops lists every op.
var Ops = []Op{OpUpper, OpLower, OpMul}

// fields are the members of a JSON object, undecoded.
type fields map[string]json.RawMessage

// object gives the members of a JSON object; none for any other value, so that
// input.op of a text is merely absent.
func object(data json.RawMessage) fields {
	var f fields
	if json.Unmarshal(data, &f) != nil {
		return nil
	}
	return f
}

func (f fields) has(name string) bool { return f[name] != nil && string(f[name]) != "null" }

// text is the member as a text; "" when it is absent.
func (f fields) text(name string) (string, error) {
	if !f.has(name) {
		return "", nil
	}
	var s string
	if json.Unmarshal(f[name], &s) != nil {
		return "", fmt.Errorf("%s must be a text, it is %s", name, describe(f[name]))
	}
	return s, nil
}

func absent(data json.RawMessage) bool { return string(data) == "null" }

func transform(_ context.Context, job worker.Job) (any, error) {
	params, input := object(job.Params), object(job.Input)
	source, where := params, "params"
	if !params.has("op") && input.has("op") {
		source, where = input, "input"
	}
	op, err := source.text("op")
	if err != nil {
		return nil, permanent("transform: %s.%w", where, err)
	}
	switch Op(op) {
	case OpUpper, "":
		return transformText(job, strings.ToUpper)
	case OpLower:
		return transformText(job, strings.ToLower)
	case OpMul:
		n, err := multiply(job)
		if err != nil {
			return nil, permanent("transform: mul: %w", err)
		}
		return n, nil
	default:
		return nil, permanent("transform: %s.op %q is not one of %v", where, op, Ops)
	}
}

func transformText(job worker.Job, change func(string) string) (any, error) {
	var text string
	switch input := object(job.Input); {
	case json.Unmarshal(job.Input, &text) == nil && !absent(job.Input):
		return change(text), nil
	case input.has("text"):
		text, err := input.text("text")
		if err != nil {
			return nil, permanent("transform: input.%w", err)
		}
		return change(text), nil
	case absent(job.Input):
		params := object(job.Params)
		if !params.has("text") {
			return nil, permanent("transform: there is neither an input nor params.text")
		}
		text, err := params.text("text")
		if err != nil {
			return nil, permanent("transform: params.%w", err)
		}
		return change(text), nil
	default:
		return nil, permanent("transform: the input must be a text or an object with text, it is %s", describe(job.Input))
	}
}

func multiply(job worker.Job) (any, error) {
	params, input := object(job.Params), object(job.Input)
	switch {
	case absent(job.Input):
		return multiplyPair(params, "params")
	case input != nil:
		return multiplyPair(input, "input")
	case job.Input[0] == '[':
		return multiplyArray(job.Input, params)
	}
	n, err := parseNumber(job.Input)
	if err != nil {
		return nil, fmt.Errorf("the input must be a number, an array of numbers or an object with a and b: %w", err)
	}
	if !params.has("by") {
		return nil, errors.New("params.by is required to multiply a single number")
	}
	by, err := parseNumber(params["by"])
	if err != nil {
		return nil, fmt.Errorf("params.by: %w", err)
	}
	return numberOf(product([]*big.Rat{n, by}))
}

func multiplyPair(from fields, where string) (any, error) {
	factors := make([]*big.Rat, 0, 2)
	for _, name := range []string{"a", "b"} {
		if !from.has(name) {
			return nil, fmt.Errorf("%s.%s is missing", where, name)
		}
		n, err := parseNumber(from[name])
		if err != nil {
			return nil, fmt.Errorf("%s.%s: %w", where, name, err)
		}
		factors = append(factors, n)
	}
	return numberOf(product(factors))
}

func multiplyArray(data json.RawMessage, params fields) (any, error) {
	numbers, err := parseNumbers(data)
	if err != nil {
		return nil, fmt.Errorf("input: %w", err)
	}
	if !params.has("by") {
		return numberOf(product(numbers))
	}
	by, err := parseNumber(params["by"])
	if err != nil {
		return nil, fmt.Errorf("params.by: %w", err)
	}
	out := make([]json.Number, 0, len(numbers))
	for _, n := range numbers {
		p, err := product([]*big.Rat{n, by})
		if err != nil {
			return nil, err
		}
		out = append(out, number(p))
	}
	return out, nil
}

func numberOf(n *big.Rat, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return number(n), nil
}

func sum(_ context.Context, job worker.Job) (any, error) {
	data, where := job.Input, "the input"
	if absent(data) {
		data, where = object(job.Params)["values"], "params.values"
		if data == nil {
			return nil, permanent("sum: there is neither an input nor params.values")
		}
	}
	total := new(big.Rat)
	if members := object(data); members != nil {
		for _, member := range members {
			// Members that are no numbers are what else a record holds.
			if n, err := parseNumber(member); err == nil {
				total.Add(total, n)
			}
		}
		return number(total), nil
	}
	numbers, err := parseNumbers(data)
	if err != nil {
		return nil, permanent("sum: %s must be an array of numbers or an object: %w", where, err)
	}
	for _, n := range numbers {
		total.Add(total, n)
	}
	return number(total), nil
}

// Routed is route's result.
type Routed struct {
	Action string `json:"action"`
}

func route(_ context.Context, job worker.Job) (any, error) {
	params, input := object(job.Params), object(job.Input)
	switch {
	case params.has("action"):
		return routed(params, "params")
	case input.has("action"):
		return routed(input, "input")
	case params.has("threshold"):
		return routeByThreshold(job, params, input)
	default:
		return nil, permanent("route: there is neither params.action nor input.action nor params.threshold")
	}
}

func routed(from fields, where string) (any, error) {
	action, err := from.text("action")
	if err != nil {
		return nil, permanent("route: %s.%w", where, err)
	}
	return Routed{Action: action}, nil
}

func routeByThreshold(job worker.Job, params, input fields) (any, error) {
	threshold, err := parseNumber(params["threshold"])
	if err != nil {
		return nil, permanent("route: params.threshold: %w", err)
	}
	data, where := job.Input, "the input"
	if input != nil {
		data, where = input["value"], "input.value"
	}
	value, err := parseNumber(data)
	if err != nil {
		return nil, permanent("route: %s must be a number: %w", where, err)
	}
	name, action := "above", "above"
	if value.Cmp(threshold) < 0 {
		name, action = "below", "below"
	}
	if params.has(name) {
		if action, err = params.text(name); err != nil {
			return nil, permanent("route: params.%w", err)
		}
	}
	return Routed{Action: action}, nil
}

func permanent(format string, args ...any) error {
	return worker.Permanent(fmt.Errorf(format, args...))
}
