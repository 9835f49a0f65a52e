//go:build unix && !linux

package suitetest

import "syscall"

// attributes make a process that leads a group of its own. These systems do
// not tell a child that its parent has died.
func attributes(syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
