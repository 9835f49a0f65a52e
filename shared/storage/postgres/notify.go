package postgres

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// Several hints travel in one notification, parted by hintSeparator, up to the
// payload limit of the server (8000 bytes). The first line is who sends them.
const (
	hintSeparator = "\n"
	senderMark    = "@"
	maxPayload    = 7900
)

const notifySQL = `SELECT pg_notify($1, $2)`

const (
	// mostHints is how many different hints may wait to be sent; more are lost.
	mostHints = 4096
	// hintPace is the time between two notifications: each is a transaction of its
	// own, and wakes every listener.
	hintPace = 10 * time.Millisecond
	// notifyTimeout bounds the sending, so that hints stay what they are: news.
	notifyTimeout = 2 * time.Second
)

func newSender() string { return senderMark + rand.Text() }

// notifier tells other processes of what was committed here. It does so after
// the commit and not with it: the server lets one transaction with notifications
// commit at a time, disk flush and all, so that writers would queue up for each
// other's. A hint is lost with the process or the connection that was to send it,
// as hints may be.
type notifier struct {
	mu      sync.Mutex
	pending map[string]struct{}
	wake    chan struct{} // cap 1
}

func newNotifier() *notifier {
	return &notifier{pending: map[string]struct{}{}, wake: make(chan struct{}, 1)}
}

func (n *notifier) add(hints []string) {
	n.mu.Lock()
	for _, hint := range hints {
		if len(n.pending) < mostHints {
			n.pending[hint] = struct{}{}
		}
	}
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

func (n *notifier) take() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	hints := make([]string, 0, len(n.pending))
	for hint := range n.pending {
		hints = append(hints, hint)
	}
	clear(n.pending)
	slices.Sort(hints)
	return hints
}

// tell hands committed hints to the listeners here and to those elsewhere.
func (d *Driver) tell(hints []string) {
	if len(hints) > 0 {
		d.hints.Deliver(hints)
		d.notifier.add(hints)
	}
}

// notify sends hints until the driver closes.
func (d *Driver) notify() {
	defer close(d.notified)
	d.notifier.run(d.closed, func(hints []string) {
		var batch pgx.Batch
		for _, payload := range pack(d.sender, hints) {
			batch.Queue(notifySQL, d.schema, payload)
		}
		if batch.Len() == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), notifyTimeout)
		defer cancel()
		// The error needs no report, see listen.
		_ = d.pool.SendBatch(ctx, &batch).Close()
	})
}

// run sends hints until it is done, and then what there is by then. The first
// goes at once, and what is committed within the pace after it goes together.
func (n *notifier) run(done <-chan struct{}, send func(hints []string)) {
	pace := time.NewTimer(hintPace)
	defer pace.Stop()
	for over := false; !over; {
		select {
		case <-done:
			over = true
		case <-n.wake:
		}
		hints := n.take()
		if len(hints) == 0 {
			continue
		}
		send(hints)
		pace.Reset(hintPace)
		select {
		case <-done:
		case <-pace.C:
		}
	}
}

// pack joins a sender's hints into as few payloads as the limit allows. A hint
// that exceeds it by itself is lost; the server would refuse it.
func pack(sender string, hints []string) []string {
	var payloads []string
	var payload strings.Builder
	for _, hint := range hints {
		if len(sender)+len(hintSeparator)+len(hint) > maxPayload {
			continue
		}
		if payload.Len() > 0 && payload.Len()+len(hintSeparator)+len(hint) > maxPayload {
			payloads = append(payloads, payload.String())
			payload.Reset()
		}
		if payload.Len() == 0 {
			payload.WriteString(sender)
		}
		payload.WriteString(hintSeparator)
		payload.WriteString(hint)
	}
	if payload.Len() > 0 {
		payloads = append(payloads, payload.String())
	}
	return payloads
}
