package suitetest

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// tick is the unit in which Linux tells processor time (USER_HZ, 100 on every
// architecture that Go has but one).
const tick = 10 * time.Millisecond

// Where user and system time stand in /proc/PID/stat behind the command's
// name, proc(5).
const (
	userField   = 11
	systemField = 12
)

// CPU is the processor time that the process has used so far.
func (p *Process) CPU(t testing.TB) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		t.Fatalf("suitetest: %v", err)
	}
	// The name is in parentheses and may contain anything.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var used time.Duration
	for _, i := range []int{userField, systemField} {
		ticks, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			t.Fatalf("suitetest: processor time of %s: %v", p.name, err)
		}
		used += time.Duration(ticks) * tick
	}
	return used
}
