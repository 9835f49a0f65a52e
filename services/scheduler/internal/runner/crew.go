package runner

import (
	"sync"
	"time"
)

// crew runs functions in goroutines that it keeps a while for the next ones. A
// new goroutine begins with a small stack, and what is done here, a call of a
// worker say, makes it grow several times: a tenth of the processor time of a
// busy scheduler went into copying stacks. As many run at once as there are
// functions; the bound on those is its callers'.
type crew struct {
	idle    chan func() // unbuffered: somebody who waits takes it, or nobody
	stop    chan struct{}
	members sync.WaitGroup
}

// spareTime is how long a member without work stays. It outlasts the pauses of
// work that comes steadily.
const spareTime = time.Second

func newCrew() *crew { return &crew{idle: make(chan func()), stop: make(chan struct{})} }

// Go runs f beside the caller.
func (c *crew) Go(f func()) {
	select {
	case c.idle <- f:
	default:
		c.members.Go(func() { c.work(f) })
	}
}

func (c *crew) work(f func()) {
	spare := time.NewTimer(spareTime)
	defer spare.Stop()
	for {
		f()
		spare.Reset(spareTime)
		select {
		case f = <-c.idle:
		case <-spare.C:
			return
		case <-c.stop:
			return
		}
	}
}

// dismiss ends those that are idle, and returns when all have ended. Nothing may
// be given to them any more.
func (c *crew) dismiss() {
	close(c.stop)
	c.members.Wait()
}
