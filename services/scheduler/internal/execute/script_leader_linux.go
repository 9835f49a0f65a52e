package execute

import (
	"errors"

	"golang.org/x/sys/unix"
)

// awaitLeader returns when the process has ended, and leaves it a zombie, so
// that nobody else can have its number. It is false when the system does not
// tell.
func awaitLeader(pid int) (ended bool) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return err == nil
		}
	}
}
