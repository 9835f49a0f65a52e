//go:build unix

package suitetest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	demoworker "github.com/pocketflowgo/pocketflow/services/demo-worker"
)

// Journal is what a demo worker writes down of its executions, each when it
// starts. One goroutine reads it.
type Journal struct {
	Path string // for the worker's --journal

	read  int64 // bytes, whole lines
	lines []demoworker.Execution
}

// NewJournal names a journal that a worker can begin.
func NewJournal(t testing.TB) *Journal {
	t.Helper()
	return &Journal{Path: filepath.Join(t.TempDir(), "journal")}
}

// Executions are those that have started so far, repeats included.
func (j *Journal) Executions(t testing.TB) []demoworker.Execution {
	t.Helper()
	file, err := os.Open(j.Path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	_, err = file.Seek(j.read, io.SeekStart)
	require.NoError(t, err)
	data, err := io.ReadAll(file)
	require.NoError(t, err)
	for {
		line, rest, whole := bytes.Cut(data, []byte("\n"))
		if !whole {
			return j.lines
		}
		var execution demoworker.Execution
		require.NoError(t, json.Unmarshal(line, &execution))
		j.lines = append(j.lines, execution)
		j.read += int64(len(line)) + 1
		data = rest
	}
}
