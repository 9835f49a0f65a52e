package suitetest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// parentVariable makes TestProcess_EndsWithTheTestProcess the test process that
// dies.
const parentVariable = "SUITETEST_PARENT"

func TestProcess_EndsWithTheTestProcess(t *testing.T) {
	t.Parallel()
	sleep, err := exec.LookPath("sleep")
	require.NoError(t, err)
	if os.Getenv(parentVariable) != "" {
		child := Start(t, Command{Program: Program(sleep), Args: []string{"600"}})
		require.NoError(t, os.WriteFile(os.Getenv(parentVariable), fmt.Appendf(nil, "%d\n", child.cmd.Process.Pid), 0o600))
		<-child.Ended()
		return
	}

	self, err := os.Executable()
	require.NoError(t, err)
	report := t.TempDir() + "/pid"
	parent := Start(t, Command{
		Program: Program(self), Args: []string{"-test.run=^" + t.Name() + "$"}, Env: []string{parentVariable + "=" + report},
	})
	var pid int
	Await(t, endTimeout, func() error {
		data, err := os.ReadFile(report)
		if err != nil {
			return err
		}
		pid, err = strconv.Atoi(strings.TrimSuffix(string(data), "\n"))
		return err
	})
	require.NoError(t, syscall.Kill(pid, 0), "the child lives")
	parent.Kill(t)
	Await(t, endTimeout, func() error { return gone(pid) })
}

// gone is nil when the process has ended, waited for or not: who adopts an
// orphan may be slow to.
func gone(pid int) error {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return nil
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, os.ErrNotExist) || strings.Contains(string(stat), ") Z ") {
		return nil
	}
	return fmt.Errorf("process %d lives on: %s", pid, stat)
}
