package flow

import (
	"fmt"
	"strings"

	"github.com/pocketflowgo/pocketflow/shared/errs"
	"github.com/pocketflowgo/pocketflow/shared/flow/expr"
)

// The codes of faults. They are part of the API.
const (
	CodeMalformed       = "malformed" // the text is not JSON, or not YAML
	CodeTooLarge        = "too_large"
	CodeTooManyNodes    = "too_many_nodes"
	CodeTooDeep         = "too_deep"
	CodeTooManyFaults   = "too_many_faults" // the report ends here
	CodeUnknownField    = "unknown_field"
	CodeDuplicateKey    = "duplicate_key"
	CodeWrongType       = "wrong_type"
	CodeOutOfRange      = "out_of_range"
	CodeNegative        = "negative"
	CodeMissing         = "missing"
	CodeConflict        = "conflict" // two settings that exclude each other
	CodeBadKey          = "bad_key"
	CodeInvalidName     = "invalid_name" // too long, or with control characters
	CodeUnknownKind     = "unknown_kind"
	CodeUnknownExecType = "unknown_exec_type"
	CodeUnknownStrategy = "unknown_failure_strategy"
	CodeUnknownMode     = "unknown_parallel_mode"
	CodeUnknownValue    = "unknown_value" // of another enum
	CodeUnknownNode     = "unknown_node"
	CodeDuplicateEdge   = "duplicate_edge"
	CodeMissingTarget   = "missing_target" // no service, func or script to execute

	CodeBadReference    = expr.BadReference
	CodeBadExpression   = expr.BadExpression
	CodeUnknownOperator = expr.UnknownOperator
)

// The codes of warnings.
const (
	CodeUnreachable   = "unreachable_node"
	CodeUnusedAction  = "unused_action"  // an action that no edge takes
	CodeDeadEnd       = "dead_end"       // a node with edges, none of which it can take
	CodeBusyLoop      = "busy_loop"      // a loop with no wait in it
	CodeUnusedSetting = "unused_setting" // a setting that does nothing where it is
	CodeNoRetries     = "no_retries"     // failure_strategy retry without max_retries
	CodeDottedKey     = "dotted_key"     // a key that needs ["…"] to be read back
	CodeNoSignal      = "no_signal"      // a wait for what no signal can be sent for
	CodeInputInPrep   = "input_in_prep"  // $input where the input is only being made
)

// maxFaults bounds a report. Nobody reads more, and a definition made of
// faults must not answer with many times its own size.
const maxFaults = 1000

// faultList collects faults in the order they are found.
type faultList struct {
	faults []errs.Fault
}

func (l *faultList) add(path, code, format string, args ...any) {
	l.append(errs.Fault{Path: path, Code: code, Message: fmt.Sprintf(format, args...)})
}

func (l *faultList) append(f errs.Fault) {
	switch n := len(l.faults); {
	case n < maxFaults:
		l.faults = append(l.faults, f)
	case n == maxFaults:
		l.faults = append(l.faults, errs.Fault{
			Code: CodeTooManyFaults, Message: fmt.Sprintf("more than %d faults; the rest is not listed", maxFaults),
		})
	}
}

// under adds faults whose paths are relative to the given one.
func (l *faultList) under(path string, faults []errs.Fault) {
	for _, f := range faults {
		f.Path = expr.Rebase(path, f.Path)
		l.append(f)
	}
}

// mostNames is how many known names a hint is looked for among; a definition
// may have thousands of node keys.
const mostNames = 100

// hint is ` (did you mean "x"?)` for the known name nearest to an unknown one,
// or "". It gives up early wherever a hostile definition could make it slow.
func hint[S ~string](l *faultList, unknown string, known []S) string {
	const (
		farthest = 2 // edits; more is no longer a slip of the finger
		shortest = 3
		longest  = 32
	)
	if len(l.faults) >= maxFaults || len(known) > mostNames || len(unknown) < shortest || len(unknown) > longest {
		return ""
	}
	best, least := "", farthest+1
	for _, name := range known {
		if diff := len(name) - len(unknown); diff > farthest || diff < -farthest {
			continue
		}
		if d := editDistance(strings.ToLower(unknown), string(name)); d < least {
			best, least = string(name), d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

// editDistance is Levenshtein's, on bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j]+1, row[j+1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
