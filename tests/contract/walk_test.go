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
)

var shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")

// The walk through the API in the documentation is pasted by newcomers, so it
// is run here as they would.
func TestDocumentation_WalkWorksAsWritten(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"bash", "curl", "sed", "grep"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	page, err := os.ReadFile("../../docs/api.md")
	require.NoError(t, err)
	var script strings.Builder
	script.WriteString("set -euo pipefail\n")
	for _, block := range shellBlock.FindAllStringSubmatch(string(page), -1) {
		script.WriteString(block[1])
	}

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	shell := exec.CommandContext(ctx, "bash", "-c", script.String())
	shell.Env = append(os.Environ(), "POCKETFLOW_SERVER="+serve(t))
	output, err := shell.CombinedOutput()
	require.NoError(t, err, "%s", output)
	require.Contains(t, string(output), `"shared_json":"{\"area\":42}"`)
	require.Contains(t, string(output), `{"valid":false,"errors":[{"path":`)
	require.Contains(t, string(output), `"code":"invalid_definition"`)
	require.Contains(t, string(output), `"decided_by":"dora","comment":"Fine."`)
	require.Contains(t, string(output), `"shared_json":"{\"said\":\"HELLO\"}"`)
}
