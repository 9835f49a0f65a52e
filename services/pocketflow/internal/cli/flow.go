package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/remote"
	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/term"
	"github.com/pocketflowgo/pocketflow/shared/api/catalogapi"
	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/storage"
)

type flowCmds struct {
	Apply    flowApplyCmd    `cmd:"" help:"Publish a definition as the next version of its flow; nothing happens when it is published already."`
	List     flowListCmd     `cmd:"" help:"List the flows, newest first."`
	Get      flowGetCmd      `cmd:"" help:"Show a flow's versions, or the definition of one."`
	Validate flowValidateCmd `cmd:"" help:"Check definitions without publishing them; every fault is named. Needs no server."`
	Simulate flowSimulateCmd `cmd:"" help:"Run a flow on a virtual clock under scripted answers and signals. Needs no server and no worker."`
}

type flowApplyCmd struct {
	File []string `short:"f" required:"" help:"Definition, YAML or JSON. May be repeated." placeholder:"FILE" sep:"none"`
	Name string   `help:"Name of the flow. Default: the file's name without its ending." placeholder:"NAME"`
}

func (c flowApplyCmd) Run(ctx context.Context, s *session) error {
	if c.Name != "" && len(c.File) > 1 {
		return usagef("--name fits one file, there are %d", len(c.File))
	}
	// All files are checked before any is published: a pipeline that fails
	// should have changed nothing.
	files := make([]flowFile, len(c.File))
	faulty := false
	for i, path := range c.File {
		file, err := readFlow(path)
		if err != nil {
			return err
		}
		writeChecked(s.Err, path, file.Report)
		faulty = faulty || len(file.Errors) > 0
		files[i] = file
	}
	if faulty {
		return errTold
	}
	srv, err := s.connect()
	if err != nil {
		return err
	}
	all := make([]remote.Applied, len(files))
	for i, file := range files {
		if c.Name != "" {
			file.name = c.Name
		}
		if all[i], err = srv.Apply(ctx, file.name, file.def); err != nil {
			return err
		}
	}
	return s.print(all, func(w io.Writer) error {
		table := term.NewRows("FLOW", "VERSION", "CHANGE", "FLOW ID", "VERSION ID")
		for _, one := range all {
			table.Add(one.Name, one.Version, one.Change, one.FlowID, one.VersionID)
		}
		_, err := table.WriteTo(w)
		return err
	})
}

// page are the flags of every list.
type page struct {
	Page   int    `help:"Page, from 1." default:"1"`
	Size   int    `name:"page-size" help:"Lines on a page, at most 1000." default:"20"`
	Cursor string `help:"Go on where a list ended: its next_cursor." placeholder:"CURSOR"`
}

// writeMore tells that a list goes on, and how to see the rest.
func writeMore(w io.Writer, shown, total int, cursor string) {
	if cursor != "" {
		more := ""
		if total >= storage.MaxTotal {
			more = " or more"
		}
		fmt.Fprintf(w, "%d of %d%s; the rest: --cursor %s\n", shown, total, more, cursor)
	}
}

type flowListCmd struct{ page }

func (c flowListCmd) Run(ctx context.Context, s *session) error {
	srv, err := s.connect()
	if err != nil {
		return err
	}
	flows, err := srv.Flows.ListFlows(ctx, catalogapi.FlowsQuery{Page: c.Page, PageSize: c.Size, Cursor: c.Cursor})
	if err != nil {
		return err
	}
	return s.print(flows, func(w io.Writer) error {
		table := term.NewRows("ID", "NAME", "CREATED", "DESCRIPTION")
		for _, one := range flows.Data {
			table.Add(one.ID, one.Name, moment(one.CreatedAt), one.Description)
		}
		if _, err := table.WriteTo(w); err != nil {
			return err
		}
		writeMore(s.Err, len(flows.Data), flows.Total, flows.NextCursor)
		return nil
	})
}

type flowGetCmd struct {
	Flow    string `arg:"" help:"Name or id of the flow."`
	Version int    `help:"Show this version's definition." placeholder:"N"`
}

func (c flowGetCmd) Run(ctx context.Context, s *session) error {
	srv, err := s.connect()
	if err != nil {
		return err
	}
	flowID, err := srv.FlowID(ctx, c.Flow)
	if err != nil {
		return err
	}
	versions, err := srv.Flows.ListVersions(ctx, flowID)
	if err != nil {
		return err
	}
	if c.Version == 0 {
		return s.print(versions, func(w io.Writer) error { return writeVersions(w, versions) })
	}
	for _, v := range versions {
		if v.Version == c.Version {
			return s.print(v, func(w io.Writer) error { return writeDefinition(w, v.DefinitionJSON) })
		}
	}
	return errs.New(errs.NotFound, "flow %s has no version %d", c.Flow, c.Version)
}

func writeVersions(w io.Writer, versions []catalogapi.Version) error {
	table := term.NewRows("VERSION", "STATUS", "ID", "FLOW", "CREATED")
	for _, v := range versions {
		table.Add(v.Version, v.Status, v.ID, v.FlowName, moment(v.CreatedAt))
	}
	_, err := table.WriteTo(w)
	return err
}

// writeDefinition indents the stored text: its numbers and the order of its
// keys stay as they are.
func writeDefinition(w io.Writer, text string) error {
	var indented bytes.Buffer
	if err := json.Indent(&indented, []byte(text), "", "  "); err != nil {
		return fmt.Errorf("indent the definition: %w", err)
	}
	_, err := fmt.Fprintln(w, indented.String())
	return err
}
