package rawjson

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Path leads to a place inside a JSON value: a.b[0]["key.with.dots"]. The zero
// Path leads to the value itself.
type Path struct {
	steps []step
}

// step goes to a key of an object or an element of an array. A bare name of
// digits does either, whichever it meets: items.0 is items[0] on an array.
type step struct {
	key     string
	index   int
	isKey   bool
	isIndex bool
}

// ParsePath reads names separated by dots, [n] for elements of arrays, and
// ["name"] for keys that a bare name cannot hold.
func ParsePath(text string) (Path, error) {
	var path Path
	rest := text
	for first := true; rest != ""; first = false {
		if rest[0] == '[' {
			s, n, err := parseBracket(rest)
			if err != nil {
				return Path{}, fmt.Errorf("path %q: %w", text, err)
			}
			path.steps = append(path.steps, s)
			rest = rest[n:]
			continue
		}
		if !first {
			if rest[0] != '.' {
				return Path{}, fmt.Errorf("path %q: a \".\" or \"[\" must follow \"]\"", text)
			}
			rest = rest[1:]
		}
		end := strings.IndexAny(rest, ".[")
		if end < 0 {
			end = len(rest)
		}
		name := rest[:end]
		if name == "" {
			return Path{}, fmt.Errorf("path %q: a name is missing", text)
		}
		if strings.ContainsAny(name, `]"$`) {
			return Path{}, fmt.Errorf(`path %q: write the key %q as [%q]`, text, name, name)
		}
		path.steps = append(path.steps, bareStep(name))
		rest = rest[end:]
	}
	return path, nil
}

func bareStep(name string) step {
	s := step{key: name, isKey: true}
	if n, err := strconv.ParseUint(name, 10, 31); err == nil {
		s.index, s.isIndex = int(n), true
	}
	return s
}

// parseBracket reads [n] or ["key"] and says how long it was.
func parseBracket(text string) (step, int, error) {
	if strings.HasPrefix(text, `["`) {
		end := skipString([]byte(text), 1)
		var key string
		if err := json.Unmarshal([]byte(text[1:end]), &key); err != nil {
			return step{}, 0, fmt.Errorf("a quoted key does not end or is no JSON string")
		}
		if end == len(text) || text[end] != ']' {
			return step{}, 0, fmt.Errorf("\"]\" is missing after [%q", key)
		}
		return step{key: key, isKey: true}, end + 1, nil
	}
	end := strings.IndexByte(text, ']')
	if end < 0 {
		return step{}, 0, fmt.Errorf("\"]\" is missing")
	}
	n, err := strconv.ParseUint(text[1:end], 10, 31)
	if err != nil {
		return step{}, 0, fmt.Errorf("%q is no index from 0 and no quoted key", text[1:end])
	}
	return step{index: int(n), isIndex: true}, end + 1, nil
}

// KeyPath is the path to the key of that name, whatever characters it has.
func KeyPath(name string) Path {
	return Path{steps: []step{{key: name, isKey: true}}}
}

// Lookup follows the path; false when it leads nowhere.
func (p Path) Lookup(raw json.RawMessage) (json.RawMessage, bool) {
	for _, s := range p.steps {
		next, ok := s.follow(raw)
		if !ok {
			return nil, false
		}
		raw = next
	}
	raw = Trim(raw)
	return raw, len(raw) > 0
}

func (s step) follow(raw json.RawMessage) (json.RawMessage, bool) {
	switch TypeOf(raw) {
	case Object:
		if s.isKey {
			return Field(raw, s.key)
		}
	case Array:
		if !s.isIndex {
			return nil, false
		}
		i := 0
		for item := range Items(raw) {
			if i == s.index {
				return item, true
			}
			i++
		}
	case Missing, Null, Bool, Number, String:
	}
	return nil, false
}

// Set returns the value with something else at the place: objects on the way
// are made where there are none. A place in an array that has no such element
// leads nowhere, and the value stays as it is.
func (p Path) Set(raw, value json.RawMessage) json.RawMessage {
	if len(p.steps) == 0 {
		return value
	}
	first, rest := p.steps[0], p.Rest()
	if TypeOf(raw) == Array {
		return first.setElement(raw, func(element json.RawMessage) json.RawMessage { return rest.Set(element, value) })
	}
	if !first.isKey {
		return raw
	}
	inside, _ := Field(raw, first.key)
	return Set(raw, first.key, rest.Set(inside, value))
}

func (s step) setElement(array json.RawMessage, change func(json.RawMessage) json.RawMessage) json.RawMessage {
	out := []byte{'['}
	i := 0
	for element := range Items(array) {
		if i > 0 {
			out = append(out, ',')
		}
		if s.isIndex && i == s.index {
			element = change(element)
		}
		out = append(out, element...)
		i++
	}
	return append(out, ']')
}

// Len is the number of steps; 0 for the value itself.
func (p Path) Len() int { return len(p.steps) }

// String tells paths apart, for people and as a key.
func (p Path) String() string {
	var text strings.Builder
	for _, s := range p.steps {
		if s.isKey {
			fmt.Fprintf(&text, "[%s]", Quote(s.key))
		} else {
			fmt.Fprintf(&text, "[%d]", s.index)
		}
	}
	return text.String()
}

// Rest is the path without its first step.
func (p Path) Rest() Path {
	if len(p.steps) == 0 {
		return p
	}
	return Path{steps: p.steps[1:]}
}

// First is the first key of the path; "" when it starts with an element or
// leads to the value itself.
func (p Path) First() string {
	if len(p.steps) == 0 {
		return ""
	}
	return p.steps[0].key
}
