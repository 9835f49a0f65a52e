package sqlstore

import (
	"strconv"
	"strings"
	"time"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// jobHints are the hints of one transaction, each told once. A hint's payload is
// the time from which the service's job is ready, 0 for now, and the service.
type jobHints struct {
	tx   Tx
	told map[string]bool
}

func newJobHints(tx Tx) *jobHints { return &jobHints{tx: tx, told: map[string]bool{}} }

// ready tells that the service has a job for who asks now.
func (h *jobHints) ready(service string) { h.readyAt(service, time.Time{}) }

func (h *jobHints) readyAt(service string, at time.Time) {
	var when int64
	if !at.IsZero() {
		when = at.UnixMicro()
	}
	payload := strconv.FormatInt(when, 10) + " " + service
	if !h.told[payload] {
		h.told[payload] = true
		h.tx.Hint(payload)
	}
}

// parseJobHint reads a payload; a broken one, as that of a service with a line
// break in its name may be, is no hint.
func parseJobHint(payload string) (storage.JobHint, bool) {
	when, service, _ := strings.Cut(payload, " ")
	micros, err := strconv.ParseInt(when, 10, 64)
	hint := storage.JobHint{Service: service}
	if micros != 0 {
		hint.ReadyAt = time.UnixMicro(micros).UTC()
	}
	return hint, err == nil
}
