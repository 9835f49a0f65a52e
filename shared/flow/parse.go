package flow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/flow/expr"
	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
)

// maxDepth bounds how deep arrays and objects nest in the text, so that no
// walk over it can use up the stack. It leaves room for every subflow that
// Limits allows.
const maxDepth = 256

// Parse reads a definition from JSON. The faults are all that can be told from
// the text alone: syntax (with line and column), unknown fields, repeated
// keys, wrong types. The definition is nil only when the text is not JSON or
// nests too deeply; otherwise it holds what could be read, for Validate to
// find the rest of the faults in.
func Parse(data []byte) (*Definition, []errs.Fault) {
	var faults faultList
	if !utf8.Valid(data) {
		faults.add("", CodeMalformed, "the text is not UTF-8")
		return nil, faults.faults
	}
	var text json.RawMessage
	if err := json.Unmarshal(data, &text); err != nil {
		faults.add("", CodeMalformed, "%s", syntaxMessage(data, err))
		return nil, faults.faults
	}
	if !checkTree(&faults, text) {
		return nil, faults.faults
	}
	d := decoder{faults: &faults}
	def := decodeInto[Definition](&d, text)
	return &def, faults.faults
}

func syntaxMessage(data []byte, err error) string {
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return err.Error()
	}
	before := data[:min(max(syntax.Offset-1, 0), int64(len(data)))]
	line := 1 + bytes.Count(before, []byte("\n"))
	column := 1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])
	return fmt.Sprintf("line %d, column %d: %s", line, column, syntax)
}

// checkTree finds repeated keys at any depth, inside the author's own values
// too: readers disagree on which one counts. False when it nests too deeply.
func checkTree(faults *faultList, text json.RawMessage) bool {
	t := treeCheck{faults: faults}
	t.walk(text, "", 1)
	return !t.tooDeep
}

type treeCheck struct {
	faults  *faultList
	tooDeep bool
}

func (t *treeCheck) walk(raw json.RawMessage, path string, depth int) {
	if depth > maxDepth {
		if !t.tooDeep {
			t.faults.add(path, CodeTooDeep, "more than %d levels of arrays and objects", maxDepth)
		}
		t.tooDeep = true
		return
	}
	switch rawjson.TypeOf(raw) {
	case rawjson.Object:
		seen := make(map[string]bool)
		for key, value := range rawjson.Fields(raw) {
			if seen[key] {
				t.faults.add(expr.JoinPath(path, key), CodeDuplicateKey, "the key appears more than once")
			}
			seen[key] = true
			if isContainer(value) {
				t.walk(value, expr.JoinPath(path, key), depth+1)
			}
		}
	case rawjson.Array:
		i := 0
		for item := range rawjson.Items(raw) {
			if isContainer(item) {
				t.walk(item, indexPath(path, i), depth+1)
			}
			i++
		}
	case rawjson.Missing, rawjson.Null, rawjson.Bool, rawjson.Number, rawjson.String:
	}
}

func isContainer(raw json.RawMessage) bool {
	t := rawjson.TypeOf(raw)
	return t == rawjson.Object || t == rawjson.Array
}
