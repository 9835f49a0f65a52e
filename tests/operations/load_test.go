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
)

// startWorkers starts a push and a pull worker of a suite.
func startWorkers(t *testing.T, url string) {
	t.Helper()
	suitetest.Serve(t, suitetest.Addr(t), suitetest.Command{
		Program: suitetest.DemoWorker, Args: []string{"--base=" + url},
	})
	suitetest.Start(t, suitetest.Command{
		Program: suitetest.DemoWorker,
		Args:    []string{"--base=" + url, "--mode=pull", "--slots=16", "--visibility=2s", "--heartbeat=500ms"},
	})
	suitetest.Connect(t, url).AwaitWorker(t, "transform")
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
	for _, task := range page.Data[:min(len(page.Data), 20)] {
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
