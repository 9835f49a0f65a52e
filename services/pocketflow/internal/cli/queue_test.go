package cli

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/suite"
	"github.com/pocketflowgo/pocketflow/shared/api/queueapi"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
)

const pulledFlow = `
start: pulled
nodes:
  pulled: {kind: executor, exec_type: queue, service: shell}
`

// bury starts a task whose job is fetched by a worker that never answers, and
// returns the job's id once it is dead.
func bury(t *testing.T, server string, call func(args ...string) outcome) string {
	t.Helper()
	require.Equal(t, ExitOK, call("flow", "apply", "-f", write(t, "pulled.yaml", pulledFlow)).exit)
	require.Equal(t, ExitOK, call("task", "start", "pulled").exit)
	client, err := queueapi.NewClient(server, httpx.NewHTTPClient())
	require.NoError(t, err)
	jobs, err := client.Poll(t.Context(), queueapi.PollParams{
		WorkerID: "mute", Services: []string{"shell"}, Wait: 10 * time.Second, Visibility: time.Second,
	})
	require.NoError(t, err)
	require.Len(t, jobs, 1)
	require.Eventually(t, func() bool {
		var dead httpx.List[queueapi.DeadJob]
		require.NoError(t, json.Unmarshal([]byte(call("queue", "dead", "-o", "json").out), &dead))
		return len(dead.Data) == 1 && dead.Data[0].ID == jobs[0].ID
	}, 20*time.Second, 20*time.Millisecond)
	return jobs[0].ID
}

func TestQueue_DeadJobsAreListedRequeuedAndDiscarded(t *testing.T) {
	t.Parallel()
	server, call := serveAt(t, func(cfg *suite.Config) { cfg.Queue.MaxDeliveries = 1 })
	id := bury(t, server, call)
	require.Regexp(t, `(?m)^JOB +SERVICE +TASK +NODE +DELIVERIES +LAST WORKER +DEAD SINCE$`, call("queue", "dead", "--service", "shell").out)
	require.Regexp(t, `(?m)^`+id+` +shell +task-\S+ +pulled +1 +mute +20\S+Z$`, call("queue", "dead").out)
	require.Regexp(t, `(?m)^shell +0 +0 +0 +1 +-$`, call("queue", "stats").out)

	got := call("queue", "requeue", id, "job-none")
	require.Equal(t, ExitNotFound, got.exit)
	require.Equal(t, "requeued "+id+"\n", got.out)
	require.Equal(t, "pocketflow: there is no job \"job-none\"\n", got.err)
	require.Regexp(t, `(?m)^shell +1 +0 +0 +0 +\S+m?s$`, call("queue", "stats").out)

	got = call("queue", "discard", id, id)
	require.Equal(t, ExitFailed, got.exit)
	require.Equal(t, 2, strings.Count(got.err, "waits for a worker or is with one"))
	got = call("queue", "discard", id, "-o", "json")
	require.JSONEq(t, `{"results":[{"queue_id":"`+id+`","code":"not_dead","error":"job \"`+id+`\" waits for a worker or is with one"}]}`, got.out)
}

func TestQueue_LimitsAreSetListedAndTakenAway(t *testing.T) {
	t.Parallel()
	call := serve(t)
	require.Equal(t, "set the limits of shell\n", call("queue", "limits", "shell", "--max-claimed=3", "--rate=2.5").out)
	require.Equal(t, "SERVICE  MAX CLAIMED  RATE PER SECOND  BURST\nshell    3            2.5              3\n", call("queue", "limits").out)
	require.Equal(t, ExitOK, call("queue", "limits", "shell", "--none").exit)
	require.JSONEq(t, `[]`, call("queue", "limits", "-o", "json").out)

	for _, args := range [][]string{{"--none"}, {"--rate=1"}, {"shell"}, {"shell", "--none", "--rate=1"}, {"shell", "--max-claimed=-1"}, {"shell", "--burst=2"}} {
		require.Equal(t, ExitUsage, call(append([]string{"queue", "limits"}, args...)...).exit, args)
	}
}

func TestHelp_TellsHowToLimit(t *testing.T) {
	t.Parallel()
	got := run(t, "queue", "limits", "--help")
	require.Equal(t, ExitOK, got.exit)
	golden(t, "help_queue_limits", got.out)
}
