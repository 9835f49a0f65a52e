package httpx

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/pocketflowgo/pocketflow/shared/errs"
)

// Decode reads a JSON object from the request's body into dst, a pointer to a
// struct. The body is UTF-8, and no text in it, a map's keys included, has a
// NUL; JSON values (json.RawMessage) may escape one. Names match the fields'
// json tags in any letter case and with or without underscores (FlowID, flowId,
// flow_id), at every depth; a tag `alias:"a,b"` names further spellings. Every field of the wrong type is
// named at once. Unknown fields are refused only under
// "Prefer: handling=strict" (RFC 7240). An empty body reads as {}.
func Decode(r *http.Request, dst any) error {
	body, err := ReadBody(r)
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	return Unmarshal(body, dst, StrictnessOf(r))
}

// ReadBody reads the whole body within the router's limit.
func ReadBody(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		// asError tells a body over the limit from a broken connection.
		return nil, fmt.Errorf("read body: %w", err)
	}
	return body, nil
}

// Strictness says what happens to fields that no struct field takes.
type Strictness string

const (
	Lenient Strictness = "lenient"
	Strict  Strictness = "strict"
)

// StrictnessOf is what the request's Prefer header asks for.
func StrictnessOf(r *http.Request) Strictness {
	for _, value := range r.Header.Values("Prefer") {
		for _, part := range strings.FieldsFunc(value, func(c rune) bool { return c == ',' || c == ';' }) {
			if strings.EqualFold(strings.ReplaceAll(strings.TrimSpace(part), `"`, ""), "handling=strict") {
				return Strict
			}
		}
	}
	return Lenient
}

// Unmarshal is Decode on bytes.
func Unmarshal(data []byte, dst any, strictness Strictness) error {
	if err := wellFormed(data); err != nil {
		return err
	}
	d := decoder{strictness: strictness}
	d.value(data, reflect.ValueOf(dst).Elem(), "")
	slices.SortStableFunc(d.faults, func(a, b errs.Fault) int { return strings.Compare(a.Path, b.Path) })
	return errs.Invalid(d.code(), d.faults)
}

// wellFormed holds the body to UTF-8 (RFC 8259) itself: encoding/json replaces
// broken bytes in texts and lets them through in json.RawMessage.
func wellFormed(data []byte) error {
	if at := brokenUTF8(data); at >= 0 {
		line, column := position(data, at+1)
		return errs.New(errs.MalformedBody, "the body is not UTF-8: line %d, column %d: byte 0x%02x", line, column, data[at])
	}
	var value json.RawMessage
	err := json.Unmarshal(data, &value)
	if err == nil {
		return nil
	}
	line, column := 1, 1
	if syntax, ok := err.(*json.SyntaxError); ok { //nolint:errorlint // json.Unmarshal returns it unwrapped
		line, column = position(data, int(syntax.Offset))
	}
	return errs.Wrap(err, errs.MalformedBody, "the body is not JSON: line %d, column %d: %s", line, column, err)
}

// brokenUTF8 is the index of the first byte that is no part of a character, -1
// when there is none.
func brokenUTF8(data []byte) int {
	if utf8.Valid(data) {
		return -1
	}
	at := 0
	for at < len(data) {
		r, size := utf8.DecodeRune(data[at:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		at += size
	}
	return at
}

// position is the line and the column, in bytes from 1, of the last of the
// bytes read.
func position(data []byte, read int) (line, column int) {
	before := data[:min(read, len(data))]
	line = 1 + bytes.Count(before, []byte("\n"))
	return line, len(before) - bytes.LastIndexByte(before, '\n') - 1
}

type decoder struct {
	strictness Strictness
	faults     []errs.Fault
}

// code is unknown_field only when there is nothing else wrong.
func (d *decoder) code() errs.Code {
	for _, f := range d.faults {
		if f.Code != string(errs.UnknownField) {
			return errs.InvalidArgument
		}
	}
	return errs.UnknownField
}

func (d *decoder) fault(path string, code errs.Code, format string, args ...any) {
	d.faults = append(d.faults, errs.Fault{Path: path, Code: string(code), Message: fmt.Sprintf(format, args...)})
}

var unmarshalerType = reflect.TypeFor[json.Unmarshaler]()

func (d *decoder) value(data []byte, dst reflect.Value, path string) {
	if raw, ok := dst.Addr().Interface().(*json.RawMessage); ok {
		*raw = data // null too: that is a value, and not the same as an absent field
		return
	}
	if string(data) == "null" {
		return
	}
	switch {
	case dst.Addr().Type().Implements(unmarshalerType):
	case dst.Kind() == reflect.Struct:
		d.object(data, dst, path)
		return
	case dst.Kind() == reflect.Slice && dst.Type().Elem().Kind() == reflect.Struct:
		d.array(data, dst, path)
		return
	}
	if err := json.Unmarshal(data, dst.Addr().Interface()); err != nil {
		d.fault(path, errs.InvalidArgument, "must be %s", describe(dst.Type()))
		return
	}
	d.texts(dst, path)
}

func (d *decoder) array(data []byte, dst reflect.Value, path string) {
	var items []json.RawMessage
	if err := json.Unmarshal(data, &items); err != nil {
		d.fault(path, errs.InvalidArgument, "must be an array of objects")
		return
	}
	out := reflect.MakeSlice(dst.Type(), len(items), len(items))
	for i, item := range items {
		d.value(item, out.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
	dst.Set(out)
}

func (d *decoder) object(data []byte, dst reflect.Value, path string) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		d.fault(path, errs.InvalidArgument, "must be an object")
		return
	}
	fields := fieldsOf(dst.Type())
	// Sorted, so that of two spellings of one field the same one wins always.
	for _, name := range slices.Sorted(maps.Keys(members)) {
		value := members[name]
		index, ok := fields[normalize(name)]
		if !ok {
			if d.strictness == Strict {
				d.fault(join(path, name), errs.UnknownField, "unknown field")
			}
			continue
		}
		d.value(value, dst.FieldByIndex(index), join(path, name))
	}
}

// known are the fields of the types that were decoded into, by type. It is
// package state because types are: their number is the program's.
var known sync.Map

func fieldsOf(t reflect.Type) map[string][]int {
	if fields, ok := known.Load(t); ok {
		return fields.(map[string][]int) //nolint:forcetypeassert // nothing else is stored
	}
	fields := map[string][]int{}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		fields[normalize(name)] = f.Index
		if alias := f.Tag.Get("alias"); alias != "" {
			for a := range strings.SplitSeq(alias, ",") {
				fields[normalize(a)] = f.Index
			}
		}
	}
	known.Store(t, fields)
	return fields
}

func normalize(name string) string {
	return strings.ToLower(strings.ReplaceAll(name, "_", ""))
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func describe(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "an array, each item " + describe(t.Elem())
	case reflect.Map:
		return "an object"
	case reflect.Pointer:
		return describe(t.Elem())
	default:
		return "another type"
	}
}
