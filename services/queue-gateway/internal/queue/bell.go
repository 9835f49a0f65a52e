package queue

import "sync"

// bell wakes polls that wait for jobs of a service.
//
// A hint says that a service has ready jobs, not how many. Waking every poll
// would have thousands claim for one job; waking one would serve a burst one
// by one. So a hint wakes two, and a poll that got all it asked for wakes two
// more: a burst is out after as many rounds as its count has doublings, and a
// lone job costs one claim too many.
type bell struct {
	mu      sync.Mutex
	waiting map[string]map[*waiter]struct{} // by service
}

// wakes is how many polls one ring wakes.
const wakes = 2

// waiter is a poll that waits. It is woken at most once: a woken waiter waits
// for nothing until it enters again.
type waiter struct {
	services []string
	woken    chan struct{} // closed
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

// leave ends the waiting.
func (b *bell) leave(w *waiter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.remove(w)
}

func (b *bell) remove(w *waiter) {
	for _, service := range w.services {
		delete(b.waiting[service], w)
		if len(b.waiting[service]) == 0 {
			delete(b.waiting, service)
		}
	}
}

// ring wakes polls that wait for jobs of the services.
func (b *bell) ring(services ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, service := range services {
		b.wake(service, wakes)
	}
}

// ringAll wakes one poll for each service that any waits for.
func (b *bell) ringAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for service := range b.waiting {
		b.wake(service, 1)
	}
}

func (b *bell) wake(service string, most int) {
	for w := range b.waiting[service] {
		if most == 0 {
			return
		}
		most--
		close(w.woken)
		b.remove(w)
	}
}
