//go:build linux

package bench

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
)

const (
	foreachOf  setup = ", foreach"
	parallelOf setup = ", parallel"
	// growth is what a branch of the largest task costs, to one of the smallest.
	// A cost that grows with the number is a fault; that the begin and the end of
	// a task are shared by more branches is none.
	growth setup = ", most to fewest"
)

// branchCounts are those of the tasks that are measured, the smallest first.
var branchCounts = []int{100, 1000, 10_000}

// endEvery is how often the server is asked whether a task with branches is
// completed, once the worker has carried out all of them.
const endEvery = time.Millisecond

// fan is a task with branches.
type fan struct {
	n     int
	load  workload
	items json.RawMessage // that a signal brings; nil for none
}

// foreach gets its items by a signal: the task's params would be sent with each
// item.
func foreach(n int) fan {
	items := []byte{'['}
	for i := range n {
		items = fmt.Appendf(items, "%d,", i)
	}
	items[len(items)-1] = ']'
	return fan{n: n, items: items, load: workload{floor: fmt.Sprintf("fan-%d", n), effects: n, end: "completed", definition: `{
	  "start": "wait",
	  "nodes": {
	    "wait": {"kind": "wait_event", "signal_key": "items"},
	    "each": {"kind": "foreach", "service": "bench", "parallel_mode": "concurrent", "prep": {"input_key": "items"}, "post": {"output_key": "done"}}
	  },
	  "edges": [{"from": "wait", "to": "each"}]
	}`}}
}

func parallel(n int) fan {
	execs := strings.TrimSuffix(strings.Repeat("{},", n), ",")
	return fan{n: n, load: workload{floor: fmt.Sprintf("fan-%d", n), effects: n, end: "completed", definition: `{
	  "start": "all",
	  "nodes": {"all": {"kind": "parallel", "service": "bench", "parallel_mode": "concurrent", "parallel_execs": [` + execs + `],
	            "prep": {"input_key": "$params.n"}, "post": {"output_key": "done"}}}
	}`}}
}

// branches is W5.
func branches(b *testing.B, r *report) {
	systems := start(b, floorSQLite, allInOne)
	for _, f := range []struct {
		kind setup
		with func(n int) fan
	}{{foreachOf, foreach}, {parallelOf, parallel}} {
		for _, s := range systems {
			s.fanOut(b, f.with(branchCounts[0]), warmUp)
		}
		costs := map[*system][]float64{} // of a branch in a round, by branchCounts
		for round := range *rounds {
			clear(costs)
			for _, n := range branchCounts {
				for _, s := range systems {
					wait := func() {}
					if *profiles != "" && round == 0 {
						wait = s.profile(b, fmt.Sprintf("%s of %d", f.kind, n), span(time.Second))
					}
					got := s.fanOut(b, f.with(n), span(time.Second))
					wait()
					cost := float64(got.took.Microseconds()) / float64(got.tasks)
					costs[s] = append(costs[s], cost)
					of := setup(fmt.Sprintf("%s of %d", f.kind, n))
					r.add(figure{
						setup: s.setup + of, against: floorSQLite + of, unit: usPerBranch,
						round: round, value: cost, tasks: got.tasks, usage: got.usage,
					})
				}
			}
			for _, s := range systems {
				r.add(figure{
					setup: s.setup + f.kind + growth, against: floorSQLite + f.kind + growth, unit: times, round: round,
					value: costs[s][len(branchCounts)-1] / costs[s][0],
				})
			}
		}
	}
}

// fanOut runs tasks with branches, one after the other, for a time, at least
// one. The sample counts branches.
func (s *system) fanOut(b *testing.B, f fan, d time.Duration) (all sample) {
	b.Helper()
	version := s.version(b, f.load)
	s.forgetPeak(b)
	before := s.usage(b)
	for ended := 0; all.took < d; {
		task := made{n: int64(ended)}
		begin := time.Now()
		var err error
		task.id, err = s.client.Tasks.CreateTask(b.Context(), schedulerapi.CreateTaskRequest{
			FlowVersionID: version, Params: fmt.Appendf(nil, `{"n":%d}`, task.n),
		})
		require.NoError(b, err)
		if f.items != nil && !s.isFloor() {
			begin = time.Now()
			require.NoError(b, s.client.Tasks.Signal(b.Context(), schedulerapi.SignalRequest{TaskID: task.id, Key: "items", Value: f.items}))
		}
		select {
		case <-s.account.await(task.id, f.n):
		case <-time.After(patience):
			require.FailNow(b, "branches are missing")
		}
		ended++
		s.awaitCountEvery(b, endEvery, counted{version: version, status: f.load.end, want: ended})
		all.took += time.Since(begin)
		all.tasks += f.n
		require.NoError(b, s.account.settle(task.id))
		s.checkFan(b, f, task)
	}
	all.usage = s.usage(b).since(before)
	return all
}

// checkFan holds the results of a task's branches to what they are to be.
func (s *system) checkFan(b *testing.B, f fan, task made) {
	b.Helper()
	got, err := s.client.Tasks.GetTask(b.Context(), task.id)
	require.NoError(b, err)
	require.Equal(b, f.load.end, got.Status)
	if s.isFloor() {
		return // it keeps no result of a branch in the task
	}
	var shared struct {
		Done []int64 `json:"done"`
	}
	require.NoError(b, json.Unmarshal([]byte(got.SharedJSON), &shared))
	require.Len(b, shared.Done, f.n)
	for i, result := range shared.Done {
		input := task.n
		if f.items != nil {
			input = int64(i)
		}
		require.Equal(b, input+1, result, "branch %d of task %s", i, task.id)
	}
}
