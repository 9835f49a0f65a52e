//go:build unix

package operations

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

const page = "../../docs/operations.md"

var shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")

// sections are the page's texts by heading.
func sections(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	all := map[string]string{}
	title := ""
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "##") {
			title = strings.TrimSpace(strings.TrimLeft(line, "#"))
		}
		all[title] += line
	}
	return all
}

// blocks are the commands of a section.
func blocks(t *testing.T, title string) string {
	t.Helper()
	var script strings.Builder
	for _, block := range shellBlock.FindAllStringSubmatch(sections(t)[title], -1) {
		script.WriteString(block[1])
	}
	require.NotEmpty(t, script.String(), "%s has no section %q with commands", page, title)
	return script.String()
}

// shell is where the page's commands run.
type shell struct {
	dir      string
	env      []string
	replaced []string // pairs of what stands on the page and what it is here
	before   string   // commands in front of the page's
}

// machine stands in for systemd: the unit pocketflow is a process of the
// script's, which ends with it.
const machine = `
systemctl() {
  case $1 in
  stop) kill "$unit" && wait "$unit" || true; unit= ;;
  start)
    pocketflow serve 2>>log & unit=$!
    until pocketflow healthcheck 2>>probes; do kill -0 "$unit"; sleep 0.05; done ;;
  esac
}
trap '[ -z "$unit" ] || kill "$unit"' EXIT
systemctl start pocketflow
`

// runBlocks runs commands of the page as a person at a shell would, and ends at
// the first that fails.
func runBlocks(t *testing.T, s shell, script string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), commandTimeout)
	defer cancel()
	script = strings.NewReplacer(s.replaced...).Replace(script)
	command := exec.CommandContext(ctx, "bash", "-c", "set -euo pipefail\n"+s.before+script)
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 10 * time.Second
	command.Dir = s.dir
	command.Env = append([]string{"PATH=" + suitetest.BinDir(t) + ":" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, s.env...)
	output, err := command.CombinedOutput()
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
		require.NoError(t, err, "%s\n%s", output, log)
	}
	return string(output)
}

// onMachine is a shell on a machine that runs pocketflow as a unit.
func onMachine(t *testing.T) shell {
	t.Helper()
	for _, tool := range []string{"bash", "curl", "sed", "grep"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	dir, addr, admin := t.TempDir(), suitetest.Addr(t), suitetest.Addr(t)
	data := filepath.Join(dir, "lib", "pocketflow")
	require.NoError(t, os.MkdirAll(data, 0o700))
	_, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	return shell{
		dir: dir, before: "unit=\n" + machine,
		env: []string{
			"POCKETFLOW_SERVER=http://" + addr, "POCKETFLOW_ADDR=" + addr, "POCKETFLOW_DATA=" + data, "ADMIN_ADDR=" + admin,
		},
		replaced: []string{
			"/var/lib/pocketflow", data, "/var/backups", filepath.Join(dir, "backups"),
			"127.0.0.1:8070", "127.0.0.1:" + port, "127.0.0.1:8079", admin,
		},
	}
}

func TestPage_BackUpAndRestoreOfSQLite(t *testing.T) {
	t.Parallel()
	s := onMachine(t)
	flow := filepath.Join(s.dir, "wait.yaml")
	require.NoError(t, os.WriteFile(flow, []byte("start: w\nnodes: {w: {kind: timer, delay_ms: 600000}}\n"), 0o600))
	s.before += "pocketflow flow apply -f wait.yaml\npocketflow task start wait\n"
	output := runBlocks(t, s, blocks(t, "SQLite: back up")+
		"pocketflow task start wait\npocketflow task start wait\n"+
		"echo before: $(pocketflow task list -o json | grep -c '\"status\": \"waiting\"')\n"+
		blocks(t, "SQLite: restore")+
		"echo after: $(pocketflow task list -o json | grep -c '\"status\": \"waiting\"')\n")
	require.Contains(t, output, "services could not write for")
	require.Contains(t, output, "before: 3\n")
	require.Contains(t, output, "after: 1\n", "the tasks since the backup are gone")
}

// Whoever adds commands to another section has them run here.
func TestPage_HasCommandsOnlyWhereTheyAreRun(t *testing.T) {
	t.Parallel()
	var with []string
	for title, text := range sections(t) {
		if shellBlock.MatchString(text) {
			with = append(with, title)
		}
	}
	require.ElementsMatch(t, []string{
		"SQLite: back up", "SQLite: restore", "Postgres: back up", "Postgres: restore", "Look", "The queue is stuck", "Dead jobs",
	}, with)
}

var link = regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)

func TestPage_LinksToWhatIsThere(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	for _, found := range link.FindAllStringSubmatch(string(text), -1) {
		_, err := os.Stat(filepath.Join(filepath.Dir(page), found[1]))
		require.NoError(t, err, found[0])
	}
}

func TestPage_LooksAndTools(t *testing.T) {
	t.Parallel()
	s := onMachine(t)
	output := runBlocks(t, s, blocks(t, "Look")+blocks(t, "The queue is stuck")+blocks(t, "Dead jobs"))
	require.Contains(t, output, `{"level":"debug"}`)
	require.Contains(t, output, "pocketflow_scheduler_tasks_in_flight 0")
	require.Contains(t, output, "goroutine")
	require.Contains(t, output, "SERVICE  READY  DELAYED  CLAIMED  DEAD")
}
