package term

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxCell is the most characters that a cell shows. Tables are for reading;
// whole values are in the JSON output.
const maxCell = 64

// Rows are a table's lines under a header.
type Rows struct {
	header []string
	rows   [][]string
}

// NewRows makes a table with the given columns.
func NewRows(header ...string) *Rows { return &Rows{header: header} }

// Add appends a line; every cell is printed as fmt.Sprint does.
func (t *Rows) Add(cells ...any) {
	row := make([]string, len(cells))
	for i, cell := range cells {
		row[i] = Shorten(fmt.Sprint(cell), maxCell)
	}
	t.rows = append(t.rows, row)
}

// WriteTo writes the table with columns aligned and nothing after the last one.
func (t *Rows) WriteTo(w io.Writer) (int64, error) {
	widths := make([]int, len(t.header))
	all := append([][]string{t.header}, t.rows...)
	for _, row := range all {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var text strings.Builder
	for _, row := range all {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(cell)
			line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
		}
		text.WriteString(strings.TrimRight(line.String(), " "))
		text.WriteByte('\n')
	}
	n, err := io.WriteString(w, text.String())
	return int64(n), err
}

// Shorten makes one printable line of the text, of at most limit characters;
// what is cut off shows as an ellipsis.
func Shorten(text string, limit int) string {
	text = Printable(text)
	if utf8.RuneCountInString(text) <= limit {
		return text
	}
	return string([]rune(text)[:limit-1]) + "…"
}

// Printable replaces what would move a terminal's cursor or change its state:
// every control and format character becomes a space.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "�"))
}
