//go:build unix

package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/tests/pgtest"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

func TestMain(m *testing.M) {
	// A database that forgets what it has committed is another one to measure.
	if err := os.Setenv(pgtest.DurableVariable, "1"); err != nil {
		panic(err)
	}
	os.Exit(suitetest.Main(m))
}

const (
	creators = 16 // at once
	// patience bounds everything that is waited for.
	patience = 2 * time.Minute
)

// fast is the shortest flow that executes something.
const fast = `{"start": "only", "nodes": {"only": {"kind": "executor", "exec_type": "local_func", "func": "upper", "params": {"text": "x"}}}}`

// onEach runs a benchmark against a server whose tasks are on each database.
func onEach(b *testing.B, run func(b *testing.B, client *suitetest.Client, url string)) {
	for _, db := range []struct {
		name string
		args func(b *testing.B) []string
	}{
		{"SQLite", func(*testing.B) []string { return nil }},
		{"Postgres", func(b *testing.B) []string { return []string{"--scheduler-db=" + pgtest.Migrated(b, "scheduler")} }},
	} {
		b.Run(db.name, func(b *testing.B) {
			server := suitetest.Serve(b, suitetest.Addr(b), suitetest.Command{
				Program: suitetest.PocketFlow, Args: append([]string{"serve", "--data=" + b.TempDir()}, db.args(b)...),
			})
			run(b, suitetest.Connect(b, server.URL), server.URL)
		})
	}
}

// create starts n tasks, number i with the params that are given for it, and
// returns their ids.
func create(b *testing.B, client *suitetest.Client, version string, n int, params func(i int) string) []string {
	b.Helper()
	ids := make([]string, n)
	var group errgroup.Group
	group.SetLimit(creators)
	for i := range n {
		group.Go(func() (err error) {
			ids[i], err = client.Tasks.CreateTask(b.Context(), schedulerapi.CreateTaskRequest{
				FlowVersionID: version, Params: json.RawMessage(params(i)),
			})
			return err
		})
	}
	require.NoError(b, group.Wait())
	return ids
}

func none(int) string { return "{}" }

// awaitStatus waits until so many tasks of a version have a status.
func awaitStatus(b *testing.B, client *suitetest.Client, version, status string, want int) {
	b.Helper()
	suitetest.Await(b, patience, func() error {
		page, err := client.Tasks.ListTasks(b.Context(), schedulerapi.TasksQuery{FlowVersionID: version, Status: status, PageSize: 1})
		if err == nil && page.Total != want {
			err = fmt.Errorf("%d of %d tasks are %s", page.Total, want, status)
		}
		return err
	})
}

// finish runs one task of a version to its end.
func finish(ctx context.Context, client *suitetest.Client, version string) error {
	id, err := client.Tasks.CreateTask(ctx, schedulerapi.CreateTaskRequest{FlowVersionID: version})
	if err != nil {
		return err
	}
	for {
		task, err := client.Tasks.GetTask(ctx, id)
		switch {
		case err != nil:
			return err
		case task.Status == "completed":
			return nil
		case task.FinishedAt != 0:
			return fmt.Errorf("task %s is %s", id, task.Status)
		}
	}
}
