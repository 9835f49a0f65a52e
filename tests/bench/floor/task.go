package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/pocketflowgo/pocketflow/shared/ids"
)

const (
	running   = "running"
	completed = "completed"
)

// The bytes that one write of the suite has besides ids, status and shared
// state, summed over the columns of the rows that it makes and changes.
const (
	created = 1000
	stepped = 1350
	queued  = 500
)

var filling = bytes.Repeat([]byte("x"), max(created, stepped, queued))

// task is what is in hand of one.
type task struct {
	id, version string
	kind        string // the version's word before "-"
	size        int    // the number behind it
	params      json.RawMessage
	shared      []byte // a JSON object without its closing brace
}

func newTask(version string, params json.RawMessage) *task {
	spec, _, _ := strings.Cut(version, "#")
	kind, size, _ := strings.Cut(spec, "-")
	n, _ := strconv.Atoi(size) // 0 for a kind without one
	return &task{id: ids.New(ids.Task), version: version, kind: kind, size: n, params: params, shared: []byte{'{'}}
}

// begin is the status after the first commit.
func (t *task) begin() string {
	if t.kind == "wait" {
		return "waiting"
	}
	return running
}

func (t *task) row(status string, bytes int) row {
	shared := make([]byte, len(t.shared)+1)
	shared[copy(shared, t.shared)] = '}'
	return row{id: t.id, version: t.version, status: status, shared: string(shared), record: filling[:bytes]}
}

// keep puts a step's result into the shared state under the step's name.
func (t *task) keep(step int, result []byte) {
	if len(t.shared) > 1 {
		t.shared = append(t.shared, ',')
	}
	t.shared = append(append(t.shared, '"', 's'), strconv.Itoa(step)...)
	t.shared = append(append(t.shared, '"', ':'), result...)
}

// number is the task's param of that name, from which its first step starts.
func (t *task) number() ([]byte, error) {
	var params struct{ N json.RawMessage }
	err := json.Unmarshal(t.params, &params)
	return params.N, err
}

// inTurn carries out the steps, each with the result of the one before.
func (s *server) inTurn(t *task) {
	input, err := t.number()
	if err != nil {
		fatal(fmt.Errorf("params of %s: %w", t.id, err))
	}
	for step := 1; step <= t.size; step++ {
		if input, err = s.worker.call(call{task: t, node: "s" + strconv.Itoa(step), input: input}); err != nil {
			fatal(err)
		}
		t.keep(step, input)
		status := running
		if step == t.size {
			status = completed
		}
		if err := s.store.commit(t.row(status, stepped)); err != nil {
			fatal(err)
		}
	}
	s.counted(t.version, count{completed: 1})
}

// atOnceLimit is how many branches of a task the suite executes at once.
const atOnceLimit = 100

// atOnce carries out the branches of a task, each with a commit of its own.
func (s *server) atOnce(t *task) {
	places := make(chan struct{}, atOnceLimit)
	var branches sync.WaitGroup
	for i := range t.size {
		places <- struct{}{}
		branches.Go(func() {
			defer func() { <-places }()
			node := strconv.Itoa(i)
			_, err := s.worker.call(call{task: t, node: node, input: []byte(node)})
			if err == nil {
				err = s.store.commit(row{id: t.id + "/" + node, version: t.version, status: completed, record: filling[:stepped]})
			}
			if err != nil {
				fatal(err)
			}
		})
	}
	branches.Wait()
	if err := s.store.commit(t.row(completed, stepped)); err != nil {
		fatal(err)
	}
	s.counted(t.version, count{completed: 1})
}
