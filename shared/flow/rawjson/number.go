package rawjson

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Int reads a whole number that fits 64 bits. It may be written 5.0 or 5e0, as
// languages do whose only numbers are floats.
func Int(raw json.RawMessage) (int64, error) {
	raw = Trim(raw)
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil && TypeOf(raw) == Number {
		var buf [48]byte
		if digits, whole := parseDecimal(raw, buf[:]).whole(); whole {
			n, err = strconv.ParseInt(digits, 10, 64)
		}
	}
	if err != nil {
		return 0, fmt.Errorf("read whole number: %w", err)
	}
	return n, nil
}

// decimal is a number as sign, digits without zeros at either end, and the
// power of ten that the first digit stands left of: 0.digits × 10^exponent.
// Zero has no digits.
type decimal struct {
	negative bool
	digits   []byte
	exponent int64
}

// farExponent bounds exponents so that sums stay inside an int64. Numbers
// beyond it, whose exponent alone has 19 digits, compare by digits only.
const farExponent = 1 << 60

// parseDecimal writes the digits into buf. No big.Float, no big.Rat: they lose
// digits or, for 1e999999999, take all memory.
func parseDecimal(raw, buf []byte) decimal {
	var d decimal
	if len(raw) > 0 && raw[0] == '-' {
		d.negative = true
		raw = raw[1:]
	}
	mantissa := raw
	if e := bytes.IndexAny(raw, "eE"); e >= 0 {
		mantissa = raw[:e]
		d.exponent = parseExponent(raw[e+1:])
	}
	whole, fraction, _ := bytes.Cut(mantissa, []byte("."))
	d.digits = append(append(buf[:0], whole...), fraction...)
	d.exponent += int64(len(whole))

	significant := bytes.TrimLeft(d.digits, "0")
	d.exponent -= int64(len(d.digits) - len(significant))
	d.digits = bytes.TrimRight(significant, "0")
	if len(d.digits) == 0 {
		return decimal{}
	}
	return d
}

func parseExponent(text []byte) int64 {
	e, err := strconv.ParseInt(string(text), 10, 64)
	if err == nil && -farExponent < e && e < farExponent {
		return e
	}
	if len(text) > 0 && text[0] == '-' {
		return -farExponent
	}
	return farExponent
}

// mostDigits is how many the largest int64 has.
const mostDigits = 19

// whole is the number as ParseInt reads it; false when it has a fraction, or is
// far over what that takes.
func (d decimal) whole() (string, bool) {
	switch {
	case len(d.digits) == 0:
		return "0", true
	case d.exponent < int64(len(d.digits)) || d.exponent > mostDigits:
		return "", false
	}
	digits := string(d.digits) + strings.Repeat("0", int(d.exponent)-len(d.digits))
	if d.negative {
		digits = "-" + digits
	}
	return digits, true
}

func (d decimal) compare(other decimal) int {
	if s := cmp.Compare(d.sign(), other.sign()); s != 0 || d.sign() == 0 {
		return s
	}
	magnitude := cmp.Compare(d.exponent, other.exponent)
	if magnitude == 0 {
		magnitude = bytes.Compare(d.digits, other.digits)
	}
	return magnitude * d.sign()
}

func (d decimal) sign() int {
	switch {
	case len(d.digits) == 0:
		return 0
	case d.negative:
		return -1
	default:
		return 1
	}
}

// compareNumbers compares by value, exactly: 1 and 1.0 are equal, 2^63 and
// 2^63+1 are not.
func compareNumbers(a, b []byte) int {
	var bufA, bufB [48]byte
	return parseDecimal(a, bufA[:]).compare(parseDecimal(b, bufB[:]))
}
