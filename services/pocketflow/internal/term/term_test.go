package term

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRows_AlignColumnsAndLeaveNoTrailingSpace(t *testing.T) {
	t.Parallel()
	table := NewRows("ID", "NAME", "NOTE")
	table.Add("1", "größe", "")
	table.Add(22, "b", strings.Repeat("x", 100))
	var out bytes.Buffer
	_, err := table.WriteTo(&out)
	require.NoError(t, err)
	require.Equal(t, "ID  NAME   NOTE\n1   größe\n22  b      "+strings.Repeat("x", 63)+"…\n", out.String())
}

func TestPrintable_LetsNoControlCharacterThrough(t *testing.T) {
	t.Parallel()
	require.Equal(t, " [2Jgone  bell x", Printable("\x1b[2Jgone\n\abell\u202ex"))
	require.Equal(t, "a�b", Printable("a\xffb"))
}

func TestProgress_SaysEachNewsOnceBehindAPipe(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p := NewProgress(&out)
	p.Show("running A")
	p.Show("running A")
	p.Say("a line")
	p.Show("running B")
	p.Done()
	require.Equal(t, "running A\na line\nrunning B\n", out.String())
}

func TestProgress_RedrawsOneLineOnATerminal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p := &Progress{out: &out, live: true, start: time.Now()}
	p.Show(strings.Repeat("long ", 40))
	p.Done()
	require.NotContains(t, out.String(), "\n")
	require.True(t, strings.HasSuffix(out.String(), clearLine))
	require.LessOrEqual(t, len([]rune(out.String())), maxLine+2+2*len(clearLine))
}

func TestWriteJSON_KeepsTextReadable(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, WriteJSON(&out, map[string]string{"expr": "a < b && c"}))
	require.Contains(t, out.String(), `"a < b && c"`)
}
