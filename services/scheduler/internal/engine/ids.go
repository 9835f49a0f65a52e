package engine

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/pocketflowgo/pocketflow/shared/ids"
)

// address is where a run belongs within its task.
type address struct {
	path    string
	visit   int
	attempt int
}

// runID derives a run's id: a UUIDv7 whose time is the start of the run and
// whose random bits are a digest of where it belongs. Deriving it keeps the
// engine pure, so a replay names the same runs.
func runID(taskID string, at address, started time.Time) string {
	digest := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d\x00%d", taskID, at.path, at.visit, at.attempt))
	var id uuid.UUID
	copy(id[:], digest[:])
	// RFC 9562, section 5.7: 48 bits of unix milliseconds, version, variant.
	ms := uint64(started.UnixMilli())
	binary.BigEndian.PutUint16(id[0:], uint16(ms>>32))
	binary.BigEndian.PutUint32(id[2:], uint32(ms))
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return string(ids.Run) + "-" + id.String()
}

// chance is a number in [0,1) that belongs to a run: the die for jitter, which
// must fall the same way in a replay.
func chance(runID string) float64 {
	digest := sha256.Sum256([]byte(runID))
	return float64(binary.BigEndian.Uint64(digest[:])>>11) / (1 << 53)
}
