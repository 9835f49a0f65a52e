package execute

import (
	"errors"
	"os/exec"

	"golang.org/x/sys/unix"
)

// wait returns when the leader has ended, the rest of its group is killed and
// the output is in. The leader is a zombie while the group is killed, so that
// nobody else can have its number by then.
func (g *group) wait(cmd *exec.Cmd) {
	for {
		err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	g.finish(cmd.Process.Pid)
	_ = cmd.Wait() // the process state says how it ended
}
