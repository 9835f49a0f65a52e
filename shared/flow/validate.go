package flow

import (
	"slices"
	"strings"

	"github.com/pocketflowgo/pocketflow/shared/errs"
)

// Limits bound a definition.
type Limits struct {
	MaxBytes   int // of the text, and of the JSON that YAML becomes
	MaxNodes   int // embedded subflows included
	MaxNesting int // subflows inside subflows
}

// DefaultLimits are the limits unless the operator sets others.
func DefaultLimits() Limits {
	return Limits{MaxBytes: 1 << 20, MaxNodes: 2000, MaxNesting: 16}
}

// Report is everything found in a definition. Errors refuse it, warnings do
// not.
type Report struct {
	Errors   []errs.Fault
	Warnings []errs.Fault
}

// Err is an *errs.Error with every error of the report; nil when there is
// none.
func (r Report) Err() error { return errs.Invalid(errs.InvalidFlow, r.Errors) }

// Format is how the text of a definition is written.
type Format string

const (
	FormatJSON Format = "json"
	FormatYAML Format = "yaml"
)

// Formats lists every format.
var Formats = []Format{FormatJSON, FormatYAML}

// Source is the text of a definition.
type Source struct {
	Format Format // "" is json
	Text   []byte
}

// Check parses and validates in one go and reports the faults of both. The
// definition is nil when the text is too large, malformed or nests too deeply.
func Check(src Source, limits Limits) (*Definition, Report) {
	if limit := limits.MaxBytes; len(src.Text) > limit {
		var faults faultList
		faults.add("", CodeTooLarge, "the definition has %d bytes, more than %d", len(src.Text), limit)
		return nil, Report{Errors: faults.faults}
	}
	parse := Parse
	if src.Format == FormatYAML {
		parse = ParseYAML
	}
	def, parsed := parse(src.Text)
	if def == nil {
		return nil, Report{Errors: parsed}
	}
	report := Validate(def, limits)
	report.Errors = joinFaults(parsed, report.Errors)
	return def, report
}

// joinFaults leaves out what only follows from a value of the wrong type: that
// it then seems to be missing is no second fault.
func joinFaults(parsed, validated []errs.Fault) []errs.Fault {
	var joined faultList
	var unread []string
	for _, f := range parsed {
		joined.append(f)
		if f.Code == CodeWrongType || f.Code == CodeOutOfRange {
			unread = append(unread, f.Path)
		}
	}
	for _, f := range validated {
		if !slices.ContainsFunc(unread, func(path string) bool { return isUnder(f.Path, path) }) {
			joined.append(f)
		}
	}
	return joined.faults
}

func isUnder(path, base string) bool {
	rest, ok := strings.CutPrefix(path, base)
	return ok && (rest == "" || base == "" || rest[0] == '.' || rest[0] == '[')
}

// Validate finds every fault that a definition has once it is read, and what
// deserves a warning. A definition without errors compiles.
func Validate(def *Definition, limits Limits) Report {
	var c compiler
	c.definition(def, "")
	c.limits(def, limits)

	return Report{Errors: c.faults.faults, Warnings: lint(def)}
}

func (c *compiler) limits(def *Definition, limits Limits) {
	size := measure(def)
	if size.nodes > limits.MaxNodes {
		c.faults.add("nodes", CodeTooManyNodes, "the definition has %d nodes, more than %d", size.nodes, limits.MaxNodes)
	}
	if size.nesting > limits.MaxNesting {
		c.faults.add("nodes", CodeTooDeep, "subflows are nested %d deep, more than %d", size.nesting, limits.MaxNesting)
	}
}

type size struct {
	nodes   int
	nesting int
}

func measure(def *Definition) size {
	total := size{nodes: len(def.Nodes)}
	for _, n := range def.Nodes {
		if n.Subflow != nil {
			sub := measure(n.Subflow)
			total.nodes += sub.nodes
			total.nesting = max(total.nesting, sub.nesting+1)
		}
	}
	return total
}
