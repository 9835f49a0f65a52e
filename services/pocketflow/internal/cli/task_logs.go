package cli

import (
	"context"
	"io"
	"strings"

	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/term"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
)

type taskLogsCmd struct {
	RunID  string `arg:"" name:"run" help:"Id of the run, as task runs shows it."`
	Task   string `help:"Id of its task. Only needed for a run that is neither a pull worker's nor a script." placeholder:"TASK"`
	Follow bool   `short:"f" help:"Go on until the run has ended."`
}

func (c taskLogsCmd) Run(ctx context.Context, s *session) error {
	srv, err := s.connect()
	if err != nil {
		return err
	}
	query := schedulerapi.RunLogQuery{RunID: c.RunID, TaskID: c.Task}
	if !c.Follow {
		log, err := srv.Tasks.GetLogs(ctx, query)
		if err != nil {
			return err
		}
		return s.print(log, func(w io.Writer) error { return writeLines(w, log.Content) })
	}
	written := 0 // a log only grows
	log, err := srv.FollowLog(ctx, query, func(log schedulerapi.RunLog) error {
		if s.output == term.JSON {
			return nil // one value, once it is whole
		}
		fresh := log.Content[min(written, len(log.Content)):]
		written = len(log.Content)
		return writeLines(s.Out, fresh)
	})
	if err != nil || s.output != term.JSON {
		return err
	}
	return term.WriteJSON(s.Out, log)
}

// writeLines writes what a worker wrote, line by line as it did.
func writeLines(w io.Writer, text string) error {
	for line := range strings.Lines(text) {
		if _, err := io.WriteString(w, term.Printable(strings.TrimSuffix(line, "\n"))+"\n"); err != nil {
			return err
		}
	}
	return nil
}
