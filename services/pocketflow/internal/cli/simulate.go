package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/term"
	"github.com/pocketflowgo/pocketflow/services/scheduler/simulate"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

type flowSimulateCmd struct {
	File   string `short:"f" required:"" help:"Definition, YAML or JSON." placeholder:"FILE"`
	Script string `help:"What workers answer and which signals come, YAML or JSON; see docs/simulate.md. Default: nothing, which does for local functions, choices and timers." placeholder:"FILE"`
	Params string `help:"Params of the task, a JSON object; @FILE reads it from a file. Default: the script's." placeholder:"JSON"`
}

func (c flowSimulateCmd) Run(ctx context.Context, s *session) error {
	cfg := simulate.Config{}
	var err error
	if cfg.Params, err = jsonArgument("--params", c.Params); err != nil {
		return err
	}
	if cfg.Definition, err = s.soundFlow(c.File); err != nil {
		return err
	}
	if err := s.readScript(c.Script, &cfg); err != nil {
		return err
	}
	trace, err := simulate.Run(ctx, cfg)
	if err != nil {
		return err
	}
	for _, part := range trace.Unused {
		fmt.Fprintf(s.Err, "%s: %s\n", c.Script, term.Printable(part))
	}
	if err := s.print(trace, func(w io.Writer) error { return writeTrace(w, trace) }); err != nil {
		return err
	}
	return endOf(trace)
}

// soundFlow reads a definition that has no faults.
func (s *session) soundFlow(path string) (*flow.Definition, error) {
	file, err := readFlow(path)
	if err != nil {
		return nil, err
	}
	writeChecked(s.Err, path, file.Report)
	if len(file.Errors) > 0 {
		return nil, errTold
	}
	return file.def, nil
}

// readScript reads a script, when there is one, and the flows that it names.
func (s *session) readScript(path string, cfg *simulate.Config) error {
	if path == "" {
		return nil
	}
	source, err := readSource(path, simulate.MaxScript)
	if err != nil {
		return err
	}
	script, faults := simulate.ReadScript(source)
	if len(faults) > 0 {
		writeChecked(s.Err, path, flow.Report{Errors: faults})
		return errTold
	}
	cfg.Script, cfg.Flows = script, map[string]*flow.Definition{}
	for name, file := range script.Flows {
		if !filepath.IsAbs(file) {
			file = filepath.Join(filepath.Dir(path), file)
		}
		if cfg.Flows[name], err = s.soundFlow(file); err != nil {
			return err
		}
	}
	return nil
}

// endOf is nil for a task that completed, and otherwise tells how the
// simulation ended. The exit codes are those of a task that was waited for; a
// simulation that stopped before its task's end is a failure of the command.
func endOf(t *simulate.Trace) error {
	switch {
	case t.Stopped != nil:
		return fmt.Errorf("the simulation stopped after %s: %s", t.Took, t.Stopped.Message)
	case t.Status == storage.TaskCompleted:
		return nil
	}
	ended := schedulerapi.Task{ID: "(simulated)", Status: string(t.Status)}
	if f := t.Error; f != nil {
		ended.Error = &schedulerapi.TaskError{Node: f.Node, Code: f.Code, Message: f.Message, Attempts: f.Attempts}
	}
	return taskEnded{task: ended}
}

func writeTrace(w io.Writer, t *simulate.Trace) error {
	table := term.NewRows("TIME", "NODE", "WHAT", "INPUT", "RESULT", "THEN")
	begun := map[string]bool{} // what is told of already, and has not ended
	for i := 0; i < len(t.Steps); i++ {
		step := &t.Steps[i]
		node := nodeOf(step)
		row := traceRow{what: whatOf(step), input: inputOf(step, t.Params)}
		switch {
		case step.What == simulate.Began && i+1 < len(t.Steps) && endsAtOnce(step, &t.Steps[i+1]):
			i++ // both on one line
			row.end(&t.Steps[i])
		case step.What == simulate.Began:
			begun[node] = true
		case step.What == simulate.Ended:
			if begun[node] {
				row.what = "…"
			}
			delete(begun, node)
			row.end(step)
		}
		table.Add(step.At, node, row.what, row.input, row.result, row.then)
	}
	if _, err := table.WriteTo(w); err != nil {
		return err
	}
	status := string(t.Status)
	if t.Stopped != nil {
		status = "stopped (" + status + ")"
	}
	var shared bytes.Buffer
	if err := json.Indent(&shared, t.Shared, "", "  "); err != nil {
		return fmt.Errorf("write the shared state: %w", err)
	}
	fmt.Fprintf(w, "\n%s after %s, %s, shared state:\n", status, t.Took, countOf(len(t.Runs), "node run"))
	for line := range strings.Lines(shared.String()) {
		if _, err := fmt.Fprintln(w, term.Printable(strings.TrimSuffix(line, "\n"))); err != nil {
			return err
		}
	}
	return nil
}

// traceRow is what a line of the trace says besides time and node.
type traceRow struct{ what, input, result, then string }

func endsAtOnce(began, next *simulate.Step) bool {
	return next.What == simulate.Ended && next.At == began.At &&
		next.Path == began.Path && next.Visit == began.Visit && next.Attempt == began.Attempt
}

func nodeOf(step *simulate.Step) string {
	text := step.Path
	if step.Visit > 1 {
		text += fmt.Sprintf(", visit %d", step.Visit)
	}
	if step.Attempt > 1 {
		text += fmt.Sprintf(", attempt %d", step.Attempt)
	}
	return text
}

func whatOf(step *simulate.Step) string {
	switch step.What {
	case simulate.Signaled:
		return "signal " + step.Key
	case simulate.Canceled:
		return "cancel"
	case simulate.Resolved:
		return "flow " + step.Flow
	case simulate.Ended, simulate.Began:
	}
	text := string(step.Kind)
	switch {
	case step.ExecType != "":
		text = fmt.Sprintf("%s %s", step.ExecType, step.Target)
	case step.WaitsFor != "":
		text += " for " + step.WaitsFor
	}
	if step.Until != nil {
		text += " until " + step.Until.String()
	}
	return text
}

// inputOf is what a run was given: its input, and for an execution the params
// that are not simply the task's.
func inputOf(step *simulate.Step, task json.RawMessage) string {
	if step.What == simulate.Signaled {
		return string(step.Value)
	}
	var own json.RawMessage
	for key, value := range rawjson.Fields(step.Params) {
		if given, ok := rawjson.Field(task, key); !ok || !rawjson.Equal(given, value) {
			own = rawjson.Set(own, key, value)
		}
	}
	if step.ExecType == "" || own == nil {
		return string(step.Input)
	}
	return fmt.Sprintf("%s, params %s", step.Input, own)
}

func (r *traceRow) end(step *simulate.Step) {
	switch step.Status {
	case storage.RunOK:
		r.result = string(step.Result)
	case storage.RunError, storage.RunTimeout:
		r.result = string(step.Status)
		if step.Code != "" {
			r.result = fmt.Sprintf("%s: %s", step.Code, step.Message)
		}
	case storage.RunCanceled, storage.RunQueued, storage.RunRunning:
		r.result = string(step.Status)
	}
	switch step.Then {
	case simulate.ThenGoes:
		r.then = "→ " + step.To
	case simulate.ThenEnds:
		r.then = "→ end"
	case simulate.ThenFails:
		r.then = "fails"
	case simulate.ThenAgain:
		r.then = "again at " + step.AgainAt.String()
	}
	if step.Action != "" {
		r.then = step.Action + " " + r.then
	}
}
