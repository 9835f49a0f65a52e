package queue

import (
	"time"

	"github.com/pocketflowgo/pocketflow/shared/pause"
)

// How tries of a database or scheduler that is away are spaced: soon enough
// that a restart goes unnoticed, seldom enough not to burden one that is ill.
const (
	firstRetry = 50 * time.Millisecond
	lastRetry  = time.Second
)

func newBackoff() *pause.Backoff { return &pause.Backoff{First: firstRetry, Most: lastRetry} }
