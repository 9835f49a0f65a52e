package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/remote"
	"github.com/pocketflowgo/pocketflow/shared/api/catalogapi"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
)

type flowValidateCmd struct {
	File   []string `short:"f" required:"" help:"Definition, YAML or JSON. May be repeated." placeholder:"FILE" sep:"none"`
	Remote bool     `help:"Ask the server, so that its operator's limits count. Nothing is published."`
}

// checked is the result of validating one file.
type checked struct {
	File string `json:"file"`
	catalogapi.ValidationReport
}

func (c flowValidateCmd) Run(ctx context.Context, s *session) error {
	var validate validator = validateHere
	if c.Remote {
		srv, err := s.connect()
		if err != nil {
			return err
		}
		validate = validateAt(srv)
	}
	all := make([]checked, len(c.File))
	var failed error
	for i, path := range c.File {
		report, err := validate(ctx, path)
		if err != nil {
			return err
		}
		all[i] = checked{File: path, ValidationReport: report}
		if !report.Valid {
			failed = errTold
		}
	}
	err := s.print(all, func(w io.Writer) error {
		for _, one := range all {
			writeChecked(s.Err, one.File, flow.Report{Errors: one.Errors, Warnings: one.Warnings})
			if one.Valid {
				fmt.Fprintf(w, "%s: valid\n", one.File)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return failed
}

// validator reports everything that is found in the definition of a file.
type validator func(ctx context.Context, path string) (catalogapi.ValidationReport, error)

// validateHere needs no server and knows of no operator's limits.
func validateHere(_ context.Context, path string) (catalogapi.ValidationReport, error) {
	file, err := readFlow(path)
	if err != nil {
		return catalogapi.ValidationReport{}, err
	}
	return catalogapi.NewValidationReport(file.Report), nil
}

// validateAt has the server report what it would find on publishing.
func validateAt(srv *remote.Server) validator {
	return func(ctx context.Context, path string) (catalogapi.ValidationReport, error) {
		source, err := readSource(path, httpx.MaxBody) // the limit of a definition is the server's to say
		if err != nil {
			return catalogapi.ValidationReport{}, err
		}
		text := string(source.Text)
		if text == "" || !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			// A request cannot carry this unchanged, and under no limits is it
			// a definition.
			_, report := flow.Check(source, flow.DefaultLimits())
			return catalogapi.NewValidationReport(report), nil
		}
		req := catalogapi.ValidateRequest{DefinitionYAML: text}
		if source.Format == flow.FormatJSON {
			req = catalogapi.ValidateRequest{DefinitionJSON: text}
		}
		report, err := srv.Flows.Validate(ctx, req)
		if err != nil {
			return catalogapi.ValidationReport{}, fmt.Errorf("validate %s: %w", path, err)
		}
		return report, nil
	}
}
