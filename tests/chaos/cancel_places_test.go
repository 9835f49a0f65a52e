//go:build unix

package chaos

import (
	"fmt"
	"path/filepath"
	"strconv"
)

// place is where a task can stand still, until it is canceled there.
type place struct {
	name       string
	definition string
	// What tells that the task is there.
	status string
	open   []string // runs that have not ended, each "PATH STATUS", sorted
	calls  int      // executions that the worker has under way
	script string   // file that a script of the task has written its process id to
	claim  string   // service of a job that is claimed then
}

func (p place) String() string {
	return fmt.Sprintf("%s with runs %v and %d calls", p.status, p.open, p.calls)
}

// simplePlaces are the states in which time passes of every kind that has no
// nodes inside. Files are made in dir.
func simplePlaces(dir string) []place {
	script := filepath.Join(dir, "script")
	return []place{
		{
			name: "HTTP/Executing", status: "running", open: []string{"only running"}, calls: 1,
			definition: oneStep("deaf", ""),
		}, {
			name: "HTTP/BeforeAFirstWorker", status: "running", open: []string{"only running"},
			definition: oneStep("nobody", ""),
		}, {
			name: "HTTP/BehindOthers", status: "running", open: []string{"second running"}, calls: 1,
			definition: `{"start": "first", "edges": [{"from": "first", "to": "second"}], "nodes": {
				"first": {"kind": "executor", "exec_type": "local_func", "func": "upper", "params": {"text": "x"}, "post": {"output_key": "x"}},
				"second": {"kind": "executor", "service": "deaf"}}}`,
		}, {
			name: "Queue/Ready", status: "waiting_queue", open: []string{"only queued"},
			definition: oneStep("ready", `, "exec_type": "queue"`),
		}, {
			name: "Queue/Claimed", status: "waiting_queue", open: []string{"only queued"}, claim: "claimed",
			definition: oneStep("claimed", `, "exec_type": "queue"`),
		}, {
			name: "Script/Executing", status: "running", open: []string{"only running"}, script: script,
			definition: `{"start": "only", "nodes": {"only": {"kind": "executor", "exec_type": "local_script", "timeout_ms": 600000, "script": {
				"language": "sh", "code": "echo $$ > \"$1\"; exec sleep 600", "args": [` + strconv.Quote(script) + `]}}}}`,
		}, {
			name: "RetryDelay", status: "waiting",
			definition: `{"start": "only", "nodes": {"only": {
				"kind": "executor", "exec_type": "local_func", "func": "mul", "max_retries": 1, "wait_ms": 86400000}}}`,
		}, {
			name: "Timer", status: "waiting", open: []string{"only running"},
			definition: `{"start": "only", "nodes": {"only": {"kind": "timer", "delay_ms": 86400000}}}`,
		}, {
			name: "WaitEvent", status: "waiting", open: []string{"only running"},
			definition: `{"start": "only", "nodes": {"only": {"kind": "wait_event", "signal_key": "go"}}}`,
		}, {
			name: "WaitEvent/WithTimeout", status: "waiting", open: []string{"only running"},
			definition: `{"start": "only", "nodes": {"only": {"kind": "wait_event", "signal_key": "go", "timeout_ms": 86400000}}}`,
		}, {
			name: "Approval", status: "waiting", open: []string{"only running"},
			definition: `{"start": "only", "nodes": {"only": {"kind": "approval", "approval_key": "go"}}}`,
		},
	}
}

// published is a flow that subflows name.
const published = "published"

