package simulate

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/flow/expr"
	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
	"github.com/pocketflowgo/pocketflow/shared/flow/yamljson"
)

// MaxScript bounds the text of a script, and the JSON that YAML becomes.
const MaxScript = 4 << 20

// ReadScript reads a script and finds every fault in it: unknown fields, wrong
// types, what has no meaning. A field that is null counts as absent, but for
// results and values. The script is nil when there are faults.
func ReadScript(src flow.Source) (*Script, []errs.Fault) {
	var r reader
	text, ok := r.source(src)
	if !ok {
		return nil, r.faults
	}
	r.tree(text, "", 1)
	if len(r.faults) > 0 {
		return nil, r.faults // which of two fields counts, nobody can tell
	}
	script := r.script(text)
	// What could not be read is not there to be checked.
	unread := func(checked errs.Fault) bool {
		return slices.ContainsFunc(r.faults, func(f errs.Fault) bool {
			return f.Path == checked.Path || strings.HasPrefix(checked.Path, f.Path+".")
		})
	}
	faults := slices.Concat(r.faults, slices.DeleteFunc(script.check(), unread))
	if len(faults) > 0 {
		return nil, faults
	}
	return script, nil
}

// reader turns JSON text into a script and goes on after a fault. A reader of
// a value that finds a fault returns the zero value.
type reader struct{ faults }

func (r *reader) source(src flow.Source) (json.RawMessage, bool) {
	switch {
	case len(src.Text) > MaxScript:
		r.add("", flow.CodeTooLarge, "the script has %d bytes, more than %d", len(src.Text), MaxScript)
	case !utf8.Valid(src.Text):
		r.add("", flow.CodeMalformed, "the text is not UTF-8")
	case src.Format == flow.FormatYAML:
		text, err := yamljson.Convert(src.Text)
		if errors.Is(err, yamljson.ErrEmpty) {
			return json.RawMessage("{}"), true // nothing but comments: a script that answers nothing
		}
		if err != nil {
			r.add("", flow.CodeMalformed, "%s", err)
			return nil, false
		}
		return text, true
	case !json.Valid(src.Text):
		var text any
		r.add("", flow.CodeMalformed, "%s", json.Unmarshal(src.Text, &text))
	default:
		return src.Text, true
	}
	return nil, false
}

// maxDepth bounds how deep a script nests, as a definition does.
const maxDepth = 256

// tree finds keys that are there twice, at any depth.
func (r *reader) tree(raw json.RawMessage, path string, depth int) {
	if depth > maxDepth {
		r.add(path, flow.CodeTooDeep, "more than %d levels of arrays and objects", maxDepth)
		return
	}
	switch rawjson.TypeOf(raw) {
	case rawjson.Object:
		seen := map[string]bool{}
		for key, value := range rawjson.Fields(raw) {
			at := expr.JoinPath(path, key)
			if seen[key] {
				r.add(at, flow.CodeDuplicateKey, "the key appears more than once")
			}
			seen[key] = true
			r.tree(value, at, depth+1)
		}
	case rawjson.Array:
		i := 0
		for item := range rawjson.Items(raw) {
			r.tree(item, indexed(path, i), depth+1)
			i++
		}
	case rawjson.Missing, rawjson.Null, rawjson.Bool, rawjson.Number, rawjson.String:
	}
}

