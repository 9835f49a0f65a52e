package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/suite"
	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
)

const talkingFlow = `
start: talk
nodes:
  talk:
    kind: executor
    exec_type: local_script
    script: {language: sh, code: "printf 'one\\n\\033[2Jtwo' >&2; echo result"}
edges: [{from: talk, to: echo}]
`

func TestTaskLogs_ShowsWhatARunWrote(t *testing.T) {
	t.Parallel()
	call := serve(t, func(cfg *suite.Config) { cfg.Scheduler.ScriptAllow = []string{"sh"} })
	file := write(t, "talk.yaml", strings.Replace(talkingFlow, "edges:", "  echo: {kind: executor, exec_type: local_func, func: echo}\nedges:", 1))
	require.Equal(t, ExitOK, call("flow", "apply", "-f", file).exit)
	id := strings.TrimSpace(call("task", "start", "talk").out)
	require.Equal(t, ExitOK, call("task", "watch", id).exit)
	var runs []schedulerapi.Run
	require.NoError(t, json.Unmarshal([]byte(call("task", "runs", id, "-o", "json").out), &runs))
	require.Len(t, runs, 2)
	require.Contains(t, call("task", "runs", id).out, runs[0].ID)

	want := outcome{exit: ExitOK, out: "one\n [2Jtwo\n"}
	require.Equal(t, want, call("task", "logs", runs[0].ID), "without what would drive a terminal")
	require.Equal(t, want, call("task", "logs", runs[0].ID, "--follow"))
	for _, args := range [][]string{{}, {"--follow"}} {
		got := call(append([]string{"task", "logs", runs[0].ID, "-o", "json"}, args...)...)
		require.JSONEq(t, `{"content": "one\n\u001b[2Jtwo\n", "task_id": "`+id+`", "status": "ok"}`, got.out)
	}
	require.Equal(t, outcome{exit: ExitOK}, call("task", "logs", runs[1].ID, "--task", id), "it wrote nothing")
	require.Equal(t, ExitNotFound, call("task", "logs", runs[1].ID).exit)
	require.Equal(t, ExitNotFound, call("task", "logs", "run-none", "--task", id, "-f").exit)
}
