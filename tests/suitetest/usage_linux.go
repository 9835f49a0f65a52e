package suitetest

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Usage is what a process has used so far, and what it holds.
type Usage struct {
	CPU      time.Duration
	Resident int64 // bytes in memory
	Peak     int64 // most bytes in memory since ForgetPeak
	Written  int64 // bytes sent to disks
}

// Usage reads what Linux tells of the process, proc(5).
func (p *Process) Usage(t testing.TB) Usage {
	t.Helper()
	return Usage{
		CPU:      p.CPU(t),
		Resident: p.field(t, "status", "VmRSS:") * 1024,
		Peak:     p.field(t, "status", "VmHWM:") * 1024,
		Written:  p.field(t, "io", "write_bytes:"),
	}
}

// ForgetPeak lets the peak begin anew from what is in memory now.
func (p *Process) ForgetPeak(t testing.TB) {
	t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.cmd.Process.Pid), []byte("5"), 0); err != nil {
		t.Fatalf("suitetest: %v", err)
	}
}

func (p *Process) field(t testing.TB, file, name string) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.cmd.Process.Pid, file))
	if err != nil {
		t.Fatalf("suitetest: %v", err)
	}
	_, rest, _ := strings.Cut(string(text), name)
	line, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(line, "kB")), 10, 64)
	if err != nil {
		t.Fatalf("suitetest: %s of %s: %v", name, p.name, err)
	}
	return n
}
