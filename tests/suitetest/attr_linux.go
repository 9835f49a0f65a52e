package suitetest

import "syscall"

// attributes make a process that leads a group of its own and that gets the
// signal when this process ends. Linux sends it when the thread that started
// the child ends; Go ends a thread only with a goroutine that is locked to it,
// of which tests have none.
func attributes(farewell syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: farewell}
}
