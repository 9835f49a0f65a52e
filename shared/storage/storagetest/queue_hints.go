package storagetest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pocketflowgo/pocketflow/shared/storage"
)

// jobHints is a subscription under test.
type jobHints struct {
	heard chan storage.JobHint
	ended chan error
	stop  context.CancelFunc
}

func subscribe(t *testing.T, store storage.Queue) *jobHints {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	hints := &jobHints{heard: make(chan storage.JobHint, 100), ended: make(chan error, 1), stop: stop}
	go func() {
		hints.ended <- store.Subscribe(ctx, func(hint storage.JobHint) {
			select {
			case hints.heard <- hint:
			default: // hints may be lost
			}
		})
	}()
	t.Cleanup(func() {
		stop()
		require.NoError(t, hints.wait())
	})
	return hints
}

// wait waits for the end of the subscription and returns what it returned.
func (h *jobHints) wait() error {
	err := <-h.ended
	h.ended <- err // for the next who waits
	return err
}

// hears waits for a hint that the service has a ready job.
func (h *jobHints) hears(service string, most time.Duration) bool {
	return h.hearsOf(storage.JobHint{Service: service}, most)
}

func (h *jobHints) hearsOf(hint storage.JobHint, most time.Duration) bool {
	timeout := time.NewTimer(most)
	defer timeout.Stop()
	for {
		select {
		case heard := <-h.heard:
			if heard == hint {
				return true
			}
		case <-timeout.C:
			return false
		}
	}
}

// forget drops the hints that have come.
func (h *jobHints) forget() {
	for {
		select {
		case <-h.heard:
		default:
			return
		}
	}
}

// eventually repeats a step that itself waits a little, until it is true.
func eventually(t *testing.T, step func() bool, what string) {
	t.Helper()
	for range 200 {
		if step() {
			return
		}
	}
	require.Fail(t, "it does not come about", what)
}
