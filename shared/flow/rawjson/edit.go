package rawjson

import "encoding/json"

// Field looks a top-level key up.
func Field(object json.RawMessage, key string) (json.RawMessage, bool) {
	for f := range fields(object) {
		if f.named(key) {
			return f.value(object), true
		}
	}
	return nil, false
}

// Set returns the object with the key set to the value: in its place when the
// key is there, else at the end. Everything else keeps its bytes. What is not
// an object counts as {}, a nil value as null.
func Set(object json.RawMessage, key string, value json.RawMessage) json.RawMessage {
	value = Trim(value)
	if len(value) == 0 {
		value = json.RawMessage("null")
	}
	object = Trim(object)
	if TypeOf(object) != Object {
		object = json.RawMessage("{}")
	}

	empty := true
	for f := range fields(object) {
		empty = false
		if f.named(key) {
			out := make(json.RawMessage, 0, len(object)-(f.end-f.start)+len(value))
			out = append(out, object[:f.start]...)
			out = append(out, value...)
			return append(out, object[f.end:]...)
		}
	}

	body := object[:len(object)-1]
	if empty {
		body = body[:1]
	}
	out := make(json.RawMessage, 0, len(body)+len(key)+len(value)+len(`,"":}`))
	out = append(out, body...)
	if !empty {
		out = append(out, ',')
	}
	out = appendQuoted(out, key)
	out = append(out, ':')
	out = append(out, value...)
	return append(out, '}')
}

// appendQuoted spares the encoder for the keys that need no escapes, which is
// nearly all of them.
func appendQuoted(out []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			return append(out, Quote(text)...)
		}
	}
	out = append(out, '"')
	out = append(out, text...)
	return append(out, '"')
}

// Base is an object that many layers are merged over, one at a time. It is read
// once, which pays when it is large. The zero Base is {}.
type Base struct {
	object json.RawMessage // trimmed
	fields []field
	index  map[string]int // of the field, by key
}

// NewBase reads an object; what is none counts as {}.
func NewBase(object json.RawMessage) Base {
	b := Base{object: json.RawMessage("{}")}
	if TypeOf(object) == Object {
		b.object = Trim(object)
	}
	b.index = make(map[string]int)
	for f := range fields(b.object) {
		if _, ok := b.index[string(unquote(f.key))]; !ok {
			b.index[string(unquote(f.key))] = len(b.fields)
		}
		b.fields = append(b.fields, f)
	}
	return b
}

// Merge is Merge(object, layer).
func (b *Base) Merge(layer json.RawMessage) json.RawMessage {
	if len(b.fields) == 0 {
		return Merge(layer)
	}
	replaced := make(map[int]json.RawMessage)
	added := make(map[string]json.RawMessage)
	var order []string // of what is added
	for key, value := range Fields(layer) {
		if i, ok := b.index[key]; ok {
			replaced[i] = value
			continue
		}
		if _, ok := added[key]; !ok {
			order = append(order, key)
		}
		added[key] = value
	}
	out := Builder{out: make(json.RawMessage, 0, len(b.object)+len(layer))}
	copied := 0
	for i, f := range b.fields {
		if value, ok := replaced[i]; ok {
			out.out = append(out.out, b.object[copied:f.start]...)
			out.out = append(out.out, value...)
			copied = f.end
		}
	}
	out.out = append(out.out, b.object[copied:len(b.object)-1]...)
	for _, key := range order {
		out.Field(key, added[key])
	}
	return out.Object()
}

// Builder writes an object, one field after the other, whose keys differ. The
// zero Builder is {}.
type Builder struct {
	out json.RawMessage // without the brace at the end
}

// Field adds a field; a nil value counts as null.
func (b *Builder) Field(key string, value json.RawMessage) {
	separator := byte(',')
	if len(b.out) == 0 {
		separator = '{'
	}
	b.out = append(b.out, separator)
	b.out = append(appendQuoted(b.out, key), ':')
	if value = Trim(value); len(value) == 0 {
		value = json.RawMessage("null")
	}
	b.out = append(b.out, value...)
}

// Object is what has been written. The Builder is not used after it.
func (b *Builder) Object() json.RawMessage {
	if len(b.out) == 0 {
		return json.RawMessage("{}")
	}
	return append(b.out, '}')
}

// largeMerge is the bytes from which on it pays to read a base once instead of
// looking each key up.
const largeMerge = 4 << 10

// Merge lays objects over each other by their top-level keys, weakest first.
// Layers that are not objects are passed over; the result always is one.
func Merge(layers ...json.RawMessage) json.RawMessage {
	merged := json.RawMessage("{}")
	for _, layer := range layers {
		if TypeOf(layer) != Object {
			continue
		}
		if len(merged) == len("{}") {
			merged = Trim(layer)
			continue
		}
		if len(merged)+len(layer) > largeMerge {
			base := NewBase(merged)
			merged = base.Merge(layer)
			continue
		}
		for key, value := range Fields(layer) {
			merged = Set(merged, key, value)
		}
	}
	return merged
}
