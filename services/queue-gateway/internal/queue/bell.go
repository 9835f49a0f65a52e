package queue

import (
	"maps"
	"slices"
	"sync"
)

// bell wakes polls that wait for jobs of a service.
//
// A hint says that a service has ready jobs, not how many. Waking every poll
// would have thousands claim for one job; waking one would serve a burst one
// by one. So a hint wakes one poll. If that gets all it asked for, there may be
// more, and it wakes one more; each after that wakes two. A burst is out after
// about as many rounds as its count has doublings, and a lone job costs one
// claim too many.
type bell struct {
	mu      sync.Mutex
	waiting map[string]map[*waiter]struct{} // by service
}

// waiter is a poll that waits. It is woken at most once: a woken waiter waits
// for nothing until it enters again.
type waiter struct {
	services []string
	woken    chan struct{} // closed

	// Set before woken is closed.
	sought []string // the services that it was woken for; nil while it waits
	round  int      // how many wakes after the hint
}

func newBell() *bell { return &bell{waiting: map[string]map[*waiter]struct{}{}} }

// enter starts waiting. Enter first, then look for jobs: then no job that
// comes between the two is missed.
func (b *bell) enter(services []string) *waiter {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := &waiter{services: services, woken: make(chan struct{})}
	for _, service := range services {
		if b.waiting[service] == nil {
			b.waiting[service] = map[*waiter]struct{}{}
		}
		b.waiting[service][w] = struct{}{}
	}
	return w
}

// leave ends a poll's waiting. A wake that it will not use is another's.
func (b *bell) leave(w *waiter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if w.sought == nil {
		b.remove(w)
		return
	}
	b.wakeEach(w.sought, 1, w.round)
}

// ring wakes a poll that waits for jobs of the service.
func (b *bell) ring(service string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wakeEach([]string{service}, 1, 0)
}

// ringOn is for a woken poll that got all it asked for: there may be more.
func (b *bell) ringOn(w *waiter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wakeEach(w.sought, min(w.round+1, 2), w.round+1)
}

// services are those that are waited for.
func (b *bell) services() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Collect(maps.Keys(b.waiting))
}

// wakeEach wakes up to so many polls for each service.
func (b *bell) wakeEach(services []string, most, round int) {
	for _, service := range services {
		left := most
		for w := range b.waiting[service] {
			if left == 0 {
				break
			}
			left--
			b.wake(w, []string{service}, round)
		}
	}
}

func (b *bell) wake(w *waiter, sought []string, round int) {
	b.remove(w)
	w.sought, w.round = sought, round
	close(w.woken)
}

func (b *bell) remove(w *waiter) {
	for _, service := range w.services {
		delete(b.waiting[service], w)
		if len(b.waiting[service]) == 0 {
			delete(b.waiting, service)
		}
	}
}
