package localfunc

import (
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"

	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
)

func mul(ctx context.Context, c Call) (json.RawMessage, error) {
	factors, err := factorsOf(c)
	if err != nil {
		return nil, err
	}
	product := decimal{mantissa: big.NewInt(1)}
	for _, raw := range factors {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		factor, err := number(raw)
		if err != nil {
			return nil, err
		}
		product.mantissa.Mul(product.mantissa, factor.mantissa)
		product.power += factor.power
		if product.mantissa.BitLen() > maxProduct || max(product.power, -product.power) > maxProduct {
			return nil, fmt.Errorf("mul: the product has too many digits")
		}
	}
	return product.text(), nil
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

// "1e999999999" is short to write and takes all memory to multiply, and what a
// product costs grows with the square of its digits.
const (
	maxNumber   = 400     // bytes of a factor's text before its exponent
	maxExponent = 400     // of a factor
	maxProduct  = 100_000 // binary digits of a product, and decimal zeros after or before them
)

// decimal is mantissa times ten to the power. A fraction would be reduced with
// every factor, which costs far more than the product.
type decimal struct {
	mantissa *big.Int
	power    int
}

func number(raw json.RawMessage) (decimal, error) {
	text := string(rawjson.Trim(raw))
	if rawjson.TypeOf(raw) != rawjson.Number {
		return decimal{}, fmt.Errorf("mul takes numbers only")
	}
	digits, exponent, _ := strings.Cut(strings.ToLower(text), "e")
	var power int
	if exponent != "" {
		if _, err := fmt.Sscanf(exponent, "%d", &power); err != nil {
			return decimal{}, fmt.Errorf("mul: the exponent of a factor is too large")
		}
	}
	if len(digits) > maxNumber || power > maxExponent || power < -maxExponent {
		return decimal{}, fmt.Errorf("mul: a factor has too many digits")
	}
	whole, part, _ := strings.Cut(digits, ".")
	mantissa, ok := new(big.Int).SetString(whole+part, 10)
	if !ok {
		return decimal{}, fmt.Errorf("mul takes numbers only")
	}
	return decimal{mantissa: mantissa, power: power - len(part)}, nil
}

// text writes all digits, and no zeros after the last decimal.
func (d decimal) text() json.RawMessage {
	scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(d.power, -d.power))), nil)
	if d.power >= 0 {
		return json.RawMessage(d.mantissa.Mul(d.mantissa, scale).String())
	}
	value := new(big.Rat).SetFrac(d.mantissa, scale)
	decimals, _ := value.FloatPrec()
	return json.RawMessage(value.FloatString(decimals))
}
