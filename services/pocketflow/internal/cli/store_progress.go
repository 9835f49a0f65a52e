package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/term"
	"github.com/pocketflowgo/pocketflow/shared/storage/backup"
	"github.com/pocketflowgo/pocketflow/shared/storage/transfer"
)

const (
	barWidth = 20
	// barPause is between two looks of the bar, so that drawing costs nothing.
	barPause = 100 * time.Millisecond
)

// transferProgress shows a bar on a terminal, and elsewhere a line per table of
// a copy.
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

// tellBackup shows the copies of SQLite files, which take no time to speak of
// unless they are large.
func (t *transferProgress) tellBackup(p backup.Progress) {
	if now := time.Now(); t.live && (p.Done == p.Total || now.Sub(t.drawn) >= barPause) {
		t.drawn = now
		t.show.Show(fmt.Sprintf("%s %d/%d MB %s", filled(p.Done, p.Total), p.Done/1e6, p.Total/1e6, p.Service))
	}
}

// bar draws how much of a table is done. A source that changed between two
// tries may have fewer rows than went over.
func bar(p transfer.Progress) string {
	return fmt.Sprintf("%-9s %s %d/%d %s.%s", p.Phase, filled(p.Rows, p.Total), p.Rows, p.Total, p.Service, p.Table)
}

func filled(done, total int64) string {
	full := barWidth
	if total > 0 {
		full = int(min(done, total) * barWidth / total)
	}
	return strings.Repeat("█", full) + strings.Repeat("░", barWidth-full)
}
