package examples

import (
	"fmt"
	"slices"
	"strings"
)

// Marker is the line of the README behind which Readme stands.
const Marker = "<!-- From here on made of expected/*.yaml: go test ./tests/repo -run Examples -update -->\n"

// titles head the groups in the README.
var titles = map[Group]string{
	Graph: "The graph", Together: "All together",
}

// needed says what a reader has to start for an example.
var needed = map[Need]string{
	Worker: "a worker", Puller: "a worker that pulls", Scripts: "a server that allows `sh`",
}

// Readme shows all examples: a table, then each with its commands and results.
func Readme(all []Example) string {
	var out strings.Builder
	out.WriteString("\n| | flow | shows | needs |\n| --- | --- | --- | --- |\n")
	for _, group := range Groups {
		title := group.title()
		for _, e := range of(all, group) {
			fmt.Fprintf(&out, "| %s | [%s](#%s) | %s | %s |\n", title, e.Name, e.Name, e.Shows, strings.Join(e.needs(), ", "))
			title = ""
		}
	}
	for _, group := range Groups {
		fmt.Fprintf(&out, "\n## %s\n", group.title())
		for _, e := range of(all, group) {
			e.write(&out)
		}
	}
	return out.String()
}

func (g Group) title() string {
	if title := titles[g]; title != "" {
		return title
	}
	return string(g) + " nodes" // the example of that name has the bare anchor
}

func of(all []Example, group Group) []Example {
	return slices.DeleteFunc(slices.Clone(all), func(e Example) bool { return e.Group != group })
}

func (e *Example) needs() []string {
	var out []string
	for _, need := range e.Needs {
		out = append(out, needed[need])
	}
	for _, other := range e.Flows {
		out = append(out, "the flow `"+other+"`")
	}
	return out
}

func (e *Example) write(out *strings.Builder) {
	fmt.Fprintf(out, "\n### %s\n\n%s: [YAML](%s.yaml), [JSON](json/%s.json).", e.Name, upperFirst(e.Shows), e.Name, e.Name)
	if needs := e.needs(); len(needs) > 0 {
		fmt.Fprintf(out, " Needs %s.", strings.Join(needs, ", "))
	}
	out.WriteString("\n")
	for i := range e.Cases {
		c := &e.Cases[i]
		fmt.Fprintf(out, "\n%s:\n\n```sh\n%s```\n\n%s\n", upperFirst(c.Title), c.commands(e.Name), c.result())
	}
}

func upperFirst(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

// commands are those of a shell that start the task and send it what it waits
// for.
func (c *Case) commands(flow string) string {
	params := ""
	if c.Params != nil {
		params = " --params " + quote(c.Params)
	}
	if len(c.Send) == 0 {
		return fmt.Sprintf("pocketflow task start %s --wait%s\n", flow, params)
	}
	var out strings.Builder
	fmt.Fprintf(&out, "id=$(pocketflow task start %s -o json%s | sed -n 's/.*\"id\": \"\\(.*\\)\".*/\\1/p')\n", flow, params)
	for _, m := range c.Send {
		if m.At != "" {
			fmt.Fprintf(&out, "# when it waits at %s:\n", m.At)
		}
		if m.Decision == nil {
			fmt.Fprintf(&out, "pocketflow task signal \"$id\" %s %s\n", m.Signal, quote(m.Value))
			continue
		}
		fmt.Fprintf(&out, "pocketflow approval decide \"$id\" %s", decision(m.Decision))
		if m.By != "" {
			fmt.Fprintf(&out, " --by %s", m.By)
		}
		if m.Comment != "" {
			fmt.Fprintf(&out, " --comment %s", quote(Value(m.Comment)))
		}
		out.WriteString("\n")
	}
	out.WriteString("pocketflow task watch \"$id\"\n")
	return out.String()
}

// decision is how the command takes it: an action stands without quotes.
func decision(v Value) string { return strings.Trim(string(v), `"`) }

func quote(v Value) string { return "'" + strings.ReplaceAll(string(v), "'", `'\''`) + "'" }

// result is what the case comes to, as text.
func (c *Case) result() string {
	var out strings.Builder
	fmt.Fprintf(&out, "ends `%s`", c.Status)
	if c.Error != nil {
		fmt.Fprintf(&out, " with the code `%s` at `%s`", c.Error.Code, c.Error.Node)
	}
	fmt.Fprintf(&out, ", shared state `%s`", c.Shared)
	runs := make([]string, len(c.Runs))
	for i, run := range c.Runs {
		runs[i] = "`" + run + "`"
	}
	fmt.Fprintf(&out, ", runs %s", strings.Join(runs, ", "))
	if c.AnyOrder {
		out.WriteString(" in this or another order")
	}
	return out.String() + "."
}
