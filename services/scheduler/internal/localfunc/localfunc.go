// Package localfunc holds the Go functions that a flow may call with exec_type
// local_func: small, quick, without side effects outside the process.
package localfunc

import (
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"

	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
)

// Call is what a function is given.
type Call struct {
	TaskID string
	Node   string
	Input  json.RawMessage
	Params json.RawMessage
}

// Func returns a result, or why there is none. It must heed ctx when it can
// take long.
type Func func(ctx context.Context, call Call) (json.RawMessage, error)

// Registry maps names to functions. It is filled before the scheduler runs and
// only read after that.
type Registry map[string]Func

// Builtin is the registry of the functions that ship:
//
//   - echo: its input.
//   - upper: its input, else params.text, as a string in upper case.
//   - mul: the product of the input's numbers (an array, or a and b of an
//     object), or of the input and params.by.
//   - log_result: logs that it was called (never the payload); its input.
func Builtin(log *zap.Logger) Registry {
	return Registry{
		"echo":  func(_ context.Context, c Call) (json.RawMessage, error) { return c.Input, nil },
		"upper": upper,
		"mul":   mul,
		"log_result": func(_ context.Context, c Call) (json.RawMessage, error) {
			log.Info("log_result", zap.String("task_id", c.TaskID), zap.String("node", c.Node), zap.Int("bytes", len(c.Input)))
			return c.Input, nil
		},
	}
}

func upper(_ context.Context, c Call) (json.RawMessage, error) {
	text := c.Input
	if rawjson.IsNull(text) {
		text, _ = rawjson.Field(c.Params, "text")
	}
	if rawjson.TypeOf(text) != rawjson.String {
		return nil, fmt.Errorf("upper takes a string, as input or as params.text")
	}
	return rawjson.Quote(strings.ToUpper(rawjson.Text(text))), nil
}

func mul(_ context.Context, c Call) (json.RawMessage, error) {
	factors, err := factorsOf(c)
	if err != nil {
		return nil, err
	}
	product := big.NewRat(1, 1)
	for _, raw := range factors {
		factor, err := number(raw)
		if err != nil {
			return nil, err
		}
		product.Mul(product, factor)
	}
	return decimal(product), nil
}

func factorsOf(c Call) ([]json.RawMessage, error) {
	switch rawjson.TypeOf(c.Input) {
	case rawjson.Array:
		var factors []json.RawMessage
		for item := range rawjson.Items(c.Input) {
			factors = append(factors, item)
		}
		return factors, nil
	case rawjson.Object:
		a, okA := rawjson.Field(c.Input, "a")
		b, okB := rawjson.Field(c.Input, "b")
		if okA && okB {
			return []json.RawMessage{a, b}, nil
		}
	case rawjson.Number:
		if by, ok := rawjson.Field(c.Params, "by"); ok {
			return []json.RawMessage{c.Input, by}, nil
		}
	case rawjson.Missing, rawjson.Null, rawjson.Bool, rawjson.String:
	}
	return nil, fmt.Errorf("mul takes an array of numbers, an object with a and b, or a number and params.by")
}

// maxNumber bounds the text of a factor: "1e999999999" is short to write and
// takes all memory to multiply.
const (
	maxNumber   = 400
	maxExponent = 400
)

func number(raw json.RawMessage) (*big.Rat, error) {
	text := string(rawjson.Trim(raw))
	if rawjson.TypeOf(raw) != rawjson.Number {
		return nil, fmt.Errorf("mul takes numbers only")
	}
	mantissa, exponent, _ := strings.Cut(strings.ToLower(text), "e")
	var power int
	if exponent != "" {
		if _, err := fmt.Sscanf(exponent, "%d", &power); err != nil {
			return nil, fmt.Errorf("mul: the exponent of a factor is too large")
		}
	}
	if len(mantissa) > maxNumber || power > maxExponent || power < -maxExponent {
		return nil, fmt.Errorf("mul: a factor has too many digits")
	}
	factor, ok := new(big.Rat).SetString(text)
	if !ok {
		return nil, fmt.Errorf("mul takes numbers only")
	}
	return factor, nil
}

// decimal writes a product of decimals, which always has finitely many digits.
func decimal(r *big.Rat) json.RawMessage {
	digits, _ := r.FloatPrec()
	return json.RawMessage(r.FloatString(digits))
}
