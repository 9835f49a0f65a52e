package examples

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/pocketflowgo/pocketflow/shared/flow"
)

// Group is the part of the README that an example stands in.
type Group string

// The groups, in the order of the README: the graph itself, then the kinds.
const (
	Graph     Group = "graph"
	Executor  Group = Group(flow.KindExecutor)
	Choice    Group = Group(flow.KindChoice)
	Parallel  Group = Group(flow.KindParallel)
	Foreach   Group = Group(flow.KindForeach)
	Subflow   Group = Group(flow.KindSubflow)
	Timer     Group = Group(flow.KindTimer)
	WaitEvent Group = Group(flow.KindWaitEvent)
	Approval  Group = Group(flow.KindApproval)
	Together  Group = "together"
)

// Groups lists every group.
var Groups = []Group{Graph, Executor, Choice, Parallel, Foreach, Subflow, Timer, WaitEvent, Approval, Together}

// Need is something besides a server that an example needs.
type Need string

const (
	Worker  Need = "worker"  // a demo worker that is pushed to
	Puller  Need = "puller"  // a demo worker that pulls
	Scripts Need = "scripts" // a server that allows sh
)

// Needs lists every need.
var Needs = []Need{Worker, Puller, Scripts}

// Example is a flow and what it is expected to come to: a file of
// examples/expected.
type Example struct {
	Name  string   `yaml:"-"` // of the files, and of the flow that is published
	Group Group    `yaml:"group"`
	Shows string   `yaml:"shows"`
	Needs []Need   `yaml:"needs"`
	Flows []string `yaml:"flows"` // other examples that must be published first
	Cases []Case   `yaml:"cases"`
}

// Case is one task of the example's flow.
type Case struct {
	Title  string    `yaml:"title"`
	Params Value     `yaml:"params"`
	Send   []Message `yaml:"send"`

	Status string   `yaml:"status"` // "" is completed
	Shared Value    `yaml:"shared"` // all of it; absent is {}
	Error  *Error   `yaml:"error"`  // of the task
	Runs   []string `yaml:"runs"`   // see RunText
	// AnyOrder says that the runs may begin in another order, which depends on
	// how long each takes.
	AnyOrder bool `yaml:"any_order"`
}

// Message is a signal or a decision that is sent to the task.
type Message struct {
	// At is the path of the node that waits for it; "" sends it as soon as the
	// task is created.
	At       string `yaml:"at"`
	Signal   string `yaml:"signal"` // its key; "" for a decision
	Value    Value  `yaml:"value"`
	Decision Value  `yaml:"decision"` // decides the approval that waits at At
	By       string `yaml:"by"`
	Comment  string `yaml:"comment"`
}

// Error is why a task failed.
type Error struct {
	Node     string `yaml:"node"`
	Code     string `yaml:"code"`
	Message  string `yaml:"message"`
	Attempts int    `yaml:"attempts"`
}

// Dir is an examples directory.
type Dir string

// Load reads what is expected of every example, in the order of their names.
func (d Dir) Load() ([]Example, error) {
	files, err := filepath.Glob(filepath.Join(string(d), "expected", "*.yaml"))
	if err != nil {
		return nil, fmt.Errorf("list the examples: %w", err)
	}
	all := make([]Example, 0, len(files))
	for _, file := range files {
		one, err := load(file)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		all = append(all, one)
	}
	return all, nil
}

func load(file string) (Example, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return Example{}, err
	}
	one := Example{Name: strings.TrimSuffix(filepath.Base(file), ".yaml")}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&one); err != nil {
		return Example{}, err
	}
	return one, one.check()
}

// check finds the slips that would make a case test nothing.
func (e *Example) check() error {
	if !slices.Contains(Groups, e.Group) {
		return fmt.Errorf("unknown group %q", e.Group)
	}
	for _, need := range e.Needs {
		if !slices.Contains(Needs, need) {
			return fmt.Errorf("unknown need %q", need)
		}
	}
	if e.Shows == "" || len(e.Cases) == 0 {
		return fmt.Errorf("it says not what it shows, or has no case")
	}
	for i := range e.Cases {
		c := &e.Cases[i]
		if c.Title == "" || len(c.Runs) == 0 {
			return fmt.Errorf("case %d has no title or no runs", i)
		}
		for _, m := range c.Send {
			if (m.Signal == "") == (m.Decision == nil) || m.Decision != nil && m.At == "" {
				return fmt.Errorf("case %q sends what is neither a signal nor a decision at a node", c.Title)
			}
		}
		if c.Status == "" {
			c.Status = "completed"
		}
		if c.Shared == nil {
			c.Shared = Value("{}")
		}
	}
	return nil
}

// YAML is the example's definition.
func (d Dir) YAML(name string) flow.Source { return d.source(flow.FormatYAML, name+".yaml") }

// JSON is the same in JSON.
func (d Dir) JSON(name string) flow.Source {
	return d.source(flow.FormatJSON, filepath.Join("json", name+".json"))
}

// source has no text when there is no such file, which no definition is.
func (d Dir) source(format flow.Format, path string) flow.Source {
	text, err := os.ReadFile(filepath.Join(string(d), path))
	if err != nil {
		text = nil
	}
	return flow.Source{Format: format, Text: text}
}
