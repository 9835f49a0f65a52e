package app

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// gcPercent lets a service's heap, which is small, grow to three times what is
// in use before it is collected. With Go's 100 the collector takes a sixth more
// of the processor in a scheduler that is busy; with 400 it saves a twelfth
// more, for twice the memory.
const gcPercent = 200

// relaxGC leaves the setting alone when somebody has made it, with the Go
// runtime's own variable.
func relaxGC() {
	if _, set := os.LookupEnv("GOGC"); !set { //nolint:forbidigo // a setting of the Go runtime, not ours
		debug.SetGCPercent(gcPercent)
	}
}

const (
	// restInterval is how often a process is looked at for being at rest.
	restInterval = 5 * time.Second
	// restful is the most that a process at rest allocates in that time, bytes.
	restful = 4 << 20
	// worthReturning is how much must have been allocated since memory was given
	// back last to do so again.
	worthReturning = 32 << 20
)

// returnMemory gives memory back to the machine when the process comes to rest.
// By itself the runtime collects nothing while nothing is allocated, and would
// keep what the last busy time took for minutes. It returns when ctx ends.
func returnMemory(ctx context.Context) {
	ticker := time.NewTicker(restInterval)
	defer ticker.Stop()
	allocated := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	read := func() uint64 {
		metrics.Read(allocated)
		return allocated[0].Value.Uint64()
	}
	last := read()
	returned := last
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := read()
		if now-last < restful && now-returned > worthReturning {
			debug.FreeOSMemory()
			returned = now
		}
		last = now
	}
}
