//go:build unix

package quickstart

import (
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/api/schedulerapi"
	"github.com/pocketflowgo/pocketflow/tests/suitetest"
)

// demoTimeout bounds a demo; it takes about a second.
const demoTimeout = 60 * time.Second

func TestDemo_ShowsTheResultsOfBothBranches(t *testing.T) {
	t.Parallel()
	demo := suitetest.Start(t, suitetest.Command{Program: suitetest.PocketFlow, Args: []string{"demo"}})
	require.Zero(t, demo.Wait(t, demoTimeout), demo.Stderr())
	for _, want := range []string{`{"result":"HELLO"}`, `{"result":"hello"}`, `{"action":"goB"}`, `{"action":"goC"}`, "tasks ended as expected"} {
		require.Contains(t, demo.Stdout(), want)
	}
	require.Regexp(t, `(?m)^Status +completed$`, demo.Stdout())
	require.Regexp(t, `(?m)^decide +1 +ok +goB +(<1|[\d.]+)m?s `, demo.Stdout())
	require.Regexp(t, `(?m)^B +1 +ok +(<1|[\d.]+)m?s .*"HELLO"$`, demo.Stdout())
	require.Regexp(t, `(?m)^C +1 +ok +(<1|[\d.]+)m?s .*"hello"$`, demo.Stdout())
	require.NotContains(t, demo.Stdout(), "WRONG")
}

func TestFiveProcesses_DoTheSameDemoAsTheAllInOne(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("bash is not installed")
	}
	one := suitetest.Start(t, suitetest.Command{Program: suitetest.PocketFlow, Args: []string{"demo", "--output=json"}})
	require.Zero(t, one.Wait(t, demoTimeout), one.Stderr())
	want := results(t, one.Stdout())
	require.Contains(t, want, `the decision takes branch B: completed {"result":"HELLO"}; decide ok goB {"action":"goB"}; B ok  "HELLO"`)
	require.Contains(t, want, `the decision takes branch C: completed {"result":"hello"}; decide ok goC {"action":"goC"}; C ok  "hello"`)

	script, err := filepath.Abs("../../docs/five-processes.sh")
	require.NoError(t, err)
	env, addrs := fivePorts(t)
	five := suitetest.Start(t, suitetest.Command{
		Program: suitetest.Program(bash), Args: []string{script, "--output=json"},
		Env:      append(env, "POCKETFLOW_BIN="+suitetest.BinDir(t)),
		Farewell: syscall.SIGTERM, // it has children to stop
	})
	require.Zero(t, five.Wait(t, demoTimeout), five.Stderr())
	require.Equal(t, want, results(t, five.Stdout()))
	requireNobodyAt(t, addrs)
}

// A script that a person interrupts leaves nothing behind.
func TestFiveProcesses_StopWithTheScript(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("bash is not installed")
	}
	script, err := filepath.Abs("../../docs/five-processes.sh")
	require.NoError(t, err)
	env, addrs := fivePorts(t)
	five := suitetest.Start(t, suitetest.Command{
		Program: suitetest.Program(bash), Args: []string{script},
		Env:      append(env, "POCKETFLOW_BIN="+suitetest.BinDir(t)),
		Farewell: syscall.SIGTERM,
	})
	suitetest.Await(t, demoTimeout, func() error {
		return dial(t, addrs[0])
	})
	require.Equal(t, 130, five.Stop(t))
	requireNobodyAt(t, addrs)
}

// results are what a demo's tasks came to, without what differs from run to run:
// ids, times and the worker.
func results(t *testing.T, output string) []string {
	t.Helper()
	var all []struct {
		Title  string
		Task   schedulerapi.Task
		Runs   []schedulerapi.Run
		Faults []string
	}
	require.NoError(t, json.Unmarshal([]byte(output), &all), output)
	lines := make([]string, 0, len(all))
	for _, r := range all {
		require.Empty(t, r.Faults, r.Title)
		line := fmt.Sprintf("%s: %s %s", r.Title, r.Task.Status, r.Task.SharedJSON)
		for _, run := range r.Runs {
			line += fmt.Sprintf("; %s %s %s %s", run.Path, run.Status, run.Action, run.ExecOutputJSON)
		}
		lines = append(lines, line)
	}
	return lines
}

// fivePorts are free ports for the script, and the addresses that they make.
func fivePorts(t *testing.T) (env, addrs []string) {
	t.Helper()
	for _, name := range []string{"GATEWAY", "REGISTRY", "CATALOG", "SCHEDULER", "QUEUE", "WORKER"} {
		addr := suitetest.Addr(t)
		_, port, err := net.SplitHostPort(addr)
		require.NoError(t, err)
		env, addrs = append(env, name+"_PORT="+port), append(addrs, addr)
	}
	return env, addrs
}

func dial(t *testing.T, addr string) error {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		return err
	}
	return conn.Close()
}

func requireNobodyAt(t *testing.T, addrs []string) {
	t.Helper()
	for _, addr := range addrs {
		require.Error(t, dial(t, addr), "somebody still listens at %s", addr)
	}
}
