package cli

import (
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/term"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/app"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Exit is how the process ends. The values are part of the command line's
// contract with scripts.
type Exit int

// The exit codes.
const (
	ExitOK           Exit = 0
	ExitFailed       Exit = 1 // the command could not do its work
	ExitUsage        Exit = 2 // flags, arguments or settings are wrong
	ExitTaskFailed   Exit = 3 // the task that was waited for failed
	ExitTaskCanceled Exit = 4 // the task that was waited for was canceled
	ExitNotFound     Exit = 5 // no such flow, version, task or worker
	ExitUnreachable  Exit = 6 // the server, or a service behind it, cannot be reached
	ExitInterrupted  Exit = 130
)

const exitHelp = `Exit codes: 0 ok, 1 failure, 2 usage, 3 the task failed, 4 the task was canceled, 5 not found, 6 the server cannot be reached, 130 interrupted.`

// usageError is a mistake in what was typed that only shows after parsing.
type usageError struct{ message string }

func (e usageError) Error() string { return e.message }

func usagef(format string, args ...any) error {
	return usageError{message: fmt.Sprintf(format, args...)}
}

// taskEnded is how a task that was waited for ended, when that is no success.
type taskEnded struct{ task schedulerapi.Task }

func (e taskEnded) Error() string {
	if f := e.task.Error; f != nil {
		if f.Node == "" {
			return fmt.Sprintf("task %s %s: %s (%s)", e.task.ID, e.task.Status, f.Message, f.Code)
		}
		return fmt.Sprintf("task %s %s at node %s: %s (%s)", e.task.ID, e.task.Status, f.Node, f.Message, f.Code)
	}
	return fmt.Sprintf("task %s %s", e.task.ID, e.task.Status)
}

// exitOf maps an error to the exit code.
func exitOf(err error) Exit {
	var usage usageError
	var ended taskEnded
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &usage):
		return ExitUsage
	case errors.As(err, &ended) && ended.task.Status == string(storage.TaskFailed):
		return ExitTaskFailed
	case errors.As(err, &ended):
		return ExitTaskCanceled
	case errs.CodeOf(err) == errs.NotFound:
		return ExitNotFound
	case errs.CodeOf(err) == errs.Unavailable:
		return ExitUnreachable
	case errs.CodeOf(err) == errs.InvalidArgument: // the server found what was typed wrong
		return ExitUsage
	default:
		return ExitFailed
	}
}

// report writes an error for the person at the terminal: what went wrong on
// one line, then every fault on a line of its own.
func report(w io.Writer, err error) {
	var e *errs.Error
	if !errors.As(err, &e) {
		fmt.Fprintln(w, "pocketflow: "+term.Printable(app.OneLine(err)))
		return
	}
	if len(e.Faults) == 0 {
		fmt.Fprintln(w, "pocketflow: "+term.Printable(e.Detail+because(err)))
		return
	}
	fmt.Fprintf(w, "pocketflow: %s (%s)\n", countOf(len(e.Faults), "fault"), e.Code)
	writeFaults(w, e.Faults)
}

// because adds what the system said when a server cannot be reached, without
// the layers of net and net/http in front of it.
func because(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		return fmt.Sprintf(": %v. Is it running? (pocketflow serve; --server names another)", op.Err)
	}
	return ""
}

func writeFaults(w io.Writer, faults []errs.Fault) {
	for _, f := range faults {
		line := f.Message
		if f.Path != "" {
			line = f.Path + ": " + line
		}
		fmt.Fprintf(w, "  %s (%s)\n", term.Printable(line), term.Printable(f.Code))
	}
}

func countOf(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
