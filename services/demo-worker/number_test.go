package demoworker

import (
	"encoding/json"
	"testing"
)

func FuzzParseNumber_KeepsTheValue(f *testing.F) {
	for _, seed := range []string{"0", "-0.0", "1.50", "12345678901234567890.10", "1e3", "-2.5E-7", "1e1000", "1/3", "0x10", "Inf", "", "1_000"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := parseNumber(json.RawMessage(text))
		if err != nil || !json.Valid([]byte(text)) {
			return // callers hand in well-formed JSON only
		}
		written := number(n)
		again, err := parseNumber(json.RawMessage(written))
		if len(written) > maxDigits {
			return // longer when written out than it is taken
		}
		if err != nil || again.Cmp(n) != 0 {
			t.Fatalf("%q was written as %q: %v", text, written, err)
		}
	})
}
