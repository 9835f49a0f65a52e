// Package term writes for people at a terminal and for programs behind a pipe:
// aligned tables, a live progress line, indented JSON. It knows nothing of
// flows and tasks, and it lets no control character of the data through, so
// that what a worker answers cannot drive the reader's terminal.
package term

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/mattn/go-isatty"
)

// Format is the form of a command's result.
type Format string

const (
	Table Format = "table"
	JSON  Format = "json"
)

// Formats lists every format.
var Formats = []Format{Table, JSON}

// IsTerminal reports whether w is a terminal that redraws lines.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && (isatty.IsTerminal(f.Fd()) || isatty.IsCygwinTerminal(f.Fd()))
}

// WriteJSON writes one indented document.
func WriteJSON(w io.Writer, value any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false) // the reader is no browser
	if err := enc.Encode(value); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}
