package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/remote"
	"github.com/pocketflowgo/pocketflow/services/pocketflow/internal/suite"
	"github.com/pocketflowgo/pocketflow/shared/api/catalogapi"
	"github.com/pocketflowgo/pocketflow/shared/api/registryapi"
	"github.com/pocketflowgo/pocketflow/shared/flow"
	"github.com/pocketflowgo/pocketflow/shared/httpx"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestMain takes away what the environment would decide: the settings that the
// flags read from it, and the width of help.
func TestMain(m *testing.M) {
	names := []string{"COLUMNS"}
	parser, err := newParser(&grammar{}, Streams{Out: io.Discard, Err: io.Discard}, func(int) {})
	if err != nil {
		panic(err)
	}
	err = kong.Visit(parser.Model, func(node kong.Visitable, next kong.Next) error {
		if n, ok := node.(*kong.Node); ok {
			for _, one := range n.Flags {
				names = append(names, one.Envs...)
			}
		}
		return next(nil)
	})
	if err != nil {
		panic(err)
	}
	for _, name := range names {
		if err := os.Unsetenv(name); err != nil {
			panic(err)
		}
	}
	m.Run()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "run the test with -update when this is meant")
}

type outcome struct {
	exit     Exit
	out, err string
}

func run(t *testing.T, args ...string) outcome {
	t.Helper()
	var out, errs bytes.Buffer
	exit := Main(t.Context(), args, Streams{Out: &out, Err: &errs})
	return outcome{exit: exit, out: out.String(), err: errs.String()}
}

// serve runs a suite, with changes to its settings, and returns a caller of
// commands against it.
func serve(t *testing.T, changes ...func(*suite.Config)) func(args ...string) outcome {
	t.Helper()
	_, call := serveAt(t, changes...)
	return call
}

// serveAt is serve, and the server's address.
func serveAt(t *testing.T, changes ...func(*suite.Config)) (url string, call func(args ...string) outcome) {
	t.Helper()
	cfg, err := suite.Throwaway(t.TempDir())
	require.NoError(t, err)
	for _, change := range changes {
		change(&cfg)
	}
	services, err := suite.New(t.Context(), cfg, suite.Deps{Log: zap.NewNop()})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- services.Run(ctx) }()
	server := httptest.NewServer(services.Handler())
	t.Cleanup(func() {
		stop()
		server.Close()
		require.NoError(t, <-done)
		require.NoError(t, services.Close())
	})
	return server.URL, func(args ...string) outcome { return run(t, append(args, "--server", server.URL)...) }
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

const echoFlow = `
start: echo
nodes:
  echo: {kind: executor, exec_type: local_func, func: echo, prep: {input_key: $params.say}, post: {output_key: said}}
`

func TestHelp_TellsCommandsAndExitCodes(t *testing.T) {
	t.Parallel()
	got := run(t, "--help")
	require.Equal(t, ExitOK, got.exit)
	golden(t, "help", got.out)
	got = run(t, "task", "start", "--help")
	require.Equal(t, ExitOK, got.exit)
	golden(t, "help_task_start", got.out)
	got = run(t, "flow", "validate", "--help")
	require.Equal(t, ExitOK, got.exit)
	golden(t, "help_flow_validate", got.out)
}

func TestUsage_IsExit2AndOneClearLine(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{}, {"--nope"}, {"task"}, {"task", "start"}, {"serve", "--nope"}, {"worker", "list", "--output", "xml"},
		{"worker", "list", "--server", "localhost"}, {"task", "start", "f", "--params", "{"},
		{"flow", "apply", "--name", "x", "-f", "a", "-f", "b"}, {"migrate", "up", "--service", "nope"},
		{"serve", "--registry-ttl", "-1s"},
	} {
		got := run(t, args...)
		require.Equal(t, ExitUsage, got.exit, "%v: %s", args, got.err)
		require.True(t, strings.HasPrefix(got.err, "pocketflow: "), "%v: %s", args, got.err)
		require.Empty(t, got.out, args)
	}
}

func TestServer_ThatIsAwayIsExit6(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(nil)
	gone.Close()
	got := run(t, "flow", "list", "--server", gone.URL)
	require.Equal(t, ExitUnreachable, got.exit)
	require.Contains(t, got.err, gone.URL+" cannot be reached: ")
	require.Contains(t, got.err, "connection refused")
}

