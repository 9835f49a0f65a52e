package simulate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
)

// yamlToJSON writes YAML as JSON: numbers keep their text, keys their order,
// and what JSON has no type for (a time) stays the text it is.
func yamlToJSON(text []byte) (json.RawMessage, error) {
	var doc, more yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	switch err := decoder.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return json.RawMessage("{}"), nil // nothing but comments: a script that answers nothing
	case err != nil:
		return nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, errors.New("the text holds more than one document")
	}
	w := yamlWriter{}
	if err := w.node(&doc, 0); err != nil {
		return nil, err
	}
	return w.out, nil
}

type yamlWriter struct {
	out   json.RawMessage
	nodes int
}

func (w *yamlWriter) node(n *yaml.Node, depth int) error {
	// An alias may stand for what contains it, or for gigabytes.
	w.nodes++
	switch {
	case depth > maxDepth:
		return fmt.Errorf("line %d: more than %d levels", n.Line, maxDepth)
	case w.nodes > MaxScript || len(w.out) > MaxScript:
		return fmt.Errorf("line %d: with its aliases written out, the script is too large", n.Line)
	}
	switch n.Kind {
	case yaml.DocumentNode:
		return w.node(n.Content[0], depth)
	case yaml.AliasNode:
		return w.node(n.Alias, depth+1)
	case yaml.SequenceNode:
		w.out = append(w.out, '[')
		for i, item := range n.Content {
			if i > 0 {
				w.out = append(w.out, ',')
			}
			if err := w.node(item, depth+1); err != nil {
				return err
			}
		}
		w.out = append(w.out, ']')
		return nil
	case yaml.MappingNode:
		return w.mapping(n, depth)
	default:
		return w.scalar(n)
	}
}

func (w *yamlWriter) mapping(n *yaml.Node, depth int) error {
	w.out = append(w.out, '{')
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		switch {
		case key.ShortTag() == "!!merge":
			return fmt.Errorf("line %d: a script takes no merge key (<<)", key.Line)
		case key.Kind != yaml.ScalarNode:
			return fmt.Errorf("line %d: a key must be a text", key.Line)
		case i > 0:
			w.out = append(w.out, ',')
		}
		w.out = append(append(w.out, rawjson.Quote(key.Value)...), ':')
		if err := w.node(n.Content[i+1], depth+1); err != nil {
			return err
		}
	}
	w.out = append(w.out, '}')
	return nil
}

func (w *yamlWriter) scalar(n *yaml.Node) error {
	switch n.ShortTag() {
	case "!!null":
		w.out = append(w.out, "null"...)
	case "!!bool":
		var b bool
		if err := n.Decode(&b); err != nil {
			return fmt.Errorf("line %d: %q is neither true nor false", n.Line, n.Value)
		}
		w.out = strconv.AppendBool(w.out, b)
	case "!!int", "!!float":
		return w.number(n)
	case "!!str", "!!timestamp":
		w.out = append(w.out, rawjson.Quote(n.Value)...)
	default:
		return fmt.Errorf("line %d: the tag %s has no JSON form", n.Line, n.Tag)
	}
	return nil
}

// number keeps the text of what JSON takes for a number; the rest (0x1f, +1.5,
// .5) is written anew.
func (w *yamlWriter) number(n *yaml.Node) error {
	if json.Valid([]byte(n.Value)) {
		w.out = append(w.out, n.Value...)
		return nil
	}
	if n.ShortTag() == "!!int" {
		whole, ok := new(big.Int).SetString(strings.TrimPrefix(n.Value, "+"), 0)
		if !ok {
			return fmt.Errorf("line %d: %q has no JSON form", n.Line, n.Value)
		}
		w.out = whole.Append(w.out, 10)
		return nil
	}
	var number float64
	if err := n.Decode(&number); err != nil || math.IsInf(number, 0) || math.IsNaN(number) {
		return fmt.Errorf("line %d: %q has no JSON form", n.Line, n.Value)
	}
	w.out = strconv.AppendFloat(w.out, number, 'g', -1, 64)
	return nil
}
