//go:build unix

package examples

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/catalogapi"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/storage"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

// patience bounds the wait for anything that an example is to come to: all of
// them run at once, on a machine that may be busy.
const patience = 60 * time.Second

// Run publishes the examples on a suite, in one format or the other, and holds
// every case of theirs to what is expected, each in a subtest. The suite has
// what the examples need.
func (d Dir) Run(t *testing.T, client *suitetest.Client, all []Example, source func(Dir, string) flow.Source) {
	t.Helper()
	versions := d.publish(t, client, all, source)
	// The tasks run at once, and are looked at in turn: a parallel subtest would
	// wait for a place while its task does not.
	for _, run := range startAll(t, client, all, versions) {
		t.Run(run.example.Name+"/"+run.Title, func(t *testing.T) { run.follow(t) })
	}
}

// publish makes every example a flow of its name, those first that others refer
// to, and returns the versions' ids.
func (d Dir) publish(t *testing.T, client *suitetest.Client, all []Example, source func(Dir, string) flow.Source) map[string]string {
	t.Helper()
	versions := map[string]string{}
	for _, example := range all {
		id, err := client.Flows.CreateFlow(t.Context(), catalogapi.CreateFlowRequest{Name: example.Name})
		require.NoError(t, err)
		request := catalogapi.CreateVersionRequest{FlowID: id}
		src := source(d, example.Name)
		if src.Format == flow.FormatYAML {
			request.DefinitionYAML = string(src.Text)
		} else {
			request.DefinitionJSON = string(src.Text)
		}
		version, err := client.Flows.CreateVersion(t.Context(), request)
		require.NoError(t, err, example.Name)
		versions[example.Name] = version.ID
	}
	return versions
}

// running is a case whose task has been created.
type running struct {
	*Case
	example *Example
	client  *suitetest.Client
	task    string
}

// startAll creates the tasks of all cases before any is looked at: most of them
// wait for something, and so wait together.
func startAll(t *testing.T, client *suitetest.Client, all []Example, versions map[string]string) []running {
	t.Helper()
	var started []running
	for i := range all {
		example := &all[i]
		for j := range example.Cases {
			one := running{Case: &example.Cases[j], example: example, client: client}
			id, err := client.Tasks.CreateTask(t.Context(), schedulerapi.CreateTaskRequest{
				FlowVersionID: versions[example.Name], Params: json.RawMessage(one.Params),
			})
			require.NoError(t, err, "%s: %s", example.Name, one.Title)
			one.task = id
			for _, m := range one.Send {
				if m.At != "" {
					break // the rest waits for the node
				}
				one.signal(t, m)
			}
			started = append(started, one)
		}
	}
	return started
}

// follow sends the task what it waits for and holds it to what is expected.
func (r *running) follow(t *testing.T) {
	t.Helper()
	decided := map[string]bool{} // runs: the next decision is for another one
	early := true
	for _, m := range r.Send {
		early = early && m.At == ""
		switch {
		case early: // sent when the task was created
		case m.At == "":
			r.signal(t, m)
		default:
			run := r.awaitRun(t, m.At, decided)
			decided[run.ID] = m.Decision != nil
			if m.Decision != nil {
				r.decide(t, m)
			} else {
				r.signal(t, m)
			}
		}
	}
	var task schedulerapi.Task
	suitetest.Await(t, patience, func() error {
		var err error
		if task, err = r.client.Tasks.GetTask(t.Context(), r.task); err != nil {
			return err
		}
		if !storage.TaskStatus(task.Status).Terminal() {
			return fmt.Errorf("the task is %s at %q", task.Status, task.CurrentNodeKey)
		}
		return nil
	})
	runs, err := r.client.Tasks.ListRuns(t.Context(), r.task)
	require.NoError(t, err)
	r.verify(t, task, runs)
}

// awaitRun waits until the node of that path waits, in a run that has not been
// decided.
func (r *running) awaitRun(t *testing.T, path string, decided map[string]bool) schedulerapi.Run {
	t.Helper()
	var found schedulerapi.Run
	suitetest.Await(t, patience, func() error {
		runs, err := r.client.Tasks.ListRuns(t.Context(), r.task)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(runs, func(run schedulerapi.Run) bool {
			return run.Path == path && run.Status == string(storage.RunRunning) && !decided[run.ID]
		})
		if at < 0 {
			return fmt.Errorf("nothing waits at %s", path)
		}
		found = runs[at]
		return nil
	})
	return found
}

func (r *running) signal(t *testing.T, m Message) {
	t.Helper()
	require.NoError(t, r.client.Tasks.Signal(t.Context(), schedulerapi.SignalRequest{
		TaskID: r.task, Key: m.Signal, Value: json.RawMessage(m.Value), DecidedBy: m.By, Comment: m.Comment,
	}))
}

func (r *running) decide(t *testing.T, m Message) {
	t.Helper()
	open, err := r.client.Tasks.ListApprovals(t.Context(), schedulerapi.ApprovalsQuery{TaskID: r.task})
	require.NoError(t, err)
	require.Len(t, open.Data, 1)
	require.Equal(t, m.At, open.Data[0].Path)
	require.NoError(t, r.client.Tasks.Decide(t.Context(), schedulerapi.DecideRequest{
		TaskID: r.task, RunID: open.Data[0].RunID, Digest: open.Data[0].Digest,
		Decision: json.RawMessage(m.Decision), DecidedBy: m.By, Comment: m.Comment,
	}))
}

func (r *running) verify(t *testing.T, task schedulerapi.Task, runs []schedulerapi.Run) {
	t.Helper()
	require.Equal(t, r.Status, task.Status, "%+v", task.Error)
	require.Empty(t, task.CurrentNodeKey)
	requireSame(t, r.Shared, task.SharedJSON)
	var failure *Error
	if e := task.Error; e != nil {
		failure = &Error{Node: e.Node, Code: e.Code, Message: e.Message, Attempts: e.Attempts}
	}
	require.Equal(t, r.Error, failure)

	went := make([]string, len(runs))
	for i, run := range runs {
		went[i] = RunText(run)
		require.NotZero(t, run.StartedAt)
		require.GreaterOrEqual(t, run.FinishedAt, run.StartedAt)
	}
	for _, m := range r.Send {
		if m.By != "" {
			require.True(t, slices.ContainsFunc(runs, func(run schedulerapi.Run) bool {
				return run.Path == m.At && run.DecidedBy == m.By && run.Comment == m.Comment
			}), "no run of %s tells who decided", m.At)
		}
	}
	if r.AnyOrder {
		require.ElementsMatch(t, r.Runs, went)
	} else {
		require.Equal(t, r.Runs, went)
	}
}

func requireSame(t *testing.T, want Value, got string) {
	t.Helper()
	wanted, err := Canonical(want)
	require.NoError(t, err)
	actual, err := Canonical([]byte(got))
	require.NoError(t, err)
	require.Equal(t, wanted, actual)
}
