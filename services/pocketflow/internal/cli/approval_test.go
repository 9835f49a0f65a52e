package cli

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
)

const spendFlow = `
start: review
nodes:
  review: {kind: approval, approval_key: verdict, prep: {input_map: {amount: $params.amount, note: $shared.note}}}
edges:
  - {from: review, action: approved, to: ""}
  - {from: review, action: rejected, to: ""}
  - {from: review, action: again, to: review}
`

// waitsForDecision starts a task and returns its id once it asks for one.
func waitsForDecision(t *testing.T, call func(args ...string) outcome) string {
	t.Helper()
	require.Equal(t, ExitOK, call("flow", "apply", "-f", write(t, "spend.yaml", spendFlow)).exit)
	id := strings.TrimSpace(call("task", "start", "spend", "--params", `{"amount": 12.50}`).out)
	require.Eventually(t, func() bool { return len(approvals(t, call).Data) == 1 }, 10*time.Second, 10*time.Millisecond)
	return id
}

func approvals(t *testing.T, call func(args ...string) outcome) (list httpx.List[schedulerapi.Approval]) {
	t.Helper()
	got := call("approval", "list", "--flow", "spend", "-o", "json")
	require.Equal(t, ExitOK, got.exit, got.err)
	require.NoError(t, json.Unmarshal([]byte(got.out), &list))
	return list
}

func TestHelp_TellsHowToDecide(t *testing.T) {
	t.Parallel()
	got := run(t, "approval", "decide", "--help")
	require.Equal(t, ExitOK, got.exit)
	golden(t, "help_approval_decide", got.out)
}

func TestApproval_IsShownAndDecided(t *testing.T) {
	t.Parallel()
	call := serve(t)
	id := waitsForDecision(t, call)
	require.Regexp(t, `(?m)^`+id+` +spend +review +20\S+Z +- +\{"amount":12\.50,"note":null\}$`, call("approval", "list").out)

	got := call("approval", "decide", id, "again", "--by", "dora")
	require.Equal(t, ExitOK, got.exit, got.err)
	require.Equal(t, "decided "+id+": again\n", got.out)
	require.Regexp(t, `^Flow +spend, version 1\nNode +review\nAsked +20\S+Z\nInput +\{"amount":12\.50,"note":null\}\n$`, got.err)

	got = call("approval", "decide", id, "true", "--by", "dora", "--comment", "Fine.", "-o", "json")
	require.Equal(t, ExitOK, got.exit, got.err)
	require.JSONEq(t, `{"ok": "1"}`, got.out)
	require.Equal(t, ExitOK, call("task", "watch", id).exit)
	var runs []schedulerapi.Run
	require.NoError(t, json.Unmarshal([]byte(call("task", "runs", id, "-o", "json").out), &runs))
	require.Equal(t, []string{"again", "approved"}, []string{runs[0].Action, runs[1].Action})
	require.Equal(t, []string{"dora", "Fine."}, []string{runs[1].DecidedBy, runs[1].Comment})

	got = call("approval", "decide", id, "true")
	require.Equal(t, ExitFailed, got.exit)
	require.Equal(t, "pocketflow: the task "+id+" does not wait for a decision\n", got.err)
	require.Equal(t, ExitNotFound, call("approval", "decide", "task-none", "true").exit)
	require.Equal(t, ExitUsage, call("approval", "decide", id, "").exit)
}

func TestApproval_OnAnOldDigestIsRefused(t *testing.T) {
	t.Parallel()
	call := serve(t)
	id := waitsForDecision(t, call)
	seen := approvals(t, call).Data[0].Digest
	require.Equal(t, ExitOK, call("task", "signal", id, "note", `"urgent"`).exit)
	got := call("approval", "decide", id, "false", "--digest", seen)
	require.Equal(t, ExitFailed, got.exit)
	require.Contains(t, got.err, "something else than was shown")
	require.Empty(t, got.out)

	got = call("approval", "decide", id, "false", "--digest", approvals(t, call).Data[0].Digest)
	require.Equal(t, outcome{exit: ExitOK, out: "decided " + id + ": false\n"}, got)
	require.Empty(t, approvals(t, call).Data)
}