func TestFlowApply_PublishesOnlyWhatChanged(t *testing.T) {
	t.Parallel()
	call := serve(t)
	file := write(t, "say.yaml", echoFlow)

	got := call("flow", "apply", "-f", file)
	require.Equal(t, ExitOK, got.exit, got.err)
	require.Regexp(t, `say +1 +created `, got.out)
	got = call("flow", "apply", "-f", file)
	require.Regexp(t, `say +1 +unchanged `, got.out)
	got = call("flow", "apply", "--name", "say", "-f", write(t, "other.yaml", echoFlow+"timeout_ms: 5000\n"))
	require.Regexp(t, `say +2 +published `, got.out)
	// An older definition is a change again.
	got = call("flow", "apply", "-f", file)
	require.Regexp(t, `say +3 +published `, got.out)

	got = call("flow", "get", "say")
	require.Len(t, strings.Split(strings.TrimSpace(got.out), "\n"), 4, got.out)
	got = call("flow", "get", "say", "--version", "2")
	require.Contains(t, got.out, `"timeout_ms": 5000`)
	require.Equal(t, ExitNotFound, call("flow", "get", "say", "--version", "9").exit)
	require.Equal(t, ExitNotFound, call("flow", "get", "whisper").exit)
}

func TestFlowApply_ChecksAllFilesBeforePublishingAny(t *testing.T) {
	t.Parallel()
	call := serve(t)
	bad := write(t, "bad.json", `{"start": "x", "nodes": {"a": {"kind": "exec"}}}`)
	got := call("flow", "apply", "-f", write(t, "say.yaml", echoFlow), "-f", bad)
	require.Equal(t, ExitFailed, got.exit)
	require.Contains(t, got.err, bad+": 2 faults\n")
	require.Contains(t, got.err, "  nodes.a.kind: unknown kind \"exec\" (unknown_kind)\n")
	require.Contains(t, got.err, "  start: unknown node \"x\" (unknown_node)\n")
	require.JSONEq(t, `{"data": [], "total": 0, "page": 1, "size": 20}`, call("flow", "list", "-o", "json").out)
}

func TestFlowValidate_NeedsNoServer(t *testing.T) {
	t.Parallel()
	good, bad := write(t, "good.yaml", echoFlow), write(t, "bad.yaml", "start: [")
	got := run(t, "flow", "validate", "-f", good)
	require.Equal(t, outcome{exit: ExitOK, out: good + ": valid\n"}, got)
	got = run(t, "flow", "validate", "-f", good, "-f", bad, "-o", "json")
	require.Equal(t, ExitFailed, got.exit)
	var all []checked
	require.NoError(t, json.Unmarshal([]byte(got.out), &all))
	require.Len(t, all, 2)
	require.Equal(t, checked{File: good, ValidationReport: catalogapi.NewValidationReport(flow.Report{})}, all[0], "lists are empty, not null")
	require.False(t, all[1].Valid)
	require.Equal(t, flow.CodeMalformed, all[1].Errors[0].Code)
	got = run(t, "flow", "validate", "-f", "nowhere.yaml")
	require.Equal(t, "pocketflow: nowhere.yaml: no such file or directory\n", got.err)
}

func TestFlowValidate_RemoteReportsTheSameAndPublishesNothing(t *testing.T) {
	t.Parallel()
	call := serve(t)
	args := []string{"flow", "validate", "-o", "json"}
	for name, text := range map[string]string{
		"good.yaml": echoFlow, "warned.yaml": echoFlow + "  lost: {kind: executor, service: s}\n",
		"faults.json": `{"start": "x", "nodes": {"a": {"kind": "exec"}}}`, "yaml.json": echoFlow, "cut.yaml": "start: [",
		"empty.yaml": "", "empty.json": "", "latin.yaml": "start: \xe9\n", "nul.yaml": "start: \x00\n", "nul.json": "{\x00}",
	} {
		args = append(args, "-f", write(t, name, text))
	}
	here, there := run(t, args...), call(append(args, "--remote")...)
	require.Equal(t, ExitFailed, here.exit)
	require.Equal(t, here, there)

	require.JSONEq(t, `{"data": [], "total": 0, "page": 1, "size": 20}`, call("flow", "list", "-o", "json").out)
}

