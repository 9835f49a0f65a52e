package examples

import (
	"fmt"
	"strings"

	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
)

// RunText is how examples/expected writes a run: its path; its visit and attempt
// unless they are the first; its status; why it failed, or what was passed over;
// and the action that it ended with.
//
//	multiply attempt 2 error func_error
//	assess ok -> review
func RunText(run schedulerapi.Run) string {
	var out strings.Builder
	out.WriteString(run.Path)
	if run.Visit > 1 {
		fmt.Fprintf(&out, " visit %d", run.Visit)
	}
	if run.AttemptNo > 1 {
		fmt.Fprintf(&out, " attempt %d", run.AttemptNo)
	}
	out.WriteString(" " + run.Status)
	if run.ErrorCode != "" && run.ErrorCode != run.Status {
		out.WriteString(" " + run.ErrorCode)
	}
	if run.Action != "" {
		out.WriteString(" -> " + run.Action)
	}
	return out.String()
}
