// Package hints carries the payloads of committed writes to the listeners of
// this process. It promises no delivery: a listener that is far behind loses
// some, and whoever listens has a floor poll under it.
package hints

import (
	"context"
	"sync"

	"github.com/pocketflowgo/pocketflow/shared/storage/internal/sqlstore"
)

// buffer is how far a listener may be behind before it loses hints.
const buffer = 1024

// Hub knows the listeners. The zero value is ready.
type Hub struct {
	mu        sync.Mutex
	listeners map[chan sqlstore.Hint]struct{}
	done      chan struct{}
	closed    bool
}

// Listen calls hear for every hint, from this goroutine, until ctx ends or the
// hub closes. The source, when there is one, runs beside it and brings hints
// from elsewhere to this listener alone; Listen waits for its end.
func (h *Hub) Listen(ctx context.Context, hear func(sqlstore.Hint), source func(ctx context.Context, bring func(sqlstore.Hint))) {
	ctx, cancel := context.WithCancel(ctx)
	heard := make(chan sqlstore.Hint, buffer)
	done := h.add(heard)
	defer h.remove(heard)
	var sources sync.WaitGroup
	defer sources.Wait()
	defer cancel()
	if source != nil {
		sources.Go(func() {
			source(ctx, func(hint sqlstore.Hint) {
				select {
				case heard <- hint:
				case <-ctx.Done():
				}
			})
		})
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-done:
			return
		case hint := <-heard:
			hear(hint)
		}
	}
}

// add registers a listener and returns the channel that Close closes.
func (h *Hub) add(heard chan sqlstore.Hint) <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.listeners == nil {
		h.listeners = map[chan sqlstore.Hint]struct{}{}
	}
	h.listeners[heard] = struct{}{}
	return h.doneLocked()
}

func (h *Hub) remove(heard chan sqlstore.Hint) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.listeners, heard)
}

// Deliver hands the payloads of this process's own writes to every listener and
// waits for none.
func (h *Hub) Deliver(payloads []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for listener := range h.listeners {
		for _, payload := range payloads {
			select {
			case listener <- sqlstore.Hint{Payload: payload, Own: true}:
			default:
			}
		}
	}
}

// Close ends all Listen calls, those to come too. It may be called twice.
func (h *Hub) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.closed = true
		close(h.doneLocked())
	}
}

func (h *Hub) doneLocked() chan struct{} {
	if h.done == nil {
		h.done = make(chan struct{})
	}
	return h.done
}
