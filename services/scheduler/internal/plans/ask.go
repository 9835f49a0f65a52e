package plans

import (
	"context"
	"sync"

	"github.com/pocketflowgo/pocketflow/shared/api/catalogapi"
)

// questions lets those who ask the same at the same time share an answer. One
// is on its way at most; whoever comes meanwhile waits for the next, which is
// asked after they came: nobody is given an answer that is older than their
// question, so a version is seen by every task that is created after it.
type questions struct {
	ask func(ctx context.Context, ref catalogapi.VersionRef) (*Version, error)

	mu   sync.Mutex
	asks map[catalogapi.VersionRef]*asked
}

// asked are the answers on their way to one question.
type asked struct {
	next *answer // nil: nobody has come since the present one was asked
}

type answer struct {
	ready   chan struct{} // closed: version and err are set
	version *Version
	err     error
}

// get is the answer to a question as of now.
func (q *questions) get(ctx context.Context, ref catalogapi.VersionRef) (*Version, error) {
	own := q.join(context.WithoutCancel(ctx), ref)
	select {
	case <-own.ready:
		return own.version, own.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (q *questions) join(ctx context.Context, ref catalogapi.VersionRef) *answer {
	q.mu.Lock()
	defer q.mu.Unlock()
	if present := q.asks[ref]; present != nil {
		if present.next == nil {
			present.next = newAnswer()
		}
		return present.next
	}
	first := newAnswer()
	q.asks[ref] = &asked{}
	go q.answerAll(ctx, ref, first)
	return first
}

// answerAll asks until nobody waits for another answer. Each question is bounded
// in time.
func (q *questions) answerAll(ctx context.Context, ref catalogapi.VersionRef, now *answer) {
	for now != nil {
		bounded, cancel := context.WithTimeout(ctx, askTimeout)
		now.version, now.err = q.ask(bounded, ref)
		cancel()
		close(now.ready)
		now = q.take(ref)
	}
}

// take is the next answer to get; nil ends the asking.
func (q *questions) take(ref catalogapi.VersionRef) *answer {
	q.mu.Lock()
	defer q.mu.Unlock()
	present := q.asks[ref]
	next := present.next
	present.next = nil
	if next == nil {
		delete(q.asks, ref)
	}
	return next
}

func newAnswer() *answer { return &answer{ready: make(chan struct{})} }
