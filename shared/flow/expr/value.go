package expr

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
)

// BadReference is the code of the fault for a reference that does not parse.
const BadReference = "bad_reference"

// Value is a JSON value of which any string, at any depth, may be a reference.
// The zero Value is absent and resolves to null.
//
// It is kept as the text between the references and the references themselves,
// so to resolve it is to join the two.
type Value struct {
	parts []part
}

// part is literal text, or a reference when text is nil.
type part struct {
	text json.RawMessage
	ref  Ref
}

// CompileValue compiles a JSON value. A string that starts with "$" is a
// reference and must parse as one; "$$x" is the text "$x". Object keys are
// always text. The faults have paths relative to the value.
func CompileValue(raw json.RawMessage) (Value, []errs.Fault) {
	var c valueCompiler
	c.value(rawjson.Trim(raw), "")
	c.flush()
	return Value{parts: c.parts}, c.faults
}

// RefValue is the value that is a reference and nothing else.
func RefValue(ref Ref) Value { return Value{parts: []part{{ref: ref}}} }

type valueCompiler struct {
	parts  []part
	text   []byte // literal text since the last reference
	faults []errs.Fault
}

func (c *valueCompiler) flush() {
	if len(c.text) > 0 {
		c.parts = append(c.parts, part{text: c.text[:len(c.text):len(c.text)]})
		c.text = nil
	}
}

func (c *valueCompiler) value(raw json.RawMessage, path string) {
	switch rawjson.TypeOf(raw) {
	case rawjson.Object:
		sep := byte('{')
		for key, field := range rawjson.Fields(raw) {
			c.text = append(c.text, sep)
			c.text = append(c.text, rawjson.Quote(key)...)
			c.text = append(c.text, ':')
			c.value(field, JoinPath(path, key))
			sep = ','
		}
		if sep == '{' {
			c.text = append(c.text, sep)
		}
		c.text = append(c.text, '}')
	case rawjson.Array:
		sep := byte('[')
		i := 0
		for item := range rawjson.Items(raw) {
			c.text = append(c.text, sep)
			c.value(item, fmt.Sprintf("%s[%d]", path, i))
			sep = ','
			i++
		}
		if sep == '[' {
			c.text = append(c.text, sep)
		}
		c.text = append(c.text, ']')
	case rawjson.String:
		c.string(raw, path)
	case rawjson.Missing, rawjson.Null, rawjson.Bool, rawjson.Number:
		c.text = append(c.text, raw...)
	}
}

func (c *valueCompiler) string(raw json.RawMessage, path string) {
	text := rawjson.Text(raw)
	switch {
	case strings.HasPrefix(text, "$$"):
		c.text = append(c.text, rawjson.Quote(text[1:])...)
	case strings.HasPrefix(text, "$"):
		ref, err := ParseRef(text)
		if err != nil {
			c.faults = append(c.faults, errs.Fault{Path: path, Code: BadReference, Message: err.Error()})
			return
		}
		c.flush()
		c.parts = append(c.parts, part{ref: ref})
	default:
		c.text = append(c.text, raw...)
	}
}

// IsZero reports whether the value is absent.
func (v Value) IsZero() bool { return len(v.parts) == 0 }

// Ref is the reference that the whole value is; false when it is a literal or
// only contains references.
func (v Value) Ref() (Ref, bool) {
	if len(v.parts) == 1 && v.parts[0].text == nil {
		return v.parts[0].ref, true
	}
	return Ref{}, false
}

// Literal is the JSON text of a value without references; false when it has
// any.
func (v Value) Literal() (json.RawMessage, bool) {
	if len(v.parts) == 1 && v.parts[0].text != nil {
		return v.parts[0].text, true
	}
	return nil, false
}

// Resolve gives the value with each reference replaced by what it finds. What
// is found is data: references in it are not followed. A lone reference or
// literal costs no copy.
func (v Value) Resolve(scope Scope) json.RawMessage {
	switch len(v.parts) {
	case 0:
		return json.RawMessage(null)
	case 1:
		return v.parts[0].resolve(&scope)
	}
	var out json.RawMessage
	for i := range v.parts {
		out = append(out, v.parts[i].resolve(&scope)...)
	}
	return out
}

func (p *part) resolve(scope *Scope) json.RawMessage {
	if p.text != nil {
		return p.text
	}
	if found, ok := p.ref.lookup(scope); ok && scope.Budget.Spend(len(found)) {
		return found
	}
	return json.RawMessage(null)
}

// Uses reports whether the value has a reference that starts at the root.
func (v Value) Uses(root Root) bool {
	for i := range v.parts {
		if v.parts[i].text == nil && v.parts[i].ref.Root == root {
			return true
		}
	}
	return false
}