func TestFlowValidate_RemoteCountsTheOperatorsLimits(t *testing.T) {
	t.Parallel()
	call := serve(t, func(cfg *suite.Config) { cfg.Catalog.MaxNodes, cfg.Catalog.MaxDefinitionBytes = 1, 2<<20 })
	two := write(t, "two.yaml", echoFlow+"  other: {kind: executor, service: s}\n")
	require.Equal(t, ExitOK, call("flow", "validate", "-f", two).exit)
	got := call("flow", "validate", "-f", two, "--remote")
	require.Equal(t, ExitFailed, got.exit)
	require.Contains(t, got.err, two+": 1 fault\n")
	require.Contains(t, got.err, "(too_many_nodes)\n")

	large := write(t, "large.yaml", echoFlow+"# "+strings.Repeat("x", 1<<20))
	require.Equal(t, ExitFailed, call("flow", "validate", "-f", large).exit)
	got = call("flow", "validate", "-f", large, "--remote")
	require.Equal(t, outcome{exit: ExitOK, out: large + ": valid\n"}, got)
}

func TestFlowValidate_RemoteNeedsTheServer(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(nil)
	gone.Close()
	got := run(t, "flow", "validate", "--remote", "-f", write(t, "say.yaml", echoFlow), "--server", gone.URL)
	require.Equal(t, ExitUnreachable, got.exit)
	require.Empty(t, got.out)
}

func TestTask_LifeThroughTheCommands(t *testing.T) {
	t.Parallel()
	call := serve(t)
	require.Equal(t, ExitOK, call("flow", "apply", "-f", write(t, "say.yaml", echoFlow)).exit)

	got := call("task", "start", "say", "--wait", "--params", `{"say": "hi\u001b[2J"}`)
	require.Equal(t, ExitOK, got.exit, got.err)
	require.Regexp(t, `(?m)^Status +completed$`, got.out)
	require.Contains(t, got.err, "say: completed\n")
	require.NotContains(t, got.out, "\x1b")

	got = call("task", "start", "say", "--params", "@"+write(t, "params.json", `{"say": 12345678901234567890}`), "--request-id", "once")
	require.Equal(t, ExitOK, got.exit, got.err)
	id := strings.TrimSpace(got.out)
	again := call("task", "start", "say", "--params", `{"say":12345678901234567890}`, "--request-id", "once")
	require.Equal(t, got, again, "the same request id is the same task")
	require.Equal(t, ExitOK, call("task", "watch", id).exit)
	require.Contains(t, call("task", "get", id).out, `{"said":12345678901234567890}`)
	require.Regexp(t, `(?m)^echo +1 +ok `, call("task", "runs", id).out)
	require.Contains(t, call("task", "list", "--flow", "say", "--status", "completed").out, id)

	got = call("task", "signal", id, "key", "1")
	require.Equal(t, ExitFailed, got.exit)
	require.Contains(t, got.err, "has ended")
	require.Equal(t, ExitNotFound, call("task", "get", "task-none").exit)
	got = call("task", "list", "--status", "nope", "--page-size", "5000")
	require.Equal(t, ExitUsage, got.exit)
	require.Contains(t, got.err, "pocketflow: 2 faults (invalid_argument)\n  page_size: ")
}

func TestTask_EndIsTheExitCode(t *testing.T) {
	t.Parallel()
	call := serve(t)
	failing := strings.Replace(echoFlow, "func: echo", "func: mul", 1)
	stuck := strings.Replace(failing, "kind: executor", "kind: executor, max_retries: 1, wait_ms: 3600000", 1)
	require.Equal(t, ExitOK, call("flow", "apply", "-f", write(t, "failing.yaml", failing), "-f", write(t, "stuck.yaml", stuck)).exit)

	got := call("task", "start", "failing", "--wait")
	require.Equal(t, ExitTaskFailed, got.exit)
	require.Contains(t, got.err, "failed at node echo: mul takes")

	id := strings.TrimSpace(call("task", "start", "stuck").out)
	require.Equal(t, ExitOK, call("task", "cancel", id).exit)
	got = call("task", "watch", id)
	require.Equal(t, ExitTaskCanceled, got.exit)
	require.Contains(t, got.err, "task "+id+" canceled\n")
}

func TestDemo_RunsAndVerifiesItself(t *testing.T) {
	t.Parallel()
	got := run(t, "demo")
	require.Equal(t, ExitOK, got.exit, got.err)
	require.Contains(t, got.out, "All 7 tasks ended as expected")
	require.Contains(t, got.out, `{"result":"HELLO"}`)
	require.Contains(t, got.out, `{"result":"hello"}`)
}

