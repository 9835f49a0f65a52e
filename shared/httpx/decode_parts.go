package httpx

import (
	"bytes"
	"encoding/json"
	"iter"
	"slices"
)

// The functions here walk JSON that is known to be well-formed, and look no
// closer than where a value begins and ends. encoding/json would read every
// level once more to check it, and copy it.

// member is one member of an object. Both are parts of the body, but a name
// with escapes.
type member struct{ name, value []byte }

// appendMembers appends the members of an object, by name; of those with the
// same name the last alone.
func appendMembers(members []member, object []byte) []member {
	before := len(members)
	var name []byte
	for part := range parts(object) {
		if name == nil {
			name = nameOf(part)
			continue
		}
		members = append(members, member{name, part})
		name = nil
	}
	added := members[before:]
	slices.SortStableFunc(added, func(a, b member) int { return bytes.Compare(a.name, b.name) })
	kept := 0
	for i, m := range added {
		if i+1 < len(added) && bytes.Equal(m.name, added[i+1].name) {
			continue
		}
		added[kept] = m
		kept++
	}
	return members[:before+kept]
}

// nameOf is never nil.
func nameOf(text []byte) []byte {
	if plain, ok := plainText(text); ok {
		return plain
	}
	var name string
	_ = json.Unmarshal(text, &name) // cannot fail: it is a well-formed text
	return []byte(name)
}

// plainText is what a text without escapes stands for.
func plainText(value []byte) ([]byte, bool) {
	if value[0] != '"' || bytes.IndexByte(value, '\\') >= 0 {
		return nil, false
	}
	return value[1 : len(value)-1], true
}

// parts are the items of an array, or the names and values of an object in
// turn.
func parts(value []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		at := 1
		for {
			switch value[at] {
			case ' ', '\t', '\r', '\n', ',', ':':
				at++
				continue
			case ']', '}':
				return
			}
			end := endOfValue(value, at)
			if !yield(value[at:end:end]) {
				return
			}
			at = end
		}
	}
}

// endOfValue is the index behind the value that begins at an index.
func endOfValue(data []byte, at int) int {
	switch data[at] {
	case '"':
		return endOfText(data, at)
	case '{', '[':
		return endOfParts(data, at)
	}
	for at < len(data) && bytes.IndexByte([]byte(",]} \t\r\n"), data[at]) < 0 {
		at++
	}
	return at
}

func endOfText(data []byte, at int) int {
	for at++; data[at] != '"'; at++ {
		if data[at] == '\\' {
			at++
		}
	}
	return at + 1
}

func endOfParts(data []byte, at int) int {
	for depth := 0; ; {
		switch data[at] {
		case '"':
			at = endOfText(data, at)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		at++
		if depth == 0 {
			return at
		}
	}
}
