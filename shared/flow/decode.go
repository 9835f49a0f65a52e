package flow

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strconv"

	"github.com/pocketflowgo/pocketflow/shared/flow/expr"
	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
)

// decoder fills the structs of the model from JSON and, unlike encoding/json,
// goes on after a fault and knows where it is. The structs' json tags are the
// schema. The text is valid JSON of bounded depth.
type decoder struct {
	faults  *faultList
	schemas map[reflect.Type]schema
}

// schema maps the names of a struct's fields, promoted ones included, to where
// they lie.
type schema struct {
	index map[string][]int
	names []string
}

func decodeInto[T any](d *decoder, raw json.RawMessage) T {
	var out T
	d.value(raw, reflect.ValueOf(&out).Elem(), "")
	return out
}

func (d *decoder) schemaOf(t reflect.Type) schema {
	if s, ok := d.schemas[t]; ok {
		return s
	}
	s := schema{index: make(map[string][]int)}
	for _, f := range reflect.VisibleFields(t) {
		if f.Anonymous {
			continue
		}
		name, _, _ := bytes.Cut([]byte(f.Tag.Get("json")), []byte(","))
		s.index[string(name)] = f.Index
		s.names = append(s.names, string(name))
	}
	if d.schemas == nil {
		d.schemas = make(map[reflect.Type]schema)
	}
	d.schemas[t] = s
	return s
}

func (d *decoder) value(raw json.RawMessage, into reflect.Value, path string) {
	if into.Type() == reflect.TypeFor[json.RawMessage]() {
		into.SetBytes(compact(raw))
		return
	}
	switch into.Kind() {
	case reflect.Pointer:
		into.Set(reflect.New(into.Type().Elem()))
		d.value(raw, into.Elem(), path)
	case reflect.Struct:
		d.object(raw, into, path)
	case reflect.Map:
		d.entries(raw, into, path)
	case reflect.Slice:
		d.items(raw, into, path)
	default:
		d.scalar(raw, into, path)
	}
}

func (d *decoder) object(raw json.RawMessage, into reflect.Value, path string) {
	if !d.expect(rawjson.Object, raw, path) {
		return
	}
	fields := d.schemaOf(into.Type())
	for key, value := range rawjson.Fields(raw) {
		at := expr.JoinPath(path, key)
		index, ok := fields.index[key]
		switch {
		case !ok:
			d.faults.add(at, CodeUnknownField, "unknown field %q%s", key, hint(d.faults, key, fields.names))
		case rawjson.IsNull(value): // as if it were absent
		default:
			d.value(value, into.FieldByIndex(index), at)
		}
	}
}

// entries keeps the key of an entry that has a fault, so that whatever refers
// to it is not a fault as well.
func (d *decoder) entries(raw json.RawMessage, into reflect.Value, path string) {
	if !d.expect(rawjson.Object, raw, path) {
		return
	}
	into.Set(reflect.MakeMap(into.Type()))
	for key, value := range rawjson.Fields(raw) {
		entry := reflect.New(into.Type().Elem()).Elem()
		d.value(value, entry, expr.JoinPath(path, key))
		into.SetMapIndex(reflect.ValueOf(key), entry)
	}
}

func (d *decoder) items(raw json.RawMessage, into reflect.Value, path string) {
	if !d.expect(rawjson.Array, raw, path) {
		return
	}
	list := reflect.MakeSlice(into.Type(), 0, 0)
	for item := range rawjson.Items(raw) {
		element := reflect.New(into.Type().Elem()).Elem()
		d.value(item, element, indexPath(path, list.Len()))
		list = reflect.Append(list, element)
	}
	into.Set(list)
}

func (d *decoder) scalar(raw json.RawMessage, into reflect.Value, path string) {
	switch into.Kind() {
	case reflect.String:
		if d.expect(rawjson.String, raw, path) {
			into.SetString(rawjson.Text(raw))
		}
	case reflect.Bool:
		if d.expect(rawjson.Bool, raw, path) {
			into.SetBool(raw[0] == 't')
		}
	case reflect.Int, reflect.Int64:
		d.whole(raw, into, path)
	case reflect.Float64:
		if d.expect(rawjson.Number, raw, path) {
			f, err := strconv.ParseFloat(string(raw), 64)
			if err != nil {
				d.faults.add(path, CodeOutOfRange, "%s is out of range", brief(raw))
				return // an infinite number could not be written as JSON again
			}
			into.SetFloat(f)
		}
	default:
		d.faults.add(path, CodeWrongType, "this field cannot be set")
	}
}

func (d *decoder) whole(raw json.RawMessage, into reflect.Value, path string) {
	if !d.expect(rawjson.Number, raw, path) {
		return
	}
	n, err := rawjson.Int(raw)
	switch {
	case errors.Is(err, strconv.ErrRange), err == nil && into.OverflowInt(n):
		d.faults.add(path, CodeOutOfRange, "%s is out of range", brief(raw))
	case err != nil:
		d.faults.add(path, CodeWrongType, "%s is not a whole number", brief(raw))
	default:
		into.SetInt(n)
	}
}

func (d *decoder) expect(want rawjson.Type, raw json.RawMessage, path string) bool {
	got := rawjson.TypeOf(raw)
	if got != want {
		d.faults.add(path, CodeWrongType, "must be %s, not %s", article(want), article(got))
	}
	return got == want
}

func article(t rawjson.Type) string {
	switch t {
	case rawjson.Array, rawjson.Object:
		return "an " + string(t)
	case rawjson.Bool, rawjson.Number, rawjson.String:
		return "a " + string(t)
	case rawjson.Null, rawjson.Missing:
	}
	return string(t)
}

// compact copies a value without the white space, so that the model does not
// hold on to the text it came from.
func compact(raw json.RawMessage) json.RawMessage {
	if rawjson.IsNull(raw) {
		return nil
	}
	var buf bytes.Buffer
	if err := json.Compact(&buf, raw); err != nil {
		return raw
	}
	return buf.Bytes()
}

func indexPath(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
