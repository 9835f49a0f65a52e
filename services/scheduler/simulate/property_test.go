package simulate

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// Whatever is answered, sent and canceled, and whenever: a simulation ends with
// its task or says why not, in the same way each time, and a task that ended
// has left nothing open.
func TestRun_EndsOrSaysWhyNot(t *testing.T) {
	t.Parallel()
	def := defined(t, everything)
	rapid.Check(t, func(rt *rapid.T) {
		script := anyScript(rt)
		require.Empty(rt, script.check())
		run := func() *Trace {
			trace, err := Run(t.Context(), Config{Definition: def, Script: script})
			require.NoError(rt, err)
			return trace
		}
		trace := run()
		require.Equal(rt, trace, run())
		require.NotEqual(rt, trace.Status.Terminal(), trace.Stopped != nil)
		before := Offset(0)
		for _, step := range trace.Steps {
			require.GreaterOrEqual(rt, step.At, before)
			before = step.At
		}
		for i, run := range trace.Runs {
			require.Equal(rt, i+1, run.No)
			open := run.Status == storage.RunRunning || run.Status == storage.RunQueued
			require.Equal(rt, open, run.FinishedAt.IsZero())
			require.False(rt, open && trace.Status.Terminal(), "%s is open", run.Path)
		}
	})
}

var paths = []string{"first", "pause", "fan", "fan/0", "fan/1", "fan/2", "each", "each/0", "each/2", "sub", "sub/ask", "sub/in", "wait", "none"}

func anyScript(t *rapid.T) *Script {
	s := &Script{Answers: map[string][]Answer{}}
	if rapid.IntRange(0, 3).Draw(t, "answered") > 0 {
		s.Answers["*"], s.Answers["*/*"] = []Answer{{}}, []Answer{{Result: raw(`"$input"`)}}
	}
	for i := range rapid.IntRange(0, 5).Draw(t, "answers") {
		path := rapid.SampledFrom(paths).Draw(t, fmt.Sprintf("path %d", i))
		s.Answers[path] = rapid.SliceOfN(rapid.Custom(anyAnswer), 1, 3).Draw(t, "list")
	}
	s.Signals = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Signal {
		return Signal{
			Moment: anyMoment(t), Key: rapid.SampledFrom([]string{"ok", "go", "first"}).Draw(t, "key"),
			Value: raw(rapid.SampledFrom([]string{`true`, `false`, `null`, `"approved"`, `{"a": [1]}`}).Draw(t, "value")),
		}
	}), 0, 6).Draw(t, "signals")
	if rapid.IntRange(0, 3).Draw(t, "canceled") == 0 {
		moment := anyMoment(t)
		s.Cancel = &moment
	}
	return s
}

func anyAnswer(t *rapid.T) Answer {
	a := Answer{After: anyDuration(t), Times: rapid.IntRange(0, 2).Draw(t, "times")}
	switch rapid.IntRange(0, 2).Draw(t, "ends") {
	case 0:
		a.Error = &Error{Message: "no", Code: rapid.SampledFrom([]string{"", "timeout"}).Draw(t, "code")}
		a.Final = rapid.Bool().Draw(t, "final")
	default:
		a.Result = raw(rapid.SampledFrom([]string{`1`, `[1, 2]`, `"$params.index"`}).Draw(t, "result"))
	}
	return a
}

func anyMoment(t *rapid.T) Moment {
	if rapid.Bool().Draw(t, "timed") {
		return Moment{At: anyDuration(t)}
	}
	return Moment{When: rapid.SampledFrom(paths).Draw(t, "when"), After: anyDuration(t)}
}

func anyDuration(t *rapid.T) time.Duration {
	return time.Duration(rapid.SampledFrom([]int{0, 0, 1, 10, 500, 1000, 1010, 30_000, 40_000}).Draw(t, "ms")) * time.Millisecond
}
