package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/term"
	"github.com/pocketflowgo/pocketflow/shared/storage/transfer"
)

const (
	barWidth = 20
	// barPause is between two looks of the bar, so that drawing costs nothing.
	barPause = 100 * time.Millisecond
)

// transferProgress shows a bar on a terminal, and elsewhere a line per table.
type transferProgress struct {
	show  *term.Progress
	live  bool
	drawn time.Time
}

func newTransferProgress(out io.Writer) *transferProgress {
	return &transferProgress{show: term.NewProgress(out), live: term.IsTerminal(out)}
}

func (t *transferProgress) tell(p transfer.Progress) {
	if !t.live {
		if p.Done {
			t.show.Show(fmt.Sprintf("%s %s.%s: %d rows", p.Phase, p.Service, p.Table, p.Rows))
		}
		return
	}
	if now := time.Now(); p.Done || now.Sub(t.drawn) >= barPause {
		t.drawn = now
		t.show.Show(bar(p))
	}
}

func (t *transferProgress) done() { t.show.Done() }

// bar draws how much of a table is done. A source that changed between two
// tries may have fewer rows than went over.
func bar(p transfer.Progress) string {
	full := barWidth
	if p.Total > 0 {
		full = int(min(p.Rows, p.Total) * barWidth / p.Total)
	}
	return fmt.Sprintf("%-9s %s%s %d/%d %s.%s", p.Phase, strings.Repeat("█", full), strings.Repeat("░", barWidth-full),
		p.Rows, p.Total, p.Service, p.Table)
}
