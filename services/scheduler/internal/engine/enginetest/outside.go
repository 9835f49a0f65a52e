package enginetest

import (
	"encoding/json"
	"strings"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The keys that signals come under. Nodes write one of them as well, and of one
// the places inside count.
const (
	KeyPlain   = "w0"
	KeyOther   = "w1"
	KeyWritten = "w2"
	KeyInside  = "w3"
)

// SignalKeys lists every key.
var SignalKeys = []string{KeyPlain, KeyOther, KeyWritten, KeyInside}

// Padding is longer than actions and messages may be, and three of it than
// the smallest limit of values.
var Padding = strings.Repeat("long ", 80)

// DrawValue draws what a signal brings: what lets a wait pass, and what does
// not.
func DrawValue(t *rapid.T) json.RawMessage {
	return json.RawMessage(rapid.SampledFrom([]string{
		`true`, `true`, `true`, `false`, `null`, `"x"`, `{"ok":true}`, `{"ok":false}`, `{"ok":"x","n":1}`, `900`, `"` + Padding + `"`,
	}).Draw(t, "value"))
}

// DrawResult draws the result of a run that went well. It names its run, so it
// is known again wherever it goes.
func DrawResult(t *rapid.T, run string) json.RawMessage {
	body := object{"id": run, "go": rapid.SampledFrom([]string{"x", "x", "y", "default", Padding}).Draw(t, "go")}
	if rapid.Bool().Draw(t, "has more") {
		body["list"] = []string{"s0", "s1"}[:rapid.IntRange(0, 2).Draw(t, "list")]
		body["flag"], body["pad"] = true, rapid.SampledFrom([]string{"", Padding}).Draw(t, "pad")
	}
	text, err := json.Marshal(body)
	require.NoError(t, err)
	if rapid.IntRange(0, 3).Draw(t, "odd") == 0 { // bytes that are lost easily
		text = append([]byte(`{"odd" : [1.50E+3, 12345678901234567890, "<\u00e9\u2028é>"],`), text[1:]...)
	}
	return text
}