// compositePlaces are those of the kinds that consist of others.
func compositePlaces() []place {
	return []place{
		{
			name: "Parallel/BranchesOfEveryKind", status: "running", calls: 2, claim: "branch",
			open: []string{"only running", "only/0 running", "only/1 running", "only/2 queued"},
			definition: `{"start": "only", "nodes": {"only": {"kind": "parallel", "parallel_mode": "concurrent", "parallel_execs": [
				{"service": "deaf"}, {"service": "deaf"}, {"exec_type": "queue", "service": "branch"},
				{"exec_type": "local_func", "func": "mul", "max_retries": 1, "wait_ms": 86400000},
				{"exec_type": "local_func", "func": "upper", "params": {"text": "x"}}]}}}`,
		}, {
			name: "Parallel/MoreThanItsWindow", status: "running", calls: 2,
			open: []string{"only running", "only/0 running", "only/1 running"},
			definition: `{"start": "only", "nodes": {"only": {"kind": "parallel", "parallel_mode": "concurrent", "max_parallel": 2,
				"parallel_services": ["deaf", "deaf", "deaf", "deaf"]}}}`,
		}, {
			name: "Parallel/Sequential", status: "running", calls: 1,
			open: []string{"only running", "only/1 running"},
			definition: `{"start": "only", "nodes": {"only": {"kind": "parallel", "parallel_execs": [
				{"exec_type": "local_func", "func": "upper", "params": {"text": "x"}}, {"service": "deaf"}, {"service": "deaf"}]}}}`,
		}, {
			name: "Parallel/AllQueued", status: "waiting_queue", claim: "right",
			open: []string{"only running", "only/0 queued", "only/1 queued"},
			definition: `{"start": "only", "nodes": {"only": {"kind": "parallel", "parallel_mode": "concurrent", "exec_type": "queue",
				"parallel_services": ["left", "right"]}}}`,
		}, {
			name: "Foreach/InTheMiddle", status: "running", calls: 3,
			open: []string{"only running", "only/2 running", "only/3 running", "only/4 running"},
			definition: `{"start": "only", "nodes": {"only": {"kind": "foreach", "parallel_mode": "concurrent", "max_parallel": 3,
				"params": {"items": [0, 1, 2, 3, 4, 5, 6]}, "prep": {"input_key": "$params.items"}, "service": "deaf", "foreach_execs": [
				{"index": 0, "exec_type": "local_func", "func": "echo"}, {"index": 1, "exec_type": "local_func", "func": "echo"}]}}}`,
		}, {
			name: "Foreach/RetryDelays", status: "waiting", open: []string{"only running"},
			definition: `{"start": "only", "nodes": {"only": {"kind": "foreach", "parallel_mode": "concurrent",
				"params": {"items": ["a", "b"]}, "prep": {"input_key": "$params.items"},
				"exec_type": "local_func", "func": "mul", "max_retries": 1, "wait_ms": 86400000}}}`,
		}, {
			name: "Subflow/AtAnInnerNode", status: "running", calls: 1,
			open: []string{"only running", "only/b running"},
			definition: `{"start": "only", "nodes": {"only": {"kind": "subflow", "subflow": {"start": "a", "edges": [{"from": "a", "to": "b"}], "nodes": {
				"a": {"kind": "executor", "exec_type": "local_func", "func": "upper", "params": {"text": "x"}},
				"b": {"kind": "executor", "service": "deaf"}}}}}}`,
		}, {
			name: "Subflow/Published", status: "running", calls: 1,
			open:       []string{"only running", "only/only running"},
			definition: `{"start": "only", "nodes": {"only": {"kind": "subflow", "flow": {"name": "` + published + `"}}}}`,
		}, {
			name: "Subflow/Waiting", status: "waiting",
			open: []string{"only running", "only/w running"},
			definition: `{"start": "only", "nodes": {"only": {"kind": "subflow", "subflow": {"start": "w", "nodes": {
				"w": {"kind": "wait_event", "signal_key": "go"}}}}}}`,
		}, {
			name: "Subflow/BetweenAttempts", status: "waiting",
			definition: `{"start": "only", "nodes": {"only": {"kind": "subflow", "max_retries": 1, "wait_ms": 86400000, "subflow": {"start": "a", "nodes": {
				"a": {"kind": "executor", "exec_type": "local_func", "func": "mul"}}}}}}`,
		}, {
			name: "Subflow/NestedAroundAForeach", status: "running", calls: 2,
			open: []string{"only running", "only/in running", "only/in/each running", "only/in/each/0 running", "only/in/each/1 running"},
			definition: `{"start": "only", "nodes": {"only": {"kind": "subflow", "subflow": {"start": "in", "nodes": {
				"in": {"kind": "subflow", "subflow": {"start": "each", "nodes": {
				"each": {"kind": "foreach", "parallel_mode": "concurrent", "max_parallel": 2, "service": "deaf",
				"params": {"items": [0, 1, 2]}, "prep": {"input_key": "$params.items"}}}}}}}}}}`,
		},
	}
}
