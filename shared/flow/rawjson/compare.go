package rawjson

import (
	"bytes"
	"encoding/json"
)

// Equal compares two JSON values: numbers by exact value, strings by content,
// arrays in order, objects by key in any order. Values of different types are
// never equal; no text is equal to null.
func Equal(a, b json.RawMessage) bool {
	a, b = Trim(a), Trim(b)
	if IsNull(a) || IsNull(b) {
		return IsNull(a) && IsNull(b)
	}
	t := TypeOf(a)
	if t != TypeOf(b) {
		return false
	}
	switch t {
	case Number:
		return compareNumbers(a, b) == 0
	case String:
		return bytes.Equal(unquote(a), unquote(b))
	case Array:
		return equalArrays(a, b)
	case Object:
		return equalObjects(a, b)
	case Missing, Null, Bool:
	}
	return bytes.Equal(a, b)
}

func equalArrays(a, b json.RawMessage) bool {
	var left []json.RawMessage
	for item := range Items(a) {
		left = append(left, item)
	}
	n := 0
	for item := range Items(b) {
		if n >= len(left) || !Equal(left[n], item) {
			return false
		}
		n++
	}
	return n == len(left)
}

func equalObjects(a, b json.RawMessage) bool {
	left, right := fieldMap(a), fieldMap(b)
	if len(left) != len(right) {
		return false
	}
	for key, value := range left {
		other, ok := right[key]
		if !ok || !Equal(value, other) {
			return false
		}
	}
	return true
}

func fieldMap(object json.RawMessage) map[string]json.RawMessage {
	out := make(map[string]json.RawMessage)
	for key, value := range Fields(object) {
		if _, ok := out[key]; !ok {
			out[key] = value
		}
	}
	return out
}

// Compare orders two numbers by value or two strings by their bytes in UTF-8;
// false for any other pair.
func Compare(a, b json.RawMessage) (order int, ok bool) {
	a, b = Trim(a), Trim(b)
	switch t := TypeOf(a); {
	case t != TypeOf(b):
		return 0, false
	case t == Number:
		return compareNumbers(a, b), true
	case t == String:
		return bytes.Compare(unquote(a), unquote(b)), true
	}
	return 0, false
}

// Contains reports whether an array has an element equal to the value, or a
// string has the string value as a part.
func Contains(collection, value json.RawMessage) bool {
	switch TypeOf(collection) {
	case Array:
		for item := range Items(collection) {
			if Equal(item, value) {
				return true
			}
		}
	case String:
		return TypeOf(value) == String &&
			bytes.Contains(unquote(Trim(collection)), unquote(Trim(value)))
	case Missing, Null, Bool, Number, Object:
	}
	return false
}
