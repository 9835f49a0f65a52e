package sqlite

import (
	"context"
	"sync"
)

// A listener that is this far behind loses hints, which it may.
const hintBuffer = 1024

// hints carries payloads from committed writes to the listeners of this
// process. The zero value is ready.
type hints struct {
	mu        sync.Mutex
	listeners map[chan string]struct{}
	done      chan struct{}
	closed    bool
}

func (h *hints) listen(ctx context.Context, hear func(string)) error {
	payloads := make(chan string, hintBuffer)
	done := h.add(payloads)
	defer h.remove(payloads)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-done:
			return nil
		case payload := <-payloads:
			hear(payload)
		}
	}
}

// add registers a listener and returns the channel that close closes.
func (h *hints) add(payloads chan string) <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.listeners == nil {
		h.listeners = map[chan string]struct{}{}
	}
	h.listeners[payloads] = struct{}{}
	return h.doneLocked()
}

func (h *hints) remove(payloads chan string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.listeners, payloads)
}

// deliver hands payloads to every listener and waits for none.
func (h *hints) deliver(payloads []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for listener := range h.listeners {
		for _, payload := range payloads {
			select {
			case listener <- payload:
			default:
			}
		}
	}
}

func (h *hints) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.closed = true
		close(h.doneLocked())
	}
}

func (h *hints) doneLocked() chan struct{} {
	if h.done == nil {
		h.done = make(chan struct{})
	}
	return h.done
}
