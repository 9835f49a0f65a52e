package suitetest

import (
	"errors"
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
	resident, err1 := p.Resident()
	peak, err2 := p.field("status", "VmHWM:")
	written, err3 := p.field("io", "write_bytes:")
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatalf("suitetest: %v", err)
	}
	return Usage{CPU: p.CPU(t), Resident: resident, Peak: peak * 1024, Written: written}
}

// Resident is how many bytes of the process are in memory. Any goroutine may
// ask.
func (p *Process) Resident() (int64, error) {
	kibibytes, err := p.field("status", "VmRSS:")
	return kibibytes * 1024, err
}

// ForgetPeak lets the peak begin anew from what is in memory now.
func (p *Process) ForgetPeak(t testing.TB) {
	t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.cmd.Process.Pid), []byte("5"), 0); err != nil {
		t.Fatalf("suitetest: %v", err)
	}
}

func (p *Process) field(file, name string) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.cmd.Process.Pid, file))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), name)
	line, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(line, "kB")), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s of %s: %w", name, p.name, err)
	}
	return n, nil
}
