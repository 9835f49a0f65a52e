// Package enginetest draws tasks at random: definitions, what they are started
// with, and what comes to them from outside. It is for the tests of the engine
// and of what executes with it, and imports neither, so that both can use it.
package enginetest

import (
	"encoding/json"
	"time"

	"pgregory.net/rapid"
)

// Options fit what is drawn to the test.
type Options struct {
	// Names is what the names of flows begin with, so that tasks which share a
	// catalog do not share flows.
	Names string
	// VisitsPerStep is what fits into one step of the engine: some tasks go on
	// for longer, and some have more items.
	VisitsPerStep int
	// Now is about when the task starts.
	Now time.Time
	// Second is how long a second of the flow takes. On a real clock a flow that
	// is made to last for minutes ends in time if it is short.
	Second time.Duration
}

// Task is what a task is made of. All definitions are valid.
type Task struct {
	Definition string            // of the flow that it executes
	Named      map[string]string // definitions that subflows refer to, by name
	Params     json.RawMessage
}

// DrawTask draws a task's flow, and those that it names.
func DrawTask(t *rapid.T, options Options) Task {
	a := newAuthor(t, options)
	task := Task{Definition: a.definition(), Params: a.params(), Named: map[string]string{}}
	names := a.names()
	for _, name := range names[:len(names)-1] {
		task.Named[name] = a.definition()
	}
	return task
}

// names are the flows that subflows refer to. The last one is never found.
func (a *author) names() []string {
	return []string{a.Names + "f0", a.Names + "f1", a.Names + "f2", a.Names + Gone}
}

// Gone ends the name of a flow that is not there.
const Gone = "gone"
