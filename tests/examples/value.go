package examples

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
)

// Value is a JSON text that was written as YAML. Numbers keep their digits and
// objects their order.
type Value json.RawMessage

// UnmarshalYAML writes the node as JSON.
func (v *Value) UnmarshalYAML(node *yaml.Node) error {
	var out strings.Builder
	if err := writeJSON(&out, node); err != nil {
		return err
	}
	*v = Value(out.String())
	return nil
}

func writeJSON(out *strings.Builder, node *yaml.Node) error {
	switch node.Kind {
	case yaml.MappingNode:
		out.WriteByte('{')
		for i := 0; i < len(node.Content); i += 2 {
			if i > 0 {
				out.WriteString(", ")
			}
			writeText(out, node.Content[i].Value)
			out.WriteString(": ")
			if err := writeJSON(out, node.Content[i+1]); err != nil {
				return err
			}
		}
		out.WriteByte('}')
	case yaml.SequenceNode:
		out.WriteByte('[')
		for i, item := range node.Content {
			if i > 0 {
				out.WriteString(", ")
			}
			if err := writeJSON(out, item); err != nil {
				return err
			}
		}
		out.WriteByte(']')
	case yaml.ScalarNode:
		switch node.ShortTag() {
		case "!!int", "!!float", "!!bool", "!!null":
			if !json.Valid([]byte(node.Value)) {
				return fmt.Errorf("line %d: %s is not as JSON writes it", node.Line, node.Value)
			}
			out.WriteString(node.Value)
		default:
			writeText(out, node.Value)
		}
	case yaml.DocumentNode, yaml.AliasNode:
		return fmt.Errorf("line %d: an alias, which has no place here", node.Line)
	}
	return nil
}

func writeText(out *strings.Builder, text string) {
	out.Write(rawjson.Quote(text))
}

// Canonical is the value with sorted keys and numbers in lowest terms: two
// texts of one value are the same.
func Canonical(text []byte) (string, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return "", fmt.Errorf("%s is not JSON: %w", text, err)
	}
	indented, err := json.MarshalIndent(exact(value), "", "  ")
	return string(indented), err
}

// exact writes numbers as what they are, since a float64 holds not all of them.
func exact(value any) any {
	switch v := value.(type) {
	case json.Number:
		if r, ok := new(big.Rat).SetString(v.String()); ok {
			return map[string]any{"number": r.RatString()}
		}
	case []any:
		for i := range v {
			v[i] = exact(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = exact(v[key])
		}
	}
	return value
}
