package demoworker

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/worker"
)

// journal is the audit of what was executed: a file with one line per
// execution, written when it starts. Several workers may share one file; nil
// writes nothing.
type journal struct{ file *os.File }

// Execution is one line of the journal.
type Execution struct {
	Service        string `json:"service"`
	IdempotencyKey string `json:"idempotency_key"`
	Attempt        int    `json:"attempt"`
	Task           string `json:"task"`
	Node           string `json:"node"`
	At             string `json:"at"` // RFC 3339, UTC
}

func openJournal(path string) (*journal, error) {
	if path == "" {
		return nil, nil
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	return &journal{file: file}, nil
}

// write appends a line in one call, which O_APPEND keeps whole among writers.
func (j *journal) write(job worker.Job) error {
	if j == nil {
		return nil
	}
	line, err := json.Marshal(Execution{
		Service: job.Service, IdempotencyKey: job.RunID, Attempt: job.Attempt,
		Task: job.TaskID, Node: job.Node, At: time.Now().UTC().Format(time.RFC3339Nano),
	})
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	if _, err := j.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

func (j *journal) close() error {
	if j == nil {
		return nil
	}
	if err := j.file.Close(); err != nil {
		return fmt.Errorf("close journal: %w", err)
	}
	return nil
}
