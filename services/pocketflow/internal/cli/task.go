package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/remote"
	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/term"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/ids"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

type taskCmds struct {
	Start  taskStartCmd  `cmd:"" help:"Start a task of a flow."`
	List   taskListCmd   `cmd:"" help:"List tasks, newest first."`
	Get    taskGetCmd    `cmd:"" help:"Show a task."`
	Runs   taskRunsCmd   `cmd:"" help:"Show a task's node runs in order of start."`
	Logs   taskLogsCmd   `cmd:"" help:"Show what a node run wrote besides its result."`
	Watch  taskWatchCmd  `cmd:"" help:"Wait for a task's end; the exit code tells how it ended."`
	Cancel taskCancelCmd `cmd:"" help:"Cancel a task."`
	Signal taskSignalCmd `cmd:"" help:"Hand a value to a task."`
}

type taskStartCmd struct {
	Flow      string `arg:"" help:"Name or id of the flow, or id of one of its versions."`
	Version   int    `help:"Version of the flow. Default: the newest published one." placeholder:"N"`
	Params    string `help:"Params of the task, a JSON object; @FILE reads it from a file." placeholder:"JSON"`
	RequestID string `help:"Makes a repeat of this command return the same task." placeholder:"ID"`
	Wait      bool   `short:"w" help:"Wait for the task's end; the exit code tells how it ended."`
}

func (c taskStartCmd) Run(ctx context.Context, s *session) error {
	params, err := jsonArgument("--params", c.Params)
	if err != nil {
		return err
	}
	srv, err := s.connect()
	if err != nil {
		return err
	}
	req := schedulerapi.CreateTaskRequest{Version: c.Version, Params: params, RequestID: c.RequestID}
	if ids.Valid(ids.Version, c.Flow) {
		req.FlowVersionID = c.Flow
	} else if req.FlowID, err = srv.FlowID(ctx, c.Flow); err != nil {
		return err
	}
	id, err := srv.Tasks.CreateTask(ctx, req)
	if err != nil {
		return err
	}
	if c.Wait {
		fmt.Fprintf(s.Err, "task %s started\n", id)
		return s.watch(ctx, srv, id)
	}
	return s.print(schedulerapi.Created{ID: id}, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, id) // the bare id, for id=$(pocketflow task start …)
		return err
	})
}

// jsonArgument reads a JSON value given as text or, with @, as a file. An
// empty argument is no value.
func jsonArgument(name, text string) (json.RawMessage, error) {
	if path, ok := strings.CutPrefix(text, "@"); ok {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fileError(path, err)
		}
		text = string(data)
	}
	if text == "" {
		return nil, nil
	}
	if !json.Valid([]byte(text)) {
		return nil, usagef("%s is not JSON: %s", name, term.Shorten(text, 60))
	}
	return json.RawMessage(text), nil
}

type taskListCmd struct {
	Status string `help:"Only tasks of this status." placeholder:"STATUS"`
	Flow   string `help:"Only tasks of this flow, name or id." placeholder:"FLOW"`
	page
}

func (c taskListCmd) Run(ctx context.Context, s *session) error {
	srv, err := s.connect()
	if err != nil {
		return err
	}
	query := schedulerapi.TasksQuery{Status: c.Status, Page: c.Page, PageSize: c.Size, Cursor: c.Cursor}
	if c.Flow != "" {
		if query.FlowID, err = srv.FlowID(ctx, c.Flow); err != nil {
			return err
		}
	}
	tasks, err := srv.Tasks.ListTasks(ctx, query)
	if err != nil {
		return err
	}
	return s.print(tasks, func(w io.Writer) error {
		table := term.NewRows("ID", "FLOW", "VERSION", "STATUS", "NODE", "CREATED", "TOOK")
		for _, t := range tasks.Data {
			table.Add(t.ID, t.FlowName, t.FlowVersion, t.Status, t.CurrentNodeKey, moment(t.CreatedAt), took(t.CreatedAt, t.FinishedAt))
		}
		if _, err := table.WriteTo(w); err != nil {
			return err
		}
		writeMore(s.Err, len(tasks.Data), tasks.Total, tasks.NextCursor)
		return nil
	})
}

type taskGetCmd struct {
	Task string `arg:"" help:"Id of the task."`
}

func (c taskGetCmd) Run(ctx context.Context, s *session) error {
	srv, err := s.connect()
	if err != nil {
		return err
	}
	task, err := srv.Tasks.GetTask(ctx, c.Task)
	if err != nil {
		return err
	}
	return s.printTask(task)
}

func (s *session) printTask(task schedulerapi.Task) error {
	return s.print(task, func(w io.Writer) error { return writeTask(w, task) })
}

