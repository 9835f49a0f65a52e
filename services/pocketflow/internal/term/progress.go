package term

import (
	"fmt"
	"io"
	"time"
)

// frames turn in front of the progress line, one a redraw.
var frames = []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")

// maxLine keeps the progress line on one row of a common terminal; one that
// wraps could not be redrawn.
const maxLine = 78

// clearLine goes to the line's start and erases it.
const clearLine = "\r\x1b[K"

// Progress tells what happens while the caller waits. On a terminal it is one
// line that is redrawn; elsewhere each news is a line of its own, once.
type Progress struct {
	out   io.Writer
	live  bool
	start time.Time
	frame int
	last  string
}

// NewProgress begins a progress that is live when out is a terminal.
func NewProgress(out io.Writer) *Progress {
	return &Progress{out: out, live: IsTerminal(out), start: time.Now()}
}

// Show tells where things stand now. Call it at every look, changed or not: it
// is what makes the line turn.
func (p *Progress) Show(text string) {
	text = Printable(text)
	switch {
	case p.live:
		p.frame = (p.frame + 1) % len(frames)
		took := time.Since(p.start).Truncate(100 * time.Millisecond)
		fmt.Fprintf(p.out, "%s%c %s", clearLine, frames[p.frame], Shorten(fmt.Sprintf("%s (%s)", text, took), maxLine))
	case text != p.last:
		fmt.Fprintln(p.out, text)
	}
	p.last = text
}

// Say writes a line that stays, above the progress line. What follows is news
// again, even if it is what was shown before.
func (p *Progress) Say(text string) {
	p.Done()
	fmt.Fprintln(p.out, Printable(text))
	p.last = ""
}

// Done takes the progress line away.
func (p *Progress) Done() {
	if p.live {
		fmt.Fprint(p.out, clearLine)
	}
}
