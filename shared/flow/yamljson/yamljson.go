// Package yamljson writes YAML as JSON text, so that one reader serves both.
// Numbers keep their text where JSON can write it; times and everything else
// that JSON has no type for stay the text they are. Aliases and merge keys are
// written out, within bounds.
package yamljson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
)

const (
	// maxExpanded bounds the JSON that a YAML text becomes. Anchors and aliases
	// can make a few lines stand for gigabytes.
	maxExpanded = 4 << 20
	// maxDepth bounds how deep arrays and objects nest.
	maxDepth = 256
)

// Why a text is not converted, besides that it is no YAML.
var (
	ErrEmpty    = errors.New("the text is empty")
	ErrTooLarge = errors.New("the text with its aliases written out is too large")
	ErrTooDeep  = errors.New("too many levels, or an alias that contains itself")
)

// Convert gives the JSON text of one YAML document. A key that is repeated is
// there as often as it was. Errors name the line.
func Convert(data []byte) (json.RawMessage, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("the text is not UTF-8")
	}
	var doc, more yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, ErrEmpty
	case err != nil:
		return nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, errors.New("the text holds more than one document")
	}
	var w writer
	if err := w.node(&doc, 0); err != nil {
		return nil, err
	}
	return w.out, nil
}

// writer writes YAML nodes as JSON.
type writer struct {
	out   json.RawMessage
	steps int
}

// step bounds the walk. The output's size alone does not: merging empty
// mappings doubles the work at each level and writes nothing.
func (w *writer) step(depth int) error {
	w.steps++
	switch {
	case len(w.out) > maxExpanded || w.steps > maxExpanded:
		return ErrTooLarge
	case depth > maxDepth:
		return ErrTooDeep
	default:
		return nil
	}
}

func (w *writer) node(n *yaml.Node, depth int) error {
	if err := w.step(depth); err != nil {
		return err
	}
	switch n.Kind {
	case yaml.DocumentNode:
		return w.node(n.Content[0], depth)
	case yaml.AliasNode:
		return w.node(n.Alias, depth+1)
	case yaml.MappingNode:
		return w.mapping(n, depth)
	case yaml.SequenceNode:
		return w.sequence(n, depth)
	case yaml.ScalarNode:
		return w.scalar(n)
	default:
		return fmt.Errorf("line %d: not a value", n.Line)
	}
}

func (w *writer) sequence(n *yaml.Node, depth int) error {
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
}

// mapping writes a repeated key as often as it is there: who reads the JSON reports it. A
// merged key ("<<") gives way to the mapping's own.
func (w *writer) mapping(n *yaml.Node, depth int) error {
	pairs, err := w.mergedPairs(n, depth)
	if err != nil {
		return err
	}
	w.out = append(w.out, '{')
	for i, p := range pairs {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		w.out = append(w.out, rawjson.Quote(p.key)...)
		w.out = append(w.out, ':')
		if err := w.node(p.value, depth+1); err != nil {
			return err
		}
	}
	w.out = append(w.out, '}')
	return nil
}

type pair struct {
	key   string
	value *yaml.Node
}

func (w *writer) mergedPairs(n *yaml.Node, depth int) ([]pair, error) {
	if err := w.step(depth); err != nil {
		return nil, err
	}
	var pairs []pair
	var merged []*yaml.Node
	own := make(map[string]bool)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := resolveAlias(n.Content[i])
		switch {
		case key.ShortTag() == "!!merge":
			merged = append(merged, n.Content[i+1])
		case key.Kind != yaml.ScalarNode:
			return nil, fmt.Errorf("line %d: a key must be a text", key.Line)
		default:
			w.steps++
			pairs = append(pairs, pair{key.Value, n.Content[i+1]})
			own[key.Value] = true
		}
	}
	for _, m := range merged {
		from, err := w.mergeSources(m, depth)
		if err != nil {
			return nil, err
		}
		for _, p := range from {
			if !own[p.key] {
				own[p.key] = true
				pairs = append(pairs, p)
			}
		}
	}
	return pairs, nil
}

// mergeSources are the pairs of what stands under "<<": a mapping, or a
// sequence of mappings of which the first wins.
func (w *writer) mergeSources(n *yaml.Node, depth int) ([]pair, error) {
	n = resolveAlias(n)
	switch n.Kind {
	case yaml.MappingNode:
		return w.mergedPairs(n, depth+1)
	case yaml.SequenceNode:
		var pairs []pair
		for _, item := range n.Content {
			if item = resolveAlias(item); item.Kind != yaml.MappingNode {
				return nil, fmt.Errorf("line %d: \"<<\" merges mappings only", item.Line)
			}
			more, err := w.mergedPairs(item, depth+1)
			if err != nil {
				return nil, err
			}
			pairs = append(pairs, more...)
		}
		return pairs, nil
	default:
		return nil, fmt.Errorf("line %d: \"<<\" merges mappings only", n.Line)
	}
}

func resolveAlias(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func (w *writer) scalar(n *yaml.Node) error {
	switch n.ShortTag() {
	case "!!null":
		w.out = append(w.out, "null"...)
	case "!!bool":
		var b bool
		if err := n.Decode(&b); err != nil {
			return err
		}
		w.out = strconv.AppendBool(w.out, b)
	case "!!int", "!!float":
		text, err := number(n)
		if err != nil {
			return err
		}
		w.out = append(w.out, text...)
	case "!!str", "!!timestamp", "!!merge":
		w.out = append(w.out, rawjson.Quote(n.Value)...)
	default:
		return fmt.Errorf("line %d: the tag %s has no JSON form", n.Line, n.Tag)
	}
	return nil
}

// number keeps the text of a number that is JSON already. The rest is
// exact for whole numbers (0x1f, 1_000) and a rewrite of the same digits for
// the others (+1.5, .5, 1.).
func number(n *yaml.Node) (string, error) {
	if isJSONNumber(n.Value) {
		return n.Value, nil
	}
	text := strings.ReplaceAll(n.Value, "_", "")
	if n.ShortTag() == "!!int" {
		whole, ok := new(big.Int).SetString(strings.TrimPrefix(text, "+"), 0)
		if !ok {
			return "", fmt.Errorf("line %d: %q is not a number", n.Line, n.Value)
		}
		return whole.String(), nil
	}
	sign := ""
	if rest, ok := strings.CutPrefix(text, "-"); ok {
		sign, text = "-", rest
	}
	text = strings.TrimPrefix(text, "+")
	mantissa, exponent, hasExponent := strings.Cut(strings.ToLower(text), "e")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	text = sign + leadingDigit(strings.TrimLeft(whole, "0"))
	if fraction != "" {
		text += "." + fraction
	}
	if hasExponent {
		text += "e" + exponent
	}
	if !isJSONNumber(text) {
		return "", fmt.Errorf("line %d: %q has no JSON form", n.Line, n.Value)
	}
	return text, nil
}

func leadingDigit(digits string) string {
	if digits == "" {
		return "0"
	}
	return digits
}

func isJSONNumber(text string) bool {
	return text != "" && (text[0] == '-' || text[0] >= '0' && text[0] <= '9') && json.Valid([]byte(text))
}