func TestDemo_TellsWhatIsWrongAndExits1(t *testing.T) {
	t.Parallel()
	call := serve(t)
	liar := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"result": {"action": "goB"}}`)
	}))
	defer liar.Close()
	srv, err := remote.Connect(serverOf(t, call), httpx.NewHTTPClient())
	require.NoError(t, err)
	require.NoError(t, srv.Workers.Register(t.Context(), registryapi.RegisterRequest{
		ID: "liar", URL: liar.URL, Services: []string{"route", "transform", "sum"},
	}))
	require.Regexp(t, `liar +online +http +route,.* `+liar.URL, call("worker", "list").out)

	got := call("demo")
	require.Equal(t, ExitFailed, got.exit)
	require.Contains(t, got.out, `WRONG: shared.result is {"action":"goB"}, not "HELLO"`)
	require.Contains(t, got.out, "WRONG: it went through [decide ok, B ok], not [decide ok, C ok]")
	require.Contains(t, got.err, "of 7 tasks did not end as expected\n")
}

// serverOf is the address that calls go to.
func serverOf(t *testing.T, call func(args ...string) outcome) string {
	t.Helper()
	var settings []setting
	require.NoError(t, json.Unmarshal([]byte(call("config", "-o", "json").out), &settings))
	require.Equal(t, "server", settings[0].Name)
	return settings[0].Value
}

func TestHealthcheck_TellsReadiness(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	require.Equal(t, outcome{exit: ExitOK}, run(t, "healthcheck", "--server", server.URL))
	server.Close()
	require.Equal(t, ExitUnreachable, run(t, "healthcheck", "--server", server.URL).exit)
}

func TestMigrate_GoesUpAndDownAndTells(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, step := range []struct {
		args    []string
		version string
	}{
		{[]string{"status"}, "0 +1 +older +1 init"}, {[]string{"up"}, "1 +1 +current +-"}, {[]string{"status"}, "1 +1 +current +-"},
		{[]string{"down", "--service", "registry"}, "0 +1 +older +1 init"}, {[]string{"up", "--service", "registry"}, "1 +1 +current +-"},
	} {
		got := run(t, append([]string{"migrate", "--data", dir}, step.args...)...)
		require.Equal(t, ExitOK, got.exit, got.err)
		require.Regexp(t, `(?m)^registry +`+step.version+` +sqlite://`, got.out, step.args)
	}
	got := run(t, "migrate", "up", "--catalog-db", "postgres://u:hunter2@127.0.0.1:1/x", "--service", "catalog")
	require.Equal(t, ExitFailed, got.exit)
	require.NotContains(t, got.err, "hunter2")
}

func TestConfig_HidesPasswordsAndNamesSources(t *testing.T) {
	t.Parallel()
	got := run(t, "config", "--catalog-db", "postgres://u:hunter2@h/db?sslpassword=hunter3", "--data", "/srv/flow")
	require.Equal(t, ExitOK, got.exit, got.err)
	require.NotContains(t, got.out, "hunter")
	require.Regexp(t, `(?m)^catalog-db +postgres://u:xxxxx@h/db\?sslpassword=xxxxx +flag `, got.out)
	require.Regexp(t, `(?m)^queue-db +sqlite:///srv/flow/queue.db +data directory +QUEUE_DB$`, got.out)
	require.Regexp(t, `(?m)^registry-ttl +15s +default +REGISTRY_TTL$`, got.out)
	for _, ofProcess := range []string{"admin-addr", "metrics-at", "trace-endpoint", "trace-ratio", "log-level", "insecure", "drain"} {
		require.Regexp(t, `(?m)^`+ofProcess+` `, got.out)
	}
	require.NotContains(t, got.out, "-url", "how the services reach each other is not a setting here")
}

func TestServe_EndsWithOneLineWhenItCannot(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(nil)
	defer server.Close()
	taken := server.Listener.Addr().String()
	got := run(t, "serve", "--log-level", "error", "--addr", taken, "--data", t.TempDir())
	require.Equal(t, ExitFailed, got.exit)
	require.Contains(t, got.err, taken+": bind: address already in use")
	require.Equal(t, 1, strings.Count(got.err, "\n"), got.err)
}

func TestVersion_InBothForms(t *testing.T) {
	t.Parallel()
	require.Equal(t, "pocketflow dev\n", run(t, "version").out)
	require.JSONEq(t, `{"version": "dev"}`, run(t, "version", "-o", "json").out)
}
