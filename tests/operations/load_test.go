//go:build unix

package operations

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

const (
	commandTimeout = time.Minute
	taskTimeout    = 90 * time.Second
	creators       = 8
)

// errand goes to and fro between the scheduler and the queue, so that at any
// moment of many of them something is on its way in each direction.
const errand = `{"start": "a", "nodes": {
	"a": {"kind": "executor", "exec_type": "queue", "service": "transform", "params": {"op": "upper"}, "prep": {"input_map": {"text": "$params.text"}}, "post": {"output_key": "a"}},
	"b": {"kind": "executor", "service": "transform", "params": {"op": "lower"}, "prep": {"input_map": {"text": "$shared.a"}}, "post": {"output_key": "b"}},
	"c": {"kind": "foreach", "exec_type": "queue", "service": "transform", "params": {"op": "upper"}, "parallel_mode": "concurrent",
		"prep": {"input_key": "$params.items"}, "post": {"output_key": "c"}},
	"d": {"kind": "timer", "delay_ms": 20},
	"e": {"kind": "executor", "exec_type": "queue", "service": "transform", "params": {"op": "upper"}, "prep": {"input_map": {"text": "$shared.b"}}, "post": {"output_key": "e"}}},
	"edges": [{"from": "a", "to": "b"}, {"from": "b", "to": "c"}, {"from": "c", "to": "d"}, {"from": "d", "to": "e"}]}`

const (
	errandParams = `{"text": "Hello", "items": [{"text": "x"}, {"text": "y"}, {"text": "z"}]}`
	errandResult = `{"a": "HELLO", "b": "hello", "c": ["X", "Y", "Z"], "e": "HELLO"}`
	// errandRuns is how many node runs end ok: five nodes, and three items.
	errandRuns = 8
	// sample is how many tasks are looked at run by run.
	sample = 20
)

// startWorkers starts a push and a pull worker of a suite, and returns what they
// write down.
func startWorkers(t *testing.T, url string) []*suitetest.Journal {
	t.Helper()
	pushed, pulled := suitetest.NewJournal(t), suitetest.NewJournal(t)
	suitetest.Serve(t, suitetest.Addr(t), suitetest.Command{
		Program: suitetest.DemoWorker, Args: []string{"--base=" + url, "--journal=" + pushed.Path},
	})
	suitetest.Start(t, suitetest.Command{
		Program: suitetest.DemoWorker,
		Args:    []string{"--base=" + url, "--journal=" + pulled.Path, "--mode=pull", "--slots=16", "--visibility=2s", "--heartbeat=500ms"},
	})
	suitetest.Connect(t, url).AwaitWorker(t, "transform")
	return []*suitetest.Journal{pushed, pulled}
}

// keys are the idempotency keys of all executions so far.
func keys(t *testing.T, journals []*suitetest.Journal) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, journal := range journals {
		for _, execution := range journal.Executions(t) {
			all[execution.IdempotencyKey] = true
		}
	}
	return all
}

// create starts n tasks, several at a time.
func create(ctx context.Context, client *suitetest.Client, version string, n int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(creators)
	for range n {
		group.Go(func() error {
			_, err := client.Tasks.CreateTask(ctx, schedulerapi.CreateTaskRequest{FlowVersionID: version, Params: json.RawMessage(errandParams)})
			return err
		})
	}
	return group.Wait()
}

// count tells how many tasks of the version are in a status; "" for any.
func count(ctx context.Context, client *suitetest.Client, version, status string) (int, error) {
	page, err := client.Tasks.ListTasks(ctx, schedulerapi.TasksQuery{FlowVersionID: version, Status: status, PageSize: 1})
	return page.Total, err
}

// awaitAll waits until every task of the version is completed and returns how
// many there are.
func awaitAll(t *testing.T, client *suitetest.Client, version string) (all int) {
	t.Helper()
	suitetest.Await(t, taskTimeout, func() error {
		var err error
		if all, err = count(t.Context(), client, version, ""); err != nil {
			return err
		}
		completed, err := count(t.Context(), client, version, "completed")
		if err == nil && completed != all {
			err = fmt.Errorf("%d of %d tasks are completed", completed, all)
		}
		return err
	})
	return all
}

// requireRight holds every task of the version to its result, and each node to
// one run that counts.
func requireRight(t *testing.T, client *suitetest.Client, version string) {
	t.Helper()
	query := schedulerapi.TasksQuery{FlowVersionID: version, PageSize: 1000}
	page, err := client.Tasks.ListTasks(t.Context(), query)
	require.NoError(t, err)
	for _, task := range page.Data {
		require.JSONEq(t, errandResult, task.SharedJSON)
	}
	for _, task := range page.Data[:min(len(page.Data), sample)] {
		runs, err := client.Tasks.ListRuns(t.Context(), task.ID)
		require.NoError(t, err)
		ok := 0
		for _, run := range runs {
			if run.Status == "ok" {
				ok++
			}
		}
		require.Equal(t, errandRuns, ok, "task %s", task.ID)
	}
}

// requireKnown holds restored tasks to the keys that they had: their first runs
// were begun with them, and so before the backup. What began after it has new ones.
func requireKnown(t *testing.T, client *suitetest.Client, version string, known map[string]bool) {
	t.Helper()
	page, err := client.Tasks.ListTasks(t.Context(), schedulerapi.TasksQuery{FlowVersionID: version, PageSize: sample})
	require.NoError(t, err)
	for _, task := range page.Data {
		runs, err := client.Tasks.ListRuns(t.Context(), task.ID)
		require.NoError(t, err)
		require.True(t, known[runs[0].ID], "the first run of %s is executed under a new key", task.ID)
	}
}
