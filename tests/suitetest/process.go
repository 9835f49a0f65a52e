//go:build unix

package suitetest

import (
	"cmp"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	// endTimeout bounds the end of a process that was told to end: its drain
	// and a busy machine.
	endTimeout = 30 * time.Second
	// told is how much of a process's output a failed test shows.
	told = 16 << 10
	// raceReport begins what a binary that was built with -race says.
	raceReport = "WARNING: DATA RACE"
)

// Command says what to start.
type Command struct {
	// Program is a binary of the suite, or the path of another program.
	Program Program
	Args    []string
	// Env is added to PATH, HOME and TMPDIR; nothing else is inherited, so
	// that what a developer has set means nothing here.
	Env []string
	// Farewell is what the process gets when the test process dies: SIGKILL
	// when it is zero. One that has children of its own needs to hear of it.
	Farewell syscall.Signal
}

// Process is a child of the test. It ends with the test at the latest.
type Process struct {
	owner          testing.TB // whose end is the process's
	name           string
	stdout, stderr string // files
	cmd            *exec.Cmd
	ended          chan struct{} // closed when it has been waited for
}

// Start starts a process.
func Start(t testing.TB, c Command) *Process {
	t.Helper()
	dir := t.TempDir()
	p := &Process{
		owner: t, name: filepath.Base(string(c.Program)),
		stdout: filepath.Join(dir, "stdout"), stderr: filepath.Join(dir, "stderr"),
	}
	p.start(c)
	return p
}

// start starts the process, again after it has ended, with its output behind
// what is there.
func (p *Process) start(c Command) {
	t := p.owner
	t.Helper()
	path := string(c.Program)
	if !filepath.IsAbs(path) {
		path = filepath.Join(BinDir(t), path)
	}
	// Files, not pipes: what a killed process wrote is all there, and nobody
	// has to read for it to go on.
	stdout, stderr := appendTo(t, p.stdout), appendTo(t, p.stderr)
	// Without the test's context: that ends before the cleanups, and until
	// those a child is told nothing that its test does not tell it.
	cmd := exec.CommandContext(context.Background(), path, c.Args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + t.TempDir()}, c.Env...)
	cmd.Dir = filepath.Dir(p.stderr)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.SysProcAttr = attributes(cmp.Or(c.Farewell, syscall.SIGKILL))
	err := cmd.Start()
	_, _ = stdout.Close(), stderr.Close()
	if err != nil {
		t.Fatalf("suitetest: start %s: %v", p.name, err)
	}
	ended := make(chan struct{})
	p.cmd, p.ended = cmd, ended
	go func() { // ends with the process, which end sees to
		defer close(ended)
		_ = cmd.Wait() // how it ended is asked of ProcessState
	}()
	t.Cleanup(func() { p.end(cmd, ended) })
}

func appendTo(t testing.TB, path string) *os.File {
	t.Helper()
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatalf("suitetest: %v", err)
	}
	return file
}

// end leaves nothing of the process behind, nor of its children. One that has
// ended before is left alone: its number may be another's by now.
func (p *Process) end(cmd *exec.Cmd, ended <-chan struct{}) {
	t := p.owner
	t.Helper()
	select {
	case <-ended:
	default:
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Errorf("suitetest: kill %s: %v", p.name, err)
		}
	}
	select {
	case <-ended:
	case <-time.After(endTimeout):
		t.Errorf("suitetest: %s does not end", p.name)
	}
	if cmd == p.cmd && strings.Contains(p.Stderr(), raceReport) {
		t.Errorf("suitetest: %s has a data race", p.name)
	}
	if t.Failed() && cmd == p.cmd {
		t.Logf("%s: stderr ends with\n%s", p.name, tail(p.Stderr()))
	}
}

func tail(text string) string {
	if len(text) <= told {
		return text
	}
	_, rest, _ := strings.Cut(text[len(text)-told:], "\n")
	return rest
}

// Stdout is what the process has written so far.
func (p *Process) Stdout() string { return contents(p.stdout) }

// Stderr is what the process has written so far.
func (p *Process) Stderr() string { return contents(p.stderr) }

func contents(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Signal sends a signal to the process alone.
func (p *Process) Signal(t testing.TB, signal syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		t.Fatalf("suitetest: send %v to %s: %v", signal, p.name, err)
	}
}

// Kill ends the process as a power cut would (SIGKILL).
func (p *Process) Kill(t testing.TB) {
	t.Helper()
	p.Signal(t, syscall.SIGKILL)
	p.Wait(t, endTimeout)
}

// Stop asks the process to end (SIGTERM) and returns its exit code.
func (p *Process) Stop(t testing.TB) int {
	t.Helper()
	p.Signal(t, syscall.SIGTERM)
	return p.Wait(t, endTimeout)
}

// Wait waits for the process's own end and returns its exit code; -1 when a
// signal ended it.
func (p *Process) Wait(t testing.TB, within time.Duration) int {
	t.Helper()
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	case <-timer.C:
		t.Fatalf("suitetest: %s has not ended within %v", p.name, within)
		return 0
	}
}
