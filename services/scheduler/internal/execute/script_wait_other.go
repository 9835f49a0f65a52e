//go:build !linux

package execute

import "os/exec"

// wait returns when the leader has ended, the rest of its group is killed and
// the output is in. These systems cannot look at an ended process and leave it
// as it is, so the group is killed just after.
func (g *group) wait(cmd *exec.Cmd) {
	_ = cmd.Wait() // the process state says how it ended
	g.finish(cmd.Process.Pid)
}
