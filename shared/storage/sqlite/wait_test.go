package sqlite

import "time"

// How long a test waits for what must happen, and how often it looks.
const (
	eventually = 10 * time.Second
	pollEvery  = time.Millisecond
)
