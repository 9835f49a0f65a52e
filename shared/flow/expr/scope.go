// Package expr holds what a flow definition computes with: references
// ($params.a, $shared.b[0], $input), values that contain references, and the
// conditions of a choice. All of it is compiled once and then evaluated
// without parsing and without errors: a path that leads nowhere is null.
//
// It refuses to be more than that: no arithmetic, no functions, no state.
package expr

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
)

// Scope is what references read. A nil field is null.
type Scope struct {
	Params json.RawMessage
	Shared json.RawMessage
	Input  json.RawMessage
	Budget *Budget // of the values that are resolved
}

// Root is the part of the scope where a reference starts.
type Root string

const (
	RootParams Root = "params"
	RootShared Root = "shared"
	RootInput  Root = "input"
)

// Roots lists every root.
var Roots = []Root{RootParams, RootShared, RootInput}

func (s *Scope) root(r Root) json.RawMessage {
	switch r {
	case RootParams:
		return s.Params
	case RootShared:
		return s.Shared
	case RootInput:
		return s.Input
	}
	return nil
}

// Ref is a reference into the scope.
type Ref struct {
	Root Root
	Path rawjson.Path
}

// ParseRef reads "$root", "$root.path" or "$root[…]".
func ParseRef(text string) (Ref, error) {
	for _, root := range Roots {
		rest, ok := strings.CutPrefix(text, "$"+string(root))
		if !ok {
			continue
		}
		switch {
		case rest == "":
			return Ref{Root: root}, nil
		case rest[0] == '.' && len(rest) > 1 && rest[1] != '[':
			rest = rest[1:]
		case rest[0] == '[':
		default:
			continue
		}
		path, err := rawjson.ParsePath(rest)
		if err != nil {
			return Ref{}, fmt.Errorf("reference %q: %w", text, err)
		}
		return Ref{Root: root, Path: path}, nil
	}
	return Ref{}, fmt.Errorf("reference %q: starts with none of $params, $shared, $input; write %q for the text itself", text, "$"+text)
}

// lookup is false when the path leads nowhere.
func (r Ref) lookup(scope *Scope) (json.RawMessage, bool) {
	return r.Path.Lookup(scope.root(r.Root))
}

// null is what a path that leads nowhere stands for.
const null = "null"

// Selector points into a subject, usually a result, with a bare path, or into
// the scope with a reference. The zero Selector finds nothing.
type Selector struct {
	ref   Ref // Root is "" for a bare path
	isSet bool
}

// ParseSelector reads a bare path or a reference; "" is the whole subject.
func ParseSelector(text string) (Selector, error) {
	if strings.HasPrefix(text, "$") {
		ref, err := ParseRef(text)
		return Selector{ref: ref, isSet: err == nil}, err
	}
	path, err := rawjson.ParsePath(text)
	return Selector{ref: Ref{Path: path}, isSet: err == nil}, err
}

// IsZero reports whether there is nothing to select.
func (s Selector) IsZero() bool { return !s.isSet }

// Select gives null and false when there is nothing at the place.
func (s Selector) Select(scope Scope, subject json.RawMessage) (json.RawMessage, bool) {
	if !s.isSet {
		return json.RawMessage(null), false
	}
	var found json.RawMessage
	var ok bool
	if s.ref.Root == "" {
		found, ok = s.ref.Path.Lookup(subject)
	} else {
		found, ok = s.ref.lookup(&scope)
	}
	if !ok {
		return json.RawMessage(null), false
	}
	return found, true
}