// writeTask shows one task as a list of what it is. Shared state is what its
// reader came for and is never shortened.
func writeTask(w io.Writer, t schedulerapi.Task) error {
	lines := [][2]string{
		{"Task", t.ID},
		{"Flow", fmt.Sprintf("%s, version %d", t.FlowName, t.FlowVersion)},
		{"Status", t.Status},
	}
	if t.CurrentNodeKey != "" {
		lines = append(lines, [2]string{"Node", t.CurrentNodeKey})
	}
	if e := t.Error; e != nil {
		lines = append(lines, [2]string{"Error", fmt.Sprintf("%s: %s (%s, after %s)", e.Node, e.Message, e.Code, countOf(e.Attempts, "attempt"))})
	}
	lines = append(lines,
		[2]string{"Created", moment(t.CreatedAt)},
		[2]string{"Took", took(t.CreatedAt, t.FinishedAt)},
		[2]string{"Params", t.ParamsJSON},
		[2]string{"Shared", t.SharedJSON},
	)
	for _, line := range lines {
		if _, err := fmt.Fprintf(w, "%-8s %s\n", line[0], term.Printable(line[1])); err != nil {
			return err
		}
	}
	return nil
}

type taskRunsCmd struct {
	Task string `arg:"" help:"Id of the task."`
}

func (c taskRunsCmd) Run(ctx context.Context, s *session) error {
	srv, err := s.connect()
	if err != nil {
		return err
	}
	runs, err := srv.Tasks.ListRuns(ctx, c.Task)
	if err != nil {
		return err
	}
	return s.print(runs, func(w io.Writer) error { return writeRuns(w, runs) })
}

func writeRuns(w io.Writer, runs []schedulerapi.Run) error {
	table := term.NewRows("NODE", "ATTEMPT", "STATUS", "ACTION", "TOOK", "WORKER", "RUN", "RESULT")
	for _, r := range runs {
		result := r.ExecOutputJSON
		if r.ErrorText != "" {
			result = r.ErrorText
		}
		table.Add(r.Path, r.AttemptNo, r.Status, r.Action, took(r.StartedAt, r.FinishedAt), r.WorkerID, r.ID, result)
	}
	_, err := table.WriteTo(w)
	return err
}

type taskWatchCmd struct {
	Task string `arg:"" help:"Id of the task."`
}

func (c taskWatchCmd) Run(ctx context.Context, s *session) error {
	srv, err := s.connect()
	if err != nil {
		return err
	}
	return s.watch(ctx, srv, c.Task)
}

// watch shows a task while it runs and prints it as it ended.
func (s *session) watch(ctx context.Context, srv *remote.Server, id string) error {
	progress := term.NewProgress(s.Err)
	task, err := srv.Follow(ctx, id, func(t schedulerapi.Task) { progress.Show(standing(t)) })
	progress.Done()
	if err != nil {
		return err
	}
	if err := s.printTask(task); err != nil {
		return err
	}
	if task.Status != string(storage.TaskCompleted) {
		return taskEnded{task: task}
	}
	return nil
}

// standing is where a task stands, in a few words.
func standing(t schedulerapi.Task) string {
	text := t.FlowName + ": " + strings.ReplaceAll(t.Status, "_", " ")
	if t.CurrentNodeKey != "" {
		text += " at " + t.CurrentNodeKey
	}
	return text
}

type taskCancelCmd struct {
	Task string `arg:"" help:"Id of the task."`
}

func (c taskCancelCmd) Run(ctx context.Context, s *session) error {
	srv, err := s.connect()
	if err != nil {
		return err
	}
	if err := srv.Tasks.Cancel(ctx, c.Task); err != nil {
		return err
	}
	return s.printDone("canceled " + c.Task)
}

type taskSignalCmd struct {
	Task  string `arg:"" help:"Id of the task."`
	Key   string `arg:"" help:"Key of the shared state that the value is written to."`
	Value string `arg:"" optional:"" default:"true" help:"Any JSON value; @FILE reads it from a file."`
}

func (c taskSignalCmd) Run(ctx context.Context, s *session) error {
	value, err := jsonArgument("the value", c.Value)
	if err != nil {
		return err
	}
	srv, err := s.connect()
	if err != nil {
		return err
	}
	if err := srv.Tasks.Signal(ctx, schedulerapi.SignalRequest{TaskID: c.Task, Key: c.Key, Value: value}); err != nil {
		return err
	}
	return s.printDone(fmt.Sprintf("signaled %s: %s", c.Task, c.Key))
}

// printDone is the result of a command that has nothing to show.
func (s *session) printDone(what string) error {
	return s.print(schedulerapi.OK{OK: "1"}, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, what)
		return err
	})
}
