package simulate

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/flow/expr"
	"github.com/pocketflowgo/pocketflow/shared/flow/rawjson"
)

// Script is everything that comes to a task from outside. ReadScript reads one
// from YAML or JSON; a test may as well make one.
type Script struct {
	StartAt time.Time       // of the virtual clock; zero: DefaultStart
	Params  json.RawMessage // of the task, an object; nil: {}

	// Flows names the files of the flows that subflows refer to, by name or
	// id, "name@2" for one version alone. Run does not read them: its caller
	// does, into Config.Flows.
	Flows map[string]string

	// Answers are what executions are answered with, by node path: "B",
	// "each/2" for a branch or an item, "sub/a" for a node of a subflow. A "*"
	// stands for one whole segment. The pattern with the fewest of them that
	// fits and has an answer left is the one that counts; of two with equally
	// many, the one that is the same as the path for longer.
	//
	// Each path goes through the list by itself, one answer for each attempt
	// and visit.
	Answers map[string][]Answer

	Signals []Signal
	Cancel  *Moment
}

// DefaultStart is the virtual time at which a simulation starts.
var DefaultStart = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// Answer is how one execution ends.
type Answer struct {
	// Result is what the execution results in; nil is null. In a script it may
	// hold references to $input and $params, which is all that a worker sees.
	Result json.RawMessage
	Error  *Error // nil: it succeeds
	Final  bool   // of an error: no further attempt ("retryable": false)

	// After is how long the execution takes. Beyond the attempt's time-out, it
	// fails by that instead.
	After time.Duration

	// Times is how many executions in a row are answered so. 0 is one, and for
	// the last of a list all that follow.
	Times int
}

// Error is why an execution fails.
type Error struct {
	Code    string // "": worker_error; "timeout" is taken for a time-out
	Message string
}

// Signal is a value sent to the task.
type Signal struct {
	Moment
	Key       string
	Value     json.RawMessage // nil is null
	DecidedBy string          // of an approval
	Comment   string          // of an approval
}

// Moment is when something comes from outside: At after the task's start, or
// After the node When has begun a visit that is not over.
type Moment struct {
	At    time.Duration
	When  string // path of a node; "": At counts
	After time.Duration
}

func (m Moment) String() string {
	switch {
	case m.When == "":
		return fmt.Sprintf("at %s", m.At)
	case m.After == 0:
		return fmt.Sprintf("when %s begins", m.When)
	default:
		return fmt.Sprintf("%s after %s begins", m.After, m.When)
	}
}

// faults gathers what is wrong with a script.
type faults []errs.Fault

func (f *faults) add(path, code, format string, args ...any) {
	*f = append(*f, errs.Fault{Path: path, Code: code, Message: fmt.Sprintf(format, args...)})
}

// check finds what no type tells: what has no meaning, or two at once.
func (s *Script) check() faults {
	var f faults
	if !s.StartAt.IsZero() && (s.StartAt.Before(time.Unix(0, 0)) || s.StartAt.After(horizon)) {
		f.add("start_at", flow.CodeOutOfRange, "must be between 1970 and %d", horizon.Year())
	}
	if t := rawjson.TypeOf(s.Params); t != rawjson.Object && t != rawjson.Missing {
		f.add("params", flow.CodeWrongType, "must be an object, like the params of every task")
	}
	f = append(f, s.checkAnswers()...)
	for i := range s.Signals {
		signal, at := &s.Signals[i], fmt.Sprintf("signals[%d]", i)
		f.moment(signal.Moment, at)
		switch key := expr.JoinPath(at, "key"); {
		case signal.Key == "":
			f.add(key, flow.CodeMissing, "the signal has no key")
		case strings.HasPrefix(signal.Key, "_"):
			f.add(key, flow.CodeInvalidName, `must not begin with "_"`)
		}
		if len(signal.Value) > 0 && !json.Valid(signal.Value) {
			f.add(expr.JoinPath(at, "value"), flow.CodeMalformed, "is not JSON")
		}
	}
	if s.Cancel != nil {
		f.moment(*s.Cancel, "cancel")
	}
	return f
}

func (f *faults) moment(m Moment, path string) {
	f.duration(m.At, expr.JoinPath(path, "at_ms"))
	f.duration(m.After, expr.JoinPath(path, "after_ms"))
	switch {
	case m.When != "" && m.At != 0:
		f.add(path, flow.CodeConflict, "at_ms and when exclude each other: a time since the start, or a node that begins")
	case m.When == "" && m.After != 0:
		f.add(path, flow.CodeConflict, "after_ms counts from the node named by when; at_ms counts from the start")
	}
}

// longest keeps every sum of a virtual time and a duration of a script inside
// what can be counted.
const longest = 100 * 365 * 24 * time.Hour

func (f *faults) duration(d time.Duration, path string) {
	switch {
	case d < 0:
		f.add(path, flow.CodeNegative, "must not be negative")
	case d > longest:
		f.add(path, flow.CodeOutOfRange, "is more than a hundred years")
	}
}

// millis is a number of milliseconds as a duration; more than there can be
// becomes the most there can be, for check to find.
func millis(n int64) time.Duration {
	if n > math.MaxInt64/int64(time.Millisecond) {
		return math.MaxInt64
	}
	if n < 0 {
		return -1
	}
	return time.Duration(n) * time.Millisecond
}
