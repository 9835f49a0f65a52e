package httpx

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
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

// Unmarshal is Decode on bytes. What it decodes holds on to none of them.
func Unmarshal(data []byte, dst any, strictness Strictness) error {
	if err := wellFormed(data); err != nil {
		return err
	}
	d := decoder{strictness: strictness, path: make([]byte, 0, 32), members: make([]member, 0, 16)} // they grow, few must
	d.value(bytes.Trim(data, " \t\r\n"), reflect.ValueOf(dst).Elem())
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
	if json.Valid(data) {
		return nil
	}
	var value json.RawMessage
	err := json.Unmarshal(data, &value)
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
	path       []byte   // of the value at hand
	members    []member // of the objects that the value at hand is in
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

func (d *decoder) value(data []byte, dst reflect.Value) {
	if raw, ok := dst.Addr().Interface().(*json.RawMessage); ok {
		*raw = bytes.Clone(data) // null too: that is a value, and not the same as an absent field
		return
	}
	if string(data) == "null" || plain(data, dst) {
		return
	}
	switch {
	case dst.Addr().Type().Implements(unmarshalerType):
	case dst.Kind() == reflect.Struct:
		d.object(data, dst)
		return
	case dst.Kind() == reflect.Slice && dst.Type().Elem().Kind() == reflect.Struct:
		d.array(data, dst)
		return
	}
	path := string(d.path)
	if err := json.Unmarshal(data, dst.Addr().Interface()); err != nil {
		d.fault(path, errs.InvalidArgument, "must be %s", describe(dst.Type()))
		return
	}
	d.texts(dst, path)
}

// plain decodes what most fields are, as encoding/json would but in a fraction
// of its time. False: it is something else, or does not fit.
func plain(data []byte, dst reflect.Value) bool {
	switch dst := dst.Addr().Interface().(type) {
	case *string:
		text, ok := plainText(data)
		if ok {
			*dst = string(text)
		}
		return ok
	case *int:
		number, err := strconv.Atoi(string(data))
		if err == nil {
			*dst = number
		}
		return err == nil
	case *int64:
		number, err := strconv.ParseInt(string(data), 10, 64)
		if err == nil {
			*dst = number
		}
		return err == nil
	}
	return false
}

func (d *decoder) array(data []byte, dst reflect.Value) {
	if data[0] != '[' {
		d.fault(string(d.path), errs.InvalidArgument, "must be an array of objects")
		return
	}
	count := 0
	for range rawjson.Items(data) {
		count++
	}
	out := reflect.MakeSlice(dst.Type(), count, count)
	above, i := len(d.path), 0
	for item := range rawjson.Items(data) {
		d.path = append(strconv.AppendInt(append(d.path, '['), int64(i), 10), ']')
		d.value(item, out.Index(i))
		d.path = d.path[:above]
		i++
	}
	dst.Set(out)
}

func (d *decoder) object(data []byte, dst reflect.Value) {
	if data[0] != '{' {
		d.fault(string(d.path), errs.InvalidArgument, "must be an object")
		return
	}
	fields := fieldsOf(dst.Type())
	before, above := len(d.members), len(d.path)
	d.members = appendMembers(d.members, data)
	// In their order, so that of two spellings of one field the same one wins
	// always.
	for _, m := range d.members[before:] {
		if above > 0 {
			d.path = append(d.path, '.')
		}
		d.path = append(d.path, m.name...)
		index, ok := fields[string(m.name)]
		if !ok {
			index, ok = fields[normalize(string(m.name))]
		}
		switch {
		case ok:
			d.value(m.value, dst.FieldByIndex(index))
		case d.strictness == Strict:
			d.fault(string(d.path), errs.UnknownField, "unknown field")
		}
		d.path = d.path[:above]
	}
	d.members = d.members[:before]
}

// known are the fields of the types that were decoded into, by type: each by its
// normalized names, and by its documented one too, which spares most names from
// being normalized. It is package state because types are: their number is the
// program's.
var known sync.Map

func fieldsOf(t reflect.Type) map[string][]int {
	if fields, ok := known.Load(t); ok {
		return fields.(map[string][]int) //nolint:forcetypeassert // nothing else is stored
	}
	fields := map[string][]int{}
	var documented []string
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		documented = append(documented, name)
		fields[normalize(name)] = f.Index
		if alias := f.Tag.Get("alias"); alias != "" {
			for a := range strings.SplitSeq(alias, ",") {
				fields[normalize(a)] = f.Index
			}
		}
	}
	for _, name := range documented {
		fields[name] = fields[normalize(name)]
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
