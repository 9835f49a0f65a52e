// Package ids makes the identifiers of everything that is stored: a prefix
// that says what it names and a UUIDv7, so that ids sort by time of creation.
package ids

import (
	"strings"
	"time"

	"github.com/google/uuid"
)

// Prefix says what an id names.
type Prefix string

// The prefixes in use.
const (
	Flow    Prefix = "flow"
	Version Prefix = "ver"
	Task    Prefix = "task"
	Run     Prefix = "run"
	Job     Prefix = "job"
	Event   Prefix = "evt"
	Message Prefix = "msg"
	Request Prefix = "req"
	Worker  Prefix = "worker"
	Replica Prefix = "replica"
)

// New makes an id such as "task-0197…". It is safe for concurrent use and, in
// one process, strictly increasing.
func New(prefix Prefix) string {
	return string(prefix) + "-" + uuid.Must(uuid.NewV7()).String()
}

// Valid reports whether the text has the form of an id of that prefix. It says
// nothing of whether the thing exists.
func Valid(prefix Prefix, text string) bool {
	rest, ok := strings.CutPrefix(text, string(prefix)+"-")
	return ok && uuid.Validate(rest) == nil
}

// Time is when New made an id, to the millisecond; false for a text that is not
// one.
func Time(prefix Prefix, id string) (time.Time, bool) {
	rest, ok := strings.CutPrefix(id, string(prefix)+"-")
	if !ok {
		return time.Time{}, false
	}
	parsed, err := uuid.Parse(rest)
	if err != nil || parsed.Version() != 7 {
		return time.Time{}, false
	}
	return time.Unix(parsed.Time().UnixTime()).UTC().Truncate(time.Millisecond), true
}
