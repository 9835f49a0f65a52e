package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/remote"
	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/term"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
)

type approvalCmds struct {
	List   approvalListCmd   `cmd:"" help:"List what waits for a decision, newest task first."`
	Decide approvalDecideCmd `cmd:"" help:"Decide what a task waits for."`
}

type approvalListCmd struct {
	Flow string `help:"Only tasks of this flow, name or id." placeholder:"FLOW"`
	page
}

func (c approvalListCmd) Run(ctx context.Context, s *session) error {
	srv, err := s.connect()
	if err != nil {
		return err
	}
	query := schedulerapi.ApprovalsQuery{Page: c.Page, PageSize: c.Size, Cursor: c.Cursor}
	if c.Flow != "" {
		if query.FlowID, err = srv.FlowID(ctx, c.Flow); err != nil {
			return err
		}
	}
	approvals, err := srv.Tasks.ListApprovals(ctx, query)
	if err != nil {
		return err
	}
	return s.print(approvals, func(w io.Writer) error {
		table := term.NewRows("TASK", "FLOW", "NODE", "REQUESTED", "DUE", "INPUT")
		for _, a := range approvals.Data {
			table.Add(a.TaskID, a.FlowName, a.Path, moment(a.RequestedAt), moment(a.DueAt), string(a.Input))
		}
		if _, err := table.WriteTo(w); err != nil {
			return err
		}
		writeMore(s.Err, len(approvals.Data), approvals.Total, approvals.NextCursor)
		return nil
	})
}

type approvalDecideCmd struct {
	Task     string `arg:"" help:"Id of the task."`
	Decision string `arg:"" help:"true to approve, false to reject, or the action to take."`
	By       string `help:"Who decides." placeholder:"NAME" env:"USER"`
	Comment  string `help:"What there is to say to it." placeholder:"TEXT"`
	Digest   string `help:"Decide only what has this digest, as approval list -o json shows it. Default: what the task asks for now, which is shown." placeholder:"DIGEST"`
}

func (c approvalDecideCmd) Run(ctx context.Context, s *session) error {
	decision, err := decisionArgument(c.Decision)
	if err != nil {
		return err
	}
	srv, err := s.connect()
	if err != nil {
		return err
	}
	req := schedulerapi.DecideRequest{
		TaskID: c.Task, Digest: c.Digest, Decision: decision, DecidedBy: c.By, Comment: c.Comment,
	}
	if req.Digest == "" {
		approval, err := pendingOf(ctx, srv, c.Task)
		if err != nil {
			return err
		}
		writeApproval(s.Err, approval)
		req.RunID, req.Digest = approval.RunID, approval.Digest
	}
	if err := srv.Tasks.Decide(ctx, req); err != nil {
		return err
	}
	return s.printDone(fmt.Sprintf("decided %s: %s", c.Task, term.Printable(c.Decision)))
}

// decisionArgument is true, false, or any other word as the action it names.
func decisionArgument(word string) (json.RawMessage, error) {
	switch word {
	case "":
		return nil, usagef("the decision is empty: true, false, or an action")
	case "true", "false":
		return json.RawMessage(word), nil
	}
	return json.Marshal(word)
}

// pendingOf is what the task asks for now.
func pendingOf(ctx context.Context, srv *remote.Server, taskID string) (schedulerapi.Approval, error) {
	found, err := srv.Tasks.ListApprovals(ctx, schedulerapi.ApprovalsQuery{TaskID: taskID})
	switch {
	case err != nil:
		return schedulerapi.Approval{}, err
	case len(found.Data) == 0:
		return schedulerapi.Approval{}, errs.New(errs.ApprovalClosed, "the task %s does not wait for a decision", taskID)
	}
	return found.Data[0], nil
}

// writeApproval shows what is decided. The input is never shortened.
func writeApproval(w io.Writer, a schedulerapi.Approval) {
	due := ""
	if a.DueAt != 0 {
		due = ", due " + moment(a.DueAt)
	}
	for _, line := range [][2]string{
		{"Flow", fmt.Sprintf("%s, version %d", a.FlowName, a.FlowVersion)},
		{"Node", a.Path},
		{"Asked", moment(a.RequestedAt) + due},
		{"Input", string(a.Input)},
	} {
		fmt.Fprintf(w, "%-8s %s\n", line[0], term.Printable(line[1]))
	}
}
