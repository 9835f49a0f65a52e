//go:build unix

package chaos

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Tasks that nobody executes are canceled at once even when the scheduler has
// no place to execute another: to cancel is no execution.
func TestCancel_WithoutAFreePlaceIsQuickAndStays(t *testing.T) {
	t.Parallel()
	c := newCanceling(t, onSQLite, "SCHEDULER_MAX_IN_FLIGHT=1")
	others := []place{
		{
			name: "Waiting", status: "waiting", open: []string{"only running"},
			definition: `{"start": "only", "nodes": {"only": {"kind": "wait_event", "signal_key": "go"}}}`,
		},
		{name: "Pending", status: "pending", definition: oneStep("deaf", "")},
	}
	waiting := c.bring(t, others[0])
	occupying := c.bring(t, place{
		name: "occupying", status: "running", open: []string{"only running"}, calls: 1, definition: oneStep("deaf", ""),
	})
	pending := c.bring(t, others[1])

	var canceled []told
	for i, id := range []string{waiting, pending} {
		t.Run(others[i].name, func(t *testing.T) {
			took, is := c.cancel(t, id, others[i])
			t.Logf("canceled in %v", took.Round(100*time.Microsecond))
			canceled = append(canceled, is)
		})
	}
	require.NoError(t, c.client.Tasks.Cancel(t.Context(), occupying))
	c.awaitCanceled(t, occupying)
	c.worker.answer(t, occupying)
	c.stays(t, canceled)
	require.Zero(t, c.worker.calls(pending))
}