func indexed(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// fields are the readers of an object's fields, by name.
type fields map[string]func(raw json.RawMessage, path string)

func (r *reader) script(raw json.RawMessage) *Script {
	s := &Script{}
	r.object(raw, "", fields{
		"start_at": func(raw json.RawMessage, path string) { s.StartAt = r.time(raw, path) },
		"params":   func(raw json.RawMessage, _ string) { s.Params = value(raw) },
		"flows": func(raw json.RawMessage, path string) {
			s.Flows = map[string]string{}
			r.entries(raw, path, func(name string, raw json.RawMessage, path string) { s.Flows[name] = r.text(raw, path) })
		},
		"answers": func(raw json.RawMessage, path string) {
			s.Answers = map[string][]Answer{}
			r.entries(raw, path, func(pattern string, raw json.RawMessage, path string) {
				s.Answers[pattern] = r.answers(raw, path)
			})
		},
		"signals": func(raw json.RawMessage, path string) {
			r.items(raw, path, func(raw json.RawMessage, path string) { s.Signals = append(s.Signals, r.signal(raw, path)) })
		},
		"cancel": func(raw json.RawMessage, path string) {
			s.Cancel = &Moment{}
			r.moment(raw, path, s.Cancel, fields{})
		},
	})
	if rawjson.IsNull(s.Params) {
		s.Params = nil
	}
	return s
}

// answers reads one answer, or a list of them.
func (r *reader) answers(raw json.RawMessage, path string) []Answer {
	if rawjson.TypeOf(raw) != rawjson.Array {
		return []Answer{r.answer(raw, path)}
	}
	list := []Answer{}
	r.items(raw, path, func(raw json.RawMessage, path string) { list = append(list, r.answer(raw, path)) })
	return list
}

func (r *reader) answer(raw json.RawMessage, path string) Answer {
	var a Answer
	retryable := true
	r.object(raw, path, fields{
		"result":    func(raw json.RawMessage, _ string) { a.Result = value(raw) },
		"error":     func(raw json.RawMessage, path string) { a.Error = r.failure(raw, path) },
		"retryable": func(raw json.RawMessage, path string) { retryable = r.expect(rawjson.Bool, raw, path) && raw[0] == 't' },
		"after_ms":  func(raw json.RawMessage, path string) { a.After = millis(r.whole(raw, path)) },
		"times": func(raw json.RawMessage, path string) {
			if n := r.whole(raw, path); n < 1 {
				r.add(path, flow.CodeOutOfRange, "must be at least 1")
			} else {
				a.Times = int(n)
			}
		},
	})
	a.Final = !retryable
	return a
}

// failure reads an error: a message, or an object with code and message.
func (r *reader) failure(raw json.RawMessage, path string) *Error {
	e := &Error{}
	if rawjson.TypeOf(raw) == rawjson.String {
		e.Message = rawjson.Text(raw)
		return e
	}
	r.object(raw, path, fields{
		"code":    func(raw json.RawMessage, path string) { e.Code = r.text(raw, path) },
		"message": func(raw json.RawMessage, path string) { e.Message = r.text(raw, path) },
	})
	return e
}

func (r *reader) signal(raw json.RawMessage, path string) Signal {
	var s Signal
	r.moment(raw, path, &s.Moment, fields{
		"key":        func(raw json.RawMessage, path string) { s.Key = r.text(raw, path) },
		"value":      func(raw json.RawMessage, _ string) { s.Value = value(raw) },
		"decided_by": func(raw json.RawMessage, path string) { s.DecidedBy = r.text(raw, path) },
		"comment":    func(raw json.RawMessage, path string) { s.Comment = r.text(raw, path) },
	})
	if rawjson.TypeOf(raw) == rawjson.Object && s.Value == nil {
		r.add(expr.JoinPath(path, "value"), flow.CodeMissing, "the signal has no value; any JSON value fits, null included")
	}
	return s
}

// moment reads the time of something that comes from outside, and its other
// fields.
func (r *reader) moment(raw json.RawMessage, path string, m *Moment, others fields) {
	timed := false
	others["at_ms"] = func(raw json.RawMessage, path string) { m.At, timed = millis(r.whole(raw, path)), true }
	others["when"] = func(raw json.RawMessage, path string) { m.When, timed = r.text(raw, path), true }
	others["after_ms"] = func(raw json.RawMessage, path string) { m.After = millis(r.whole(raw, path)) }
	r.object(raw, path, others)
	if rawjson.TypeOf(raw) == rawjson.Object && !timed {
		r.add(path, flow.CodeMissing, "needs at_ms, a time since the start, or when, a node that begins")
	}
}

// object reads the fields of an object. Null is as if the field were absent,
// but where any value fits.
func (r *reader) object(raw json.RawMessage, path string, known fields) {
	if !r.expect(rawjson.Object, raw, path) {
		return
	}
	for key, field := range rawjson.Fields(raw) {
		at := expr.JoinPath(path, key)
		read, ok := known[key]
		switch {
		case !ok:
			r.add(at, flow.CodeUnknownField, "unknown field %q; here may be %s", key, listed(known))
		case rawjson.IsNull(field) && key != "result" && key != "value":
		default:
			read(field, at)
		}
	}
}

func listed(known fields) string {
	names := make([]string, 0, len(known))
	for name := range known {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func (r *reader) entries(raw json.RawMessage, path string, each func(key string, raw json.RawMessage, path string)) {
	if !r.expect(rawjson.Object, raw, path) {
		return
	}
	for key, entry := range rawjson.Fields(raw) {
		each(key, entry, expr.JoinPath(path, key))
	}
}

func (r *reader) items(raw json.RawMessage, path string, each func(raw json.RawMessage, path string)) {
	if !r.expect(rawjson.Array, raw, path) {
		return
	}
	i := 0
	for item := range rawjson.Items(raw) {
		each(item, indexed(path, i))
		i++
	}
}

func (r *reader) text(raw json.RawMessage, path string) string {
	if !r.expect(rawjson.String, raw, path) {
		return ""
	}
	text := rawjson.Text(raw)
	if text == "" {
		r.add(path, flow.CodeMissing, "must not be empty")
	}
	return text
}

func (r *reader) whole(raw json.RawMessage, path string) int64 {
	if !r.expect(rawjson.Number, raw, path) {
		return 0
	}
	n, err := rawjson.Int(raw)
	if err != nil {
		r.add(path, flow.CodeWrongType, "%s is not a whole number that can be counted with", raw)
	}
	return n
}

func (r *reader) time(raw json.RawMessage, path string) time.Time {
	if !r.expect(rawjson.String, raw, path) {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, rawjson.Text(raw))
	if err != nil {
		r.add(path, flow.CodeWrongType, "%s is not a time of RFC 3339", raw)
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}

func (r *reader) expect(want rawjson.Type, raw json.RawMessage, path string) bool {
	got := rawjson.TypeOf(raw)
	if got != want {
		r.add(path, flow.CodeWrongType, "must be of type %s, not %s", want, got)
	}
	return got == want
}

// value is a value of the author's own, without the white space around and
// inside it.
func value(raw json.RawMessage) json.RawMessage {
	var text bytes.Buffer
	if err := json.Compact(&text, raw); err != nil {
		return raw
	}
	return text.Bytes()
}
