package contract

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	demoworker "github.com/pocketflowgo/pocketflow/services/demo-worker"
	"github.com/pocketflowgo/pocketflow/shared/worker"
)

var shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")

// The walks through the API in the documentation are pasted by newcomers, so
// they are run here as they would.
func runPage(t *testing.T, page, server string) string {
	t.Helper()
	for _, tool := range []string{"bash", "curl", "sed", "grep"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	text, err := os.ReadFile("../../docs/" + page)
	require.NoError(t, err)
	var script strings.Builder
	script.WriteString("set -euo pipefail\n")
	for _, block := range shellBlock.FindAllStringSubmatch(string(text), -1) {
		script.WriteString(block[1])
	}

	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	shell := exec.CommandContext(ctx, "bash", "-c", script.String())
	shell.Env = append(os.Environ(), "POCKETFLOW_SERVER="+server)
	output, err := shell.CombinedOutput()
	require.NoError(t, err, "%s", output)
	return string(output)
}

func TestDocumentation_WalkWorksAsWritten(t *testing.T) {
	t.Parallel()
	output := runPage(t, "api.md", serve(t))
	require.Contains(t, output, `"shared_json":"{\"area\":42}"`)
	require.Contains(t, output, `{"valid":false,"errors":[{"path":`)
	require.Contains(t, output, `"code":"invalid_definition"`)
	require.Contains(t, output, `"decided_by":"dora","comment":"Fine."`)
	require.Contains(t, output, `"shared_json":"{\"said\":\"HELLO\"}"`)
}

func TestDocumentation_WorkersPageWorksAsWritten(t *testing.T) {
	t.Parallel()
	server := serve(t)
	push, err := demoworker.New(demoworker.Config{ID: "demo", Mode: worker.Push, Addr: "127.0.0.1:0", Base: server}, demoworker.Deps{})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	var running errgroup.Group
	running.Go(func() error { return push.Run(ctx) })
	t.Cleanup(func() {
		stop()
		require.NoError(t, running.Wait())
	})

	output := runPage(t, "workers.md", server)
	for _, want := range []string{
		`{"result":"HELLO","error":""}`, // of the push worker
		`"id":"shell-1","url":"queue","services":["shout"]`,
		`"input_json":"{\"input\":\"hello\"`,
		`"status":"running"`,
		`{"content":"read the text\ntook a deep breath\n"`,
		`{"queue_id":"job-unknown","code":"not_found","error":"there is no job \"job-unknown\""}`,
		`"code":"task_ended"`,
		`"code":"claim_lost"`,
		`"service":"shout","max_claimed":10,"rate_per_second":2.5,"burst":5`,
		`"code":"not_dead"`,
	} {
		require.Contains(t, output, want)
	}
}
