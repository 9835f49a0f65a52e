package demoworker

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/pocketflowgo/pocketflow/shared/errs"
)

// Bounds of the numbers that are calculated with. Products are exact, so their
// length is the sum of their factors' lengths; without a bound one small body
// could ask for gigabytes.
const (
	maxDigits   = 1000
	maxExponent = 1000
)

// parseNumber reads a JSON number exactly.
func parseNumber(data json.RawMessage) (*big.Rat, error) {
	text := strings.TrimSpace(string(data))
	if text == "" || (text[0] != '-' && (text[0] < '0' || text[0] > '9')) {
		return nil, fmt.Errorf("%s is not a number", describe(data))
	}
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		if e, err := strconv.Atoi(text[i+1:]); err != nil || e < -maxExponent || e > maxExponent {
			return nil, fmt.Errorf("the exponent of %s is not within ±%d", describe(data), maxExponent)
		}
	}
	if len(text) > maxDigits {
		return nil, fmt.Errorf("a number of %d characters is too long, at most %d are taken", len(text), maxDigits)
	}
	n, ok := new(big.Rat).SetString(text)
	if !ok {
		return nil, fmt.Errorf("%s is not a number", describe(data))
	}
	return n, nil
}

func parseNumbers(data json.RawMessage) ([]*big.Rat, error) {
	var items []json.RawMessage
	if err := json.Unmarshal(data, &items); err != nil {
		return nil, fmt.Errorf("%s is not an array", describe(data))
	}
	numbers := make([]*big.Rat, 0, len(items))
	for i, item := range items {
		n, err := parseNumber(item)
		if err != nil {
			return nil, fmt.Errorf("item %d: %w", i, err)
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}

// number writes n as a JSON number with all its digits. Sums and products of
// decimals are decimals, so there always is such a text.
func number(n *big.Rat) json.Number {
	digits, _ := n.FloatPrec()
	return json.Number(n.FloatString(digits))
}

func product(factors []*big.Rat) (*big.Rat, error) {
	p := big.NewRat(1, 1)
	for _, f := range factors {
		p.Mul(p, f)
		// A thousand digits are some 3,300 bits.
		if p.Num().BitLen() > 4*maxDigits || p.Denom().BitLen() > 4*maxDigits {
			return nil, fmt.Errorf("the product has more than %d digits", maxDigits)
		}
	}
	return p, nil
}

// describe names a JSON value in a message, shortened.
func describe(data json.RawMessage) string {
	const most = 40
	text := strings.TrimSpace(string(data))
	if text == "" {
		return "nothing"
	}
	return errs.Shorten(text, most)
}
