package execute

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/pocketflowgo/pocketflow/services/scheduler/internal/engine"
)

// pipeGrace is how long output may still come in after the script's end. What
// the script wrote is in the pipe by then; the time is for a descendant that
// left the process group and holds the pipe open.
const pipeGrace = 2 * time.Second

// ended is how a script's process ended.
type ended struct {
	state    *os.ProcessState
	stdout   []byte
	stderr   *tail
	log      *head // of what stderr is the end of
	tooLarge bool
}

// limits are the most bytes that are kept of what a script writes.
type limits struct{ output, log int }

// run starts the process in a group of its own and returns when it has ended
// and the rest of the group is killed. The end of ctx, or more output than
// most, kills the whole group. Only a descendant that has made itself
// another group (setsid) lives on. The error tells that it could not be started.
func (c command) run(ctx context.Context, most limits) (ended, error) {
	if info, err := os.Stat(c.dir); err != nil || !info.IsDir() {
		return ended{}, fmt.Errorf("the work_dir %q is not a directory here", c.dir)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stdout, stderr, log := &capped{limit: most.output, full: cancel}, &tail{}, &head{limit: most.log}
	cmd := exec.CommandContext(ctx, c.file, c.args...)
	cmd.Env, cmd.Dir = c.env, c.dir
	cmd.Stdout, cmd.Stderr = stdout, io.MultiWriter(log, stderr)
	if c.stdin != nil {
		cmd.Stdin = bytes.NewReader(c.stdin)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	g := &group{}
	cmd.Cancel = func() error { g.kill(cmd.Process.Pid); return nil }
	cmd.WaitDelay = pipeGrace
	if err := cmd.Start(); err != nil {
		return ended{}, err
	}
	// The leader is a zombie while its group is killed. Where that cannot be
	// had, the group is killed just after.
	if awaitLeader(cmd.Process.Pid) {
		g.finish(cmd.Process.Pid)
	}
	_ = cmd.Wait() // the process state says how it ended
	g.finish(cmd.Process.Pid)
	return ended{state: cmd.ProcessState, stdout: stdout.bytes, stderr: stderr, log: log, tooLarge: stdout.over}, nil
}

// group kills a process group for as long as its id is sure to be the group's:
// once the leader is waited for, the number may become a stranger's.
type group struct {
	mu   sync.Mutex
	gone bool
}

func (g *group) kill(id int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.gone {
		_ = syscall.Kill(-id, syscall.SIGKILL) // it may have no member left
	}
}

// finish kills what is left of the group, for the last time.
func (g *group) finish(id int) {
	g.kill(id)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.gone = true
}

// errFull ends the copying of a script's output.
var errFull = errors.New("the output is over its limit")

// capped keeps output up to a limit and calls full when there is more.
type capped struct {
	limit int
	full  func()
	bytes []byte
	over  bool
}

func (c *capped) Write(p []byte) (int, error) {
	if len(p) > c.limit-len(c.bytes) {
		c.over = true
		c.full()
		return 0, errFull
	}
	c.bytes = append(c.bytes, p...)
	return len(p), nil
}

// tail keeps the last engine.MaxMessage bytes written to it.
type tail struct {
	bytes []byte
	cut   bool
}

func (t *tail) Write(p []byte) (int, error) {
	t.bytes = append(t.bytes, p...)
	if over := len(t.bytes) - engine.MaxMessage; over > 0 {
		t.bytes, t.cut = append(t.bytes[:0], t.bytes[over:]...), true
	}
	return len(p), nil
}

// head keeps the first bytes written to it: one more than the limit, which
// tells the log that there was more.
type head struct {
	limit int
	bytes []byte
}

func (h *head) Write(p []byte) (int, error) {
	room := h.limit + 1 - len(h.bytes)
	h.bytes = append(h.bytes, p[:min(len(p), room)]...)
	return len(p), nil
}
