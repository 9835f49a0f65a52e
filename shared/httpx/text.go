package httpx

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pocketflowgo/pocketflow/shared/errs"
)

// Postgres stores neither NUL nor broken UTF-8 as text, SQLite stores both.
// They are refused where they come in, so that no row exists that only one
// database can hold.
const (
	noNUL   = "must not contain a NUL character"
	notUTF8 = "must be UTF-8"
)

// textFault is what keeps a text from being stored, "" when nothing does.
func textFault(text string) string {
	switch {
	case !utf8.ValidString(text):
		return notUTF8
	case hasNUL(text):
		return noNUL
	}
	return ""
}

func hasNUL(text string) bool { return strings.IndexByte(text, 0) >= 0 }

// HeaderText is the value of a header that a request's handler keeps as data,
// "" when it is absent. The error names the header when its value is not UTF-8
// or has control characters: header values are bytes, and a server that is
// called in the same process sees them unchecked.
func HeaderText(r *http.Request, name string) (string, error) {
	value := r.Header.Get(name)
	var faults errs.Faults
	switch {
	case !utf8.ValidString(value):
		faults.Add(http.CanonicalHeaderKey(name), notUTF8)
	case strings.ContainsFunc(value, unicode.IsControl):
		faults.Add(http.CanonicalHeaderKey(name), "must not contain control characters")
	default:
		return value, nil
	}
	return "", faults.Err()
}

// texts finds NUL in what was decoded into a field: a text, or a list or map
// of texts. JSON values are left alone: in them NUL stays the escape \u0000,
// which is text like any other.
func (d *decoder) texts(v reflect.Value, path string) {
	switch v.Kind() {
	case reflect.String:
		if hasNUL(v.String()) {
			d.fault(path, errs.InvalidArgument, noNUL)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			d.texts(v.Elem(), path)
		}
	case reflect.Slice:
		if holdsTexts(v.Type()) {
			for i := range v.Len() {
				d.texts(v.Index(i), fmt.Sprintf("%s[%d]", path, i))
			}
		}
	case reflect.Map:
		d.entries(v, path)
	default: // numbers and booleans hold no text
	}
}

// entries blames a key on the map: a path with NUL in it is no help.
func (d *decoder) entries(v reflect.Value, path string) {
	nulKey := false
	for _, key := range v.MapKeys() {
		switch {
		case key.Kind() == reflect.String && hasNUL(key.String()):
			nulKey = true
		case holdsTexts(v.Type()):
			d.texts(v.MapIndex(key), join(path, fmt.Sprint(key)))
		}
	}
	if nulKey {
		d.fault(path, errs.InvalidArgument, "must not have a key with a NUL character")
	}
}

// holdsTexts spares the bytes of a json.RawMessage from being looked at one by
// one.
func holdsTexts(t reflect.Type) bool {
	return slices.Contains([]reflect.Kind{reflect.String, reflect.Pointer, reflect.Slice, reflect.Map}, t.Elem().Kind())
}
