// Package rawjson reads and edits JSON text without decoding it: look a path
// up, set a key, merge objects, compare values. What it does not touch keeps
// its bytes, so numbers of any size survive, and the same input always gives
// the same output, byte for byte.
//
// The text must be valid JSON; whoever takes it from outside checks it first
// (json.Valid). On anything else the results are meaningless, but nothing
// panics or loops. Where an object repeats a key, the first one counts.
//
// Results may share memory with the arguments: treat all of it as read-only.
package rawjson

import (
	"bytes"
	"encoding/json"
	"iter"
)

// Type is the type of a JSON value.
type Type string

const (
	Missing Type = "missing" // no text at all
	Null    Type = "null"
	Bool    Type = "boolean"
	Number  Type = "number"
	String  Type = "string"
	Array   Type = "array"
	Object  Type = "object"
)

// Types lists every type.
var Types = []Type{Missing, Null, Bool, Number, String, Array, Object}

// TypeOf looks at the first byte that is not white space.
func TypeOf(raw json.RawMessage) Type {
	i := skipSpace(raw, 0)
	if i == len(raw) {
		return Missing
	}
	switch raw[i] {
	case 'n':
		return Null
	case 't', 'f':
		return Bool
	case '"':
		return String
	case '[':
		return Array
	case '{':
		return Object
	default:
		return Number
	}
}

// IsNull reports whether there is no value: null, or no text.
func IsNull(raw json.RawMessage) bool {
	t := TypeOf(raw)
	return t == Null || t == Missing
}

// Trim cuts white space around the value.
func Trim(raw json.RawMessage) json.RawMessage {
	return json.RawMessage(bytes.Trim(raw, " \t\r\n"))
}

// Text is the content of a JSON string; "" for any other value.
func Text(raw json.RawMessage) string {
	return string(unquote(Trim(raw)))
}

// unquote gives the content of a quoted string, without a copy when it holds
// no escapes; nothing for any other text.
func unquote(quoted []byte) []byte {
	if len(quoted) < len(`""`) || quoted[0] != '"' {
		return nil
	}
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	var s string
	if err := json.Unmarshal(quoted, &s); err != nil {
		return nil
	}
	return []byte(s)
}

// Marshal encodes as encoding/json does, but leaves <, > and & as they are, also
// in the raw values inside: in six bytes each, a value would grow on its way.
func Marshal(v any) (json.RawMessage, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return json.RawMessage(bytes.TrimSuffix(buf.Bytes(), []byte("\n"))), nil
}

// Quote is the JSON string for a text.
func Quote(text string) json.RawMessage {
	quoted, _ := Marshal(text) // a string always encodes
	return quoted
}

// Items yields the elements of an array; nothing for any other value.
func Items(raw json.RawMessage) iter.Seq[json.RawMessage] {
	return func(yield func(json.RawMessage) bool) {
		i := skipSpace(raw, 0)
		if i == len(raw) || raw[i] != '[' {
			return
		}
		for i = skipSpace(raw, i+1); i < len(raw) && raw[i] != ']'; i = skipSeparator(raw, i, ',') {
			start := i
			i = skipValue(raw, i)
			if !yield(clip(raw, start, i)) {
				return
			}
		}
	}
}

// Fields yields the keys and values of an object in the order of the text;
// nothing for any other value.
func Fields(raw json.RawMessage) iter.Seq2[string, json.RawMessage] {
	return func(yield func(string, json.RawMessage) bool) {
		for f := range fields(raw) {
			if !yield(string(unquote(f.key)), f.value(raw)) {
				return
			}
		}
	}
}

// Members is Fields with the keys as they stand in the text, quoted.
func Members(raw json.RawMessage) iter.Seq2[json.RawMessage, json.RawMessage] {
	return func(yield func(key, value json.RawMessage) bool) {
		for f := range fields(raw) {
			if !yield(f.key, f.value(raw)) {
				return
			}
		}
	}
}

// field is where a field lies in its object.
type field struct {
	key        []byte // quoted
	start, end int    // of the value
}

func (f field) value(raw json.RawMessage) json.RawMessage { return clip(raw, f.start, f.end) }

// named compares without a copy; the compiler makes none for the conversion.
func (f field) named(key string) bool { return string(unquote(f.key)) == key }

func fields(raw json.RawMessage) iter.Seq[field] {
	return func(yield func(field) bool) {
		i := skipSpace(raw, 0)
		if i == len(raw) || raw[i] != '{' {
			return
		}
		for i = skipSpace(raw, i+1); i < len(raw) && raw[i] == '"'; i = skipSeparator(raw, i, ',') {
			keyEnd := skipString(raw, i)
			start := skipSeparator(raw, keyEnd, ':')
			f := field{key: raw[i:keyEnd], start: start, end: skipValue(raw, start)}
			i = f.end
			if !yield(f) {
				return
			}
		}
	}
}

// clip cuts a value out so that an append to it cannot reach its neighbour.
func clip(raw json.RawMessage, start, end int) json.RawMessage { return raw[start:end:end] }

func skipSpace(raw []byte, i int) int {
	for i < len(raw) && (raw[i] == ' ' || raw[i] == '\n' || raw[i] == '\t' || raw[i] == '\r') {
		i++
	}
	return i
}

// skipSeparator passes white space, the separator if it is there, and white
// space.
func skipSeparator(raw []byte, i int, separator byte) int {
	i = skipSpace(raw, i)
	if i < len(raw) && raw[i] == separator {
		i = skipSpace(raw, i+1)
	}
	return i
}

func skipString(raw []byte, i int) int {
	for i++; i < len(raw); i++ {
		switch raw[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return len(raw)
}

// skipValue gives the end of the value that starts at i: always past i, so
// that loops over broken text end.
func skipValue(raw []byte, i int) int {
	if i >= len(raw) {
		return len(raw)
	}
	switch raw[i] {
	case '"':
		return skipString(raw, i)
	case '{', '[':
		return skipNested(raw, i)
	}
	for i++; i < len(raw); i++ {
		switch raw[i] {
		case ',', '}', ']', ':', ' ', '\n', '\t', '\r', '"', '{', '[':
			return i
		}
	}
	return i
}

func skipNested(raw []byte, i int) int {
	depth := 0
	for i < len(raw) {
		switch raw[i] {
		case '"':
			i = skipString(raw, i)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		i++
		if depth == 0 {
			return i
		}
	}
	return len(raw)
}
