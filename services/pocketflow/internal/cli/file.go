package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/flow"
)

// flowFile is a definition in a file.
type flowFile struct {
	name string // of the flow, from the file's name
	def  *flow.Definition
	flow.Report
}

// readFlow reads a definition and checks it against the default limits.
func readFlow(path string) (flowFile, error) {
	source, err := readSource(path, flow.DefaultLimits().MaxBytes)
	if err != nil {
		return flowFile{}, err
	}
	file := flowFile{name: strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))}
	file.def, file.Report = flow.Check(source, flow.DefaultLimits())
	return file, nil
}

// readSource reads the text of a definition that has at most so many bytes.
// The ending decides the format: .json is JSON, everything else YAML, which
// JSON is a part of.
func readSource(path string, most int) (flow.Source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return flow.Source{}, fileError(path, err)
	}
	if info.Size() > int64(most) {
		return flow.Source{}, fmt.Errorf("%s has %d bytes, a definition at most %d", path, info.Size(), most)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return flow.Source{}, fileError(path, err)
	}
	format := flow.FormatYAML
	if strings.EqualFold(filepath.Ext(path), ".json") {
		format = flow.FormatJSON
	}
	return flow.Source{Format: format, Text: text}, nil
}

// fileError is the system's word about a file, without the call it comes from.
func fileError(path string, err error) error {
	var cause *os.PathError
	if errors.As(err, &cause) {
		err = cause.Err
	}
	return fmt.Errorf("%s: %w", path, err)
}

// writeChecked tells everything that was found in a definition.
func writeChecked(w io.Writer, path string, report flow.Report) {
	for _, part := range []struct {
		title  string
		faults []errs.Fault
	}{{"fault", report.Errors}, {"warning", report.Warnings}} {
		if len(part.faults) > 0 {
			fmt.Fprintf(w, "%s: %s\n", path, countOf(len(part.faults), part.title))
			writeFaults(w, part.faults)
		}
	}
}
