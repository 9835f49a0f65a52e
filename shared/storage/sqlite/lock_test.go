package sqlite

import (
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// A child between fork and exec has a copy of every descriptor, and with it of
// a lock that is only closed.
func TestLock_IsFreeOnceReleasedWhateverIsBeingStarted(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	var children sync.WaitGroup
	children.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_ = exec.CommandContext(t.Context(), "true").Run()
			}
		}
	})
	defer children.Wait()
	defer close(stop)
	path := filepath.Join(t.TempDir(), "x.db")
	for range 5000 {
		lock, err := lockFile(t.Context(), path, migrating)
		require.NoError(t, err)
		require.NoError(t, lock.release())
	}
}
